"""What a shell is told while somebody types: commands, options, nodes, groups, runs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from macfleet.model.run import RunManifest
from macfleet.store import FolderRuns

SOURCE = Path(__file__).parents[2] / "src"
HOSTS = """\
all:
  children:
    serving:
      hosts: {mac-01: {chip: m4}, mac-02: {ownership: rented}}
    edge:
      hosts: {edge-01: {role: edge}}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text(HOSTS)
    (tmp_path / "macfleet.yml").write_text("name: lab\n")
    return tmp_path


def completed(folder, typed, **more):
    """Return what is offered for the last word of a command line."""
    words = typed.split(" ")
    done = subprocess.run(
        [sys.executable, "-m", "macfleet"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(SOURCE),
            "_MACFLEET_COMPLETE": "bash_complete",
            "COMP_WORDS": typed,
            "COMP_CWORD": str(len(words) - 1),
            **more,
        },
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stderr == ""
    return [line.removeprefix("plain,") for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("macfleet dra", ["drain"]),
        ("macfleet lab fault mac-01 un", ["unplugged", "unreachable"]),
        ("macfleet drain mac", ["mac-01", "mac-02"]),
        ("macfleet ping -l rented:&mac-0", ["rented:&mac-01", "rented:&mac-02"]),
        ("macfleet rollout stage3 --limit serving:!ed", ["serving:!edge", "serving:!edge-01"]),
        ("macfleet logs e", ["edge-01", "edge"]),
        ("macfleet completion f", ["fish"]),
        ("macfleet rollout stage1 --che", ["--check"]),
    ],
)
def test_the_word_being_typed_is_completed(typed, offered, folder):
    assert sorted(completed(folder, typed)) == sorted(offered)


def test_runs_are_offered_newest_first(folder):
    ids = ("20261121T041205Z-stage5-1a2b", "20261123T041205Z-stage5-3c4d")
    for each in ids:
        manifest = RunManifest(
            *(each, "loadtest", "loadtest", "9f2c", "5a5a", "abc"),
            False,
            ("mac-01",),
            ("bare",),
            "node-loopback",
            "2026-11-23T04:12:05Z",
            "2026-11-23T05:12:05Z",
            "ops",
            "",
            "0.1.0",
        )
        FolderRuns(folder / ".macfleet/runs").create(each).finish(manifest)
    assert completed(folder, "macfleet run show 2026") == [ids[1], ids[0]]


@pytest.mark.parametrize("broken", ["", "name: lab\ninventory: nowhere\n", "name: [\n"])
def test_a_folder_that_cannot_be_read_offers_nothing_and_says_nothing(broken, tmp_path):
    if broken:
        (tmp_path / "macfleet.yml").write_text(broken)
    assert completed(tmp_path, "macfleet drain m") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_says_where_it_is_kept_and_asks_the_command(shell, folder):
    done = subprocess.run(
        [sys.executable, "-m", "macfleet", "completion"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "SHELL": f"/bin/{shell}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    first, *rest = done.stdout.splitlines()
    assert first.startswith("# Keep it in ~/.")
    assert f"_MACFLEET_COMPLETE={shell}_complete" in "\n".join(rest)
    if parser := shutil.which(shell):
        subprocess.run([parser, "-n"], input=done.stdout, text=True, check=True, timeout=60)


def test_an_unknown_shell_is_told_which_are_known(folder):
    done = subprocess.run(
        [sys.executable, "-m", "macfleet", "completion"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCE), "SHELL": "/bin/tcsh"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "there is no completion for tcsh" in done.stderr
    assert "macfleet completion bash, fish or zsh" in done.stderr
