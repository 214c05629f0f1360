"""Regular expressions of modules: the same from kept code, and taken apart once."""

import importlib
import os
import re
import subprocess
import sys
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.cli import kept_patterns
from macfleet.cli.kept_code import KeptCode
from macfleet.cli.kept_patterns import KeptPatterns, keep_patterns

COMPILER = importlib.import_module("re._compiler")
PATTERNS = (
    (r"[A-Za-z0-9][A-Za-z0-9 ._-]*", 0),
    (r"(?P<year>\d{4})-(?P<month>\d\d)(?:-(\d\d))?", 0),
    (r"(?P<a>x)(?P=a)|(?<!y)z\b", re.IGNORECASE),
    ("(?x) a  # a comment\n b", re.MULTILINE),
    (rb"^[^\x00-\x1f]+$", re.DOTALL),
    ("[^\t\n\r -~\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", 0),
    ("[\ud800-\udfff]é", 0),
    (r"(?i:ab)(?>c+)d*+", re.ASCII),
    ("", 0),
)
_MODULE = """
import re
OF_MODULE = re.compile("of a module")
class Kind:
    of_class = re.compile("of a class")
def later():
    return re.compile("of a function"), re.match("matched in a function", "")
later()
MATCHED = re.fullmatch("matched in a module", "")
"""
_COMMAND = """
import importlib, sys
from macfleet.cli.kept_code import KeptCode
from macfleet.cli.kept_patterns import keep_patterns
kept = KeptCode(sys.argv[1])
keep_patterns(kept.through)
parser = importlib.import_module("re._parser")
parse, seen = parser.parse, []
parser.parse = lambda text, *rest: seen.append(text) or parse(text, *rest)
import yaml
kept.keep()
print(len(seen), yaml.reader.Reader.NON_PRINTABLE.search("a\\0") is not None)
"""


@pytest.fixture
def kept():
    """What was kept, by its name."""
    return {}


@pytest.fixture
def patterns(kept, monkeypatch):
    monkeypatch.setattr(kept_patterns, "_in_a_body", lambda: True)
    return KeptPatterns(keep_in(kept))


def keep_in(kept):
    def keep(name, make):
        if name not in kept:
            kept[name] = make()
        return kept[name]

    return keep


def told(pattern):
    """Everything a pattern says of itself."""
    return pattern, pattern.pattern, pattern.flags, pattern.groups, dict(pattern.groupindex)


@pytest.mark.parametrize(("text", "flags"), PATTERNS, ids=range(len(PATTERNS)))
def test_a_kept_expression_is_the_one_that_would_have_been_compiled(patterns, kept, text, flags):
    first, again = patterns.compile(text, int(flags)), patterns.compile(text, int(flags))
    assert told(first) == told(again) == told(re.compile(text, flags))
    assert len(kept) == 1


@given(
    st.text("ab.*+?|()[]^$\\dw-{}1,:<=!P", max_size=12),
    st.sampled_from([0, re.IGNORECASE, re.VERBOSE | re.DOTALL, re.ASCII]),
)
def test_any_expression_is_the_same_or_the_same_error(text, flags):
    kept = {}
    made = KeptPatterns(keep_in(kept))
    outcomes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a later Python may read otherwise
        for compiled in (made._compile, lambda *given: found_in_a_body(made, *given)):
            try:
                outcomes.append(told(compiled(text, int(flags))))
            except (re.error, OverflowError) as error:
                outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]
    assert len(kept) == (not isinstance(outcomes[1], str))


def found_in_a_body(made, text, flags):
    """What `compile` returns to a module that reaches it through two functions, as through `re`."""

    def outer():
        return inner()

    def inner():
        return made.compile(text, flags)

    scope = {"of_re": outer}
    exec("found = of_re()", scope)  # noqa: S102 (a module's body)
    return scope["found"]


def test_expressions_of_modules_and_classes_are_kept_and_those_of_functions_are_not(kept, monkeypatch):
    re.purge()
    monkeypatch.setattr(COMPILER, "compile", KeptPatterns(keep_in(kept)).compile)
    exec(compile(_MODULE, "module.py", "exec"), {"__name__": "module"})  # noqa: S102 (as an import does)
    re.purge()
    assert sorted(kept) == ["re 0 'matched in a module'", "re 0 'of a class'", "re 0 'of a module'"]


@pytest.mark.parametrize("given", [("a", re.DEBUG), (b"a", re.LOCALE)], ids=["debug", "locale"])
def test_what_prints_or_depends_on_the_machine_is_compiled_each_time(patterns, kept, given, capsys):
    text, flags = given
    assert patterns.compile(text, int(flags)).pattern == text
    assert kept == {}
    assert bool(capsys.readouterr().out) is (flags is re.DEBUG)


def test_without_the_parts_of_re_it_stays_as_it_is(kept, monkeypatch):
    before = COMPILER.compile
    monkeypatch.delattr(COMPILER, "_code")
    keep_patterns(keep_in(kept))
    assert COMPILER.compile is before


def test_a_second_process_takes_no_expression_of_a_module_apart(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    argv = [sys.executable, "-c", _COMMAND, str(tmp_path / "methods")]
    said = [
        subprocess.run(argv, env=environment, check=True, capture_output=True, text=True, timeout=60).stdout
        for _ in range(2)
    ]
    assert int(said[0].split()[0]) > 5
    assert said[1] == "0 True\n"


def test_a_file_without_patterns_of_another_python_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    first = KeptCode(str(tmp_path / "methods"))
    assert first.through("re 0 'a'", lambda: b"made") == b"made"
    first.keep()
    assert KeptCode(str(tmp_path / "methods")).through("re 0 'a'", lambda: b"again") == b"made"
    monkeypatch.setattr(sys, "version", "4.0.0")
    assert KeptCode(str(tmp_path / "methods")).through("re 0 'a'", lambda: b"again") == b"again"
