"""Code of generated methods and annotations: the same from it, and nothing compiled twice."""

import dataclasses
import os
import subprocess
import sys
import typing

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


ANNOTATIONS = ("int | None", "Mapping[str, 'tuple[int, ...]']", "(*Ts,)[0]", "yield", "")


def evaluated(compiled):
    """What annotations come to; where they are none, what is said of them."""
    told = []
    for text in ANNOTATIONS:
        try:
            code = compiled(text, "<string>", "eval")
        except SyntaxError as error:
            told.append(str(error))
            continue
        told.append(str(eval(code, {"Mapping": dict, "Ts": (int,)})))  # noqa: S307 (text of this test)
    return told


def test_an_annotation_from_kept_code_is_the_one_that_would_have_been_compiled(tmp_path, monkeypatch):
    file = tmp_path / "annotations"
    kept = KeptCode(str(file))
    assert evaluated(kept.annotation) == evaluated(compile)
    assert kept.annotation("int", "<string>", "eval") is kept.annotation("int", "<string>", "eval")
    kept.keep()
    again = KeptCode(str(file))
    with monkeypatch.context() as patch:
        patch.setattr("builtins.compile", lambda *_, **__: pytest.fail("compiled again"))
        codes = [again.annotation(text, "<string>", "eval") for text in ANNOTATIONS[:3]]
    assert codes == [compile(text, "<string>", "eval") for text in ANNOTATIONS[:3]]


def test_what_is_compiled_as_something_else_is_left_to_the_compiler(tmp_path):
    kept = KeptCode(str(tmp_path / "methods"))
    assert kept.annotation("x = 1", "<string>", "exec").co_names == ("x",)
    assert kept.annotation("1", "a.py", "eval").co_filename == "a.py"
    kept.keep()
    assert list(tmp_path.iterdir()) == []


def test_the_same_text_as_a_method_and_as_an_annotation_is_two_codes(tmp_path):
    kept = KeptCode(str(tmp_path / "methods"))
    found: dict[str, object] = {}
    assert eval(kept.annotation("1 + 1", "<string>", "eval")) == 2  # noqa: S307 (text of this test)
    kept.execute("1 + 1", {}, found)
    assert found == {}


def test_annotations_are_compiled_through_it_in_a_command(tmp_path):
    text = "from macfleet.cli.kept_code import keep_code; import typing; keep_code();"
    text += "print(typing.ForwardRef('int').__forward_code__ is typing.ForwardRef('int').__forward_code__)"
    done = subprocess.run(
        [sys.executable, "-c", text], check=True, capture_output=True, text=True, timeout=60, cwd=tmp_path
    )
    assert done.stdout == "True\n"
    assert typing.ForwardRef("int").__forward_code__ is not typing.ForwardRef("int").__forward_code__


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
