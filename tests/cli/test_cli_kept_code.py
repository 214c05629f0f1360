"""Code of generated methods: the same classes from it, and nothing compiled twice."""

import dataclasses
import os
import subprocess
import sys

import pytest

from macfleet.cli.kept_code import KeptCode


@pytest.fixture(autouse=True)
def _compiled_modules_are_kept(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)


def make():
    @dataclasses.dataclass(frozen=True, slots=True, order=True)
    class Pair:
        """Two values."""

        first: int
        second: tuple[str, ...] = ()

    return Pair


def made_through(file, monkeypatch):
    """A class made with the file's code, and what kept it."""
    kept = KeptCode(str(file))
    with monkeypatch.context() as patch:
        patch.setattr(dataclasses, "exec", kept.execute, raising=False)
        return make(), kept


def behaviour(kind):
    one, other = kind(1, ("a",)), kind(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.first = 3
    return repr(one), one == kind(1, ("a",)), one < other, hash(one) == hash(kind(1, ("a",))), other.second


def test_a_class_from_kept_code_is_the_class_that_would_have_been_compiled(tmp_path, monkeypatch):
    file = tmp_path / "methods"
    first, kept = made_through(file, monkeypatch)
    kept.keep()
    assert file.is_file()
    second, _ = made_through(file, monkeypatch)
    assert behaviour(first) == behaviour(second) == behaviour(make())


def test_nothing_is_compiled_that_was_kept_and_nothing_written_again(tmp_path, monkeypatch):
    file = tmp_path / "methods"
    made_through(file, monkeypatch)[1].keep()
    written = file.stat().st_mtime_ns, file.stat().st_ino

    def refuse(*_, **__):
        pytest.fail("compiled again")

    monkeypatch.setattr("builtins.compile", refuse)
    made_through(file, monkeypatch)[1].keep()
    assert (file.stat().st_mtime_ns, file.stat().st_ino) == written


@pytest.mark.parametrize("content", [b"", b"\x00", b"half", b"i\x01\x00\x00\x00", b"\xa9\x02"], ids=range(5))
def test_a_damaged_file_is_one_in_which_nothing_is_found(tmp_path, monkeypatch, content):
    file = tmp_path / "methods"
    file.write_bytes(content)
    kind, kept = made_through(file, monkeypatch)
    assert behaviour(kind) == behaviour(make())
    kept.keep()
    assert len(file.read_bytes()) > 100


def test_code_of_another_python_is_not_used(tmp_path, monkeypatch):
    file = tmp_path / "methods"
    made_through(file, monkeypatch)[1].keep()
    before = file.read_bytes()
    monkeypatch.setattr(sys, "version", "4.0.0")
    made_through(file, monkeypatch)[1].keep()
    assert file.read_bytes() != before


def test_where_nothing_can_be_written_it_is_compiled_each_time(tmp_path, monkeypatch):
    kind, kept = made_through(tmp_path / "missing" / "methods", monkeypatch)
    kept.keep()
    assert behaviour(kind) == behaviour(make())
    assert list(tmp_path.iterdir()) == []


def test_whoever_keeps_no_compiled_modules_keeps_none_of_this(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    made_through(tmp_path / "methods", monkeypatch)[1].keep()
    assert list(tmp_path.iterdir()) == []


def test_the_command_keeps_its_code_where_python_keeps_compiled_modules(tmp_path):
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seen = []
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-m", "macfleet", "--help"],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )
        (file,) = tmp_path.rglob("kept_code.*.methods")
        seen.append((file.stat().st_ino, file.stat().st_mtime_ns))
    assert seen[0] == seen[1]
