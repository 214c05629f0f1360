"""The node's programs, as far as they can be tried without a node."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest

from macfleet.lab.nodeimage import NODE_FILES

PROGRAMS = sorted(path for path in NODE_FILES.glob("*/*") if path.is_file())
SCRIPTS = [NODE_FILES / "base.sh", NODE_FILES / "personality.sh"]


def shebang(path):
    return path.read_text().partition("\n")[0]


def run(name, *words, stdin=""):
    path = NODE_FILES / "bsd" / name
    interpreter = "perl" if "perl" in shebang(path) else "sh"
    if shutil.which(interpreter) is None:
        pytest.skip(f"no {interpreter} here")
    command = [interpreter, str(path), *words]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", [*PROGRAMS, *SCRIPTS], ids=lambda path: path.name)
def test_every_program_is_well_formed(path):
    first = shebang(path)
    if "python" in first or path.name == "limaroom":
        ast.parse(path.read_text())
        return
    checkers = {"perl": ["perl", "-c"], "dash": ["dash", "-n"], "/bin/sh": ["sh", "-n"]}
    checker = next((words for mark, words in checkers.items() if mark in first), None)
    if checker is None or shutil.which(checker[0]) is None:
        assert path.suffix in {".yml", ".sh"} or checker is not None
        return
    done = subprocess.run([*checker, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["-f", "%z"], "5"),
        (["-f", "%Lp"], "640"),
        (["-f", "%p"], "100640"),
        (["-f", "%Sp"], "-rw-r-----"),
        (["-f", "%HT"], "Regular File"),
        (["-f", "%u:%z"], f"{os.getuid()}:5"),
        (["-f", "%N"], "PATH"),
        (["-Lf", "%z"], "5"),
    ],
)
def test_stat_speaks_bsd(tmp_path, words, answer):
    file = tmp_path / "file"
    file.write_text("12345")
    file.chmod(0o640)
    done = run("stat", *words, str(file))
    assert done.stdout.strip() == answer.replace("PATH", str(file))


@pytest.mark.parametrize(
    ("name", "words", "status"),
    [
        ("stat", ["-c", "%s", "/"], 1),
        ("stat", ["--format=%s", "/"], 1),
        ("base64", ["-w0"], 64),
        ("base64", ["--wrap=0"], 64),
        ("readlink", ["-e", "/"], 1),
        ("mktemp", ["--directory"], 1),
        ("date", ["-d", "now"], 1),
        ("date", ["--date=now"], 1),
        ("du", ["-b", "/tmp"], 64),
        ("du", ["--max-depth=1"], 64),
        ("sed", ["--version"], 1),
        ("xargs", ["-d", "x"], 1),
        ("ps", ["--no-headers"], 1),
        ("md5", ["--check"], 1),
        ("uname", ["-i"], 1),
    ],
)
def test_a_flag_only_gnu_knows_gets_the_usage_message(name, words, status):
    done = run(name, *words)
    assert done.returncode == status
    assert "usage" in done.stderr.lower()
    assert done.stdout == ""


@pytest.mark.parametrize("text", ["", "a", "ab", "abc", "x" * 1000])
def test_base64_goes_there_and_back(text):
    packed = run("base64", stdin=text)
    assert run("base64", "-D", stdin=packed.stdout).stdout == text


def test_base64_refuses_what_is_not_base64():
    assert run("base64", "-d", stdin="###").returncode == 1


def test_uname_is_darwins():
    assert run("uname", "-sm").stdout == "Darwin arm64\n"
    assert run("uname").stdout == "Darwin\n"


def plant():
    path = str(NODE_FILES / "lab" / "plant")
    loader = SourceFileLoader("plant", path)
    module = module_from_spec(spec_from_loader("plant", loader))
    loader.exec_module(module)
    return module


def test_silent_iowait_counts_as_idle_and_nothing_else_of_the_vms_ticks_changes():
    stat = "cpu  100 0 50 800 40 0 3 7 0 0\ncpu0 60 0 30 400 40 0 3 7 0 0\nintr 5 6\nctxt 9\n"
    shown = [line.split() for line in plant().silent(stat).splitlines()]
    assert shown == [
        ["cpu", "100", "0", "50", "840", "0", "0", "3", "7", "0", "0"],
        ["cpu0", "60", "0", "30", "440", "0", "0", "3", "7", "0", "0"],
        ["intr", "5", "6"],
        ["ctxt", "9"],
    ]


def test_a_line_of_silent_ticks_keeps_its_width_while_they_grow():
    lines = {len(plant().silent(f"cpu  {ticks} 0 5 8 4 0 3 7 0 0\n")) for ticks in (9, 10, 99_999_999)}
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        (["-Id"], r"^ +disk0 \n +KB/t xfrs +MB \n +[0-9.]+ [0-9]+ [0-9.]+ \n$"),
        (["-d"], r"^ +disk0 \n +KB/t +tps +MB/s \n +[0-9.]+ +[0-9]+ +[0-9.]+ \n$"),
        (["--all"], "^$"),
    ],
)
def test_iostat_speaks_as_on_a_mac(words, shape):
    done = subprocess.run(
        ["perl", str(NODE_FILES / "mac" / "iostat"), *words], capture_output=True, text=True, check=False
    )
    assert re.match(shape, done.stdout), done.stdout
    assert (done.returncode == 0) is bool(done.stdout)
