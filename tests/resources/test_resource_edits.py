"""Lines and blocks in files that somebody else owns: where they go, and that the rest stays."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scratch_mac import ScratchMac

from macfleet.documents import Document, validate
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Endpoint, Node
from macfleet.model.resource import Action
from macfleet.resources import Surroundings
from macfleet.resources.block import BlockParams
from macfleet.resources.file import File
from macfleet.resources.line_in_file import LineInFileParams

TEXT = "one\ntwo\ntwo and a half\nthree\n"


@pytest.fixture
def mac(tmp_path):
    return ScratchMac(tmp_path / "mac")


def built(kind, mac, files=(), **params):
    path = str(mac.home / "conf")
    checked = validate(Document({"path": path, **params}, "case"), kind, kind=kind.kind)
    files = dict.fromkeys(files, b"")
    return checked.build(Surroundings(Node("mac-01", Endpoint("mac-01.example")), files=files))


def line(mac, **params):
    return built(LineInFileParams, mac, **params)


def block(mac, **params):
    return built(BlockParams, mac, **{"name": "b", "begin": "<", "end": ">", **params})


def after(mac, resource, text):
    """Write a text, bring the resource into its state, see that nothing is left, return the text."""
    path = mac.home / "conf"
    path.write_text(text)
    change = mac.planned(resource)
    assert not change.blocked
    mac.carry_out(resource, change)
    assert mac.planned(resource).action is Action.NOOP
    return path.read_text()


@pytest.mark.parametrize(
    ("params", "text", "expected"),
    [
        ({"line": "x"}, TEXT, TEXT + "x\n"),
        ({"line": "x"}, "", "x\n"),
        ({"line": "x"}, "no line break", "no line break\nx\n"),
        ({"line": "x", "match": "^one"}, TEXT, TEXT.replace("one", "x")),
        ({"line": "x", "match": "^none"}, TEXT, TEXT + "x\n"),
        ({"line": "x", "after": "^two"}, TEXT, TEXT.replace("three", "x\nthree")),
        ({"line": "x", "before": "^two"}, TEXT, TEXT.replace("one\n", "one\nx\n")),
        ({"line": "x", "after": "^three$"}, TEXT, TEXT + "x\n"),
        ({"line": "x", "before": "^one"}, TEXT, "x\n" + TEXT),
        ({"line": "a[b]*", "match": "^a.b"}, "a\\b\n", "a[b]*\n"),
        ({"line": "\\1 & $1"}, TEXT, TEXT + "\\1 & $1\n"),
        ({"line": "10"}, "010\n 10\n1e1\n", "010\n 10\n1e1\n10\n"),
        ({"line": "10", "state": "absent"}, "010\n10\n10.0\n", "010\n10.0\n"),
        ({"line": "two", "state": "absent"}, TEXT, TEXT.replace("two\n", "")),
        ({"match": "^two", "state": "absent"}, TEXT, "one\nthree\n"),
        ({"line": "one", "match": "half", "state": "absent"}, TEXT, "two\nthree\n"),
    ],
)
def test_a_line_goes_where_it_is_said(params, text, expected, mac):
    assert after(mac, line(mac, **params), text) == expected


@pytest.mark.parametrize(
    ("params", "text", "expected"),
    [
        ({"block": "x\ny\n"}, TEXT, TEXT + "<\nx\ny\n>\n"),
        ({"block": "x"}, "no line break", "no line break\n<\nx\n>\n"),
        ({"block": "x"}, "a\n<\nold\nolder\n>\nb\n", "a\n<\nx\n>\nb\n"),
        ({"block": "x"}, "<\n>\nb\n", "<\nx\n>\nb\n"),
        ({"block": "x"}, "a\n<\nold\n>\n", "a\n<\nx\n>\n"),
        ({"block": "x", "after": "^one"}, TEXT, TEXT.replace("one\n", "one\n<\nx\n>\n")),
        ({"block": "x", "before": "^one"}, TEXT, "<\nx\n>\n" + TEXT),
        ({"block": "\n  x\\n&\n\n"}, "", "<\n\n  x\\n&\n>\n"),
        ({"block": "x", "begin": "1", "end": "2"}, "01\n2.0\n", "01\n2.0\n1\nx\n2\n"),
        ({"state": "absent"}, "a\n<\nold\n>\nb\n", "a\nb\n"),
        ({"state": "absent", "block": "x"}, "<\nold\n>\n", ""),
    ],
)
def test_a_block_goes_where_it_is_said(params, text, expected, mac):
    assert after(mac, block(mac, **params), text) == expected


@pytest.mark.parametrize("make", [line, block])
def test_mode_and_owner_of_the_file_stay(make, mac):
    path = mac.home / "conf"
    path.write_text("a\n")
    assert mac.run(f"chown root:wheel {path}; chmod 0444 {path}").exit == 0
    resource = make(mac, **({"line": "x"} if make is line else {"block": "x"}))
    mac.carry_out(resource, mac.planned(resource))
    assert mac.run(f"stat -f '%Mp%Lp %Su:%Sg' {path}").stdout == "0444 root:wheel\n"
    assert sorted(each.name for each in mac.home.iterdir()) == ["Library", "conf"]


@pytest.mark.parametrize("make", [line, block])
def test_a_file_that_is_missing_is_made_when_that_is_said(make, mac):
    said = {"line": "x"} if make is line else {"block": "x"}
    assert "is missing" in mac.planned(make(mac, **said)).blocked
    resource = make(mac, **said, create=True)
    mac.carry_out(resource, mac.planned(resource))
    assert (mac.home / "conf").read_text() in {"x\n", "<\nx\n>\n"}
    assert mac.planned(resource).action is Action.NOOP


def test_a_binary_file_is_left_alone(mac):
    path = mac.home / "conf"
    path.write_bytes(b"a\0b\n")
    resource = line(mac, line="x")
    with pytest.raises(AssertionError, match="NUL bytes"):
        mac.carry_out(resource, mac.planned(resource))
    assert path.read_bytes() == b"a\0b\n"
    assert not list(mac.home.glob(".macfleet*"))


@pytest.mark.parametrize(
    ("kind", "params", "words"),
    [
        (LineInFileParams, {}, "line: is missing"),
        (LineInFileParams, {"state": "absent"}, "which line goes"),
        (LineInFileParams, {"line": "a\nb"}, "use block"),
        (LineInFileParams, {"line": "a", "match": r"^\d+"}, r"write \[0-9\]"),
        (LineInFileParams, {"line": "a", "match": "a(b"}, "no regular expression: missing"),
        (BlockParams, {"name": "b", "block": "x", "after": "[a"}, "no regular expression: unterminated"),
        (LineInFileParams, {"line": "a", "match": "(?i)a"}, "no extended regular expression"),
        (LineInFileParams, {"line": "a", "after": "x", "before": "y"}, "not both"),
        (LineInFileParams, {"line": "a", "matches": "x"}, 'unknown key "matches"'),
        (BlockParams, {"name": "b"}, "block: is missing"),
        (BlockParams, {"name": "b", "block": "x\n# END macfleet b"}, "no line like its markers"),
        (BlockParams, {"name": "b", "block": "x", "begin": "#", "end": "#"}, "must differ"),
        (BlockParams, {"name": " ", "block": "x"}, "must not be empty"),
    ],
)
def test_what_cannot_be_meant_is_refused(kind, params, words, mac):
    with pytest.raises(MacfleetError, match=words):
        built(kind, mac, **params)


@pytest.mark.parametrize("make", [line, block])
def test_a_file_that_the_stage_writes_whole_takes_no_edit(make, mac):
    with pytest.raises(ValueError, match=r"writes .* whole"):
        make(mac, files=[str(mac.home / "conf")], **({"line": "x"} if make is line else {"block": "x"}))


@pytest.mark.parametrize(("owner", "expected"), [("", "_www:_www"), ("root:wheel", "root:wheel")])
def test_a_file_that_root_writes_anew_stays_whose_it_was_unless_that_is_said(owner, expected, mac):
    path = mac.home / "conf"
    path.write_text("old")
    assert mac.run(f"chown _www:_www {path}").exit == 0
    resource = File(str(path), b"new", owner=owner, become=True)
    mac.carry_out(resource, mac.planned(resource))
    assert path.read_text() == "new"
    assert mac.run(f"stat -f %Su:%Sg {path}").stdout == f"{expected}\n"


LINES = st.text(st.characters(blacklist_characters="\0\n\r", blacklist_categories=("Cs",)), max_size=12)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(held=st.lists(LINES, max_size=5), wanted=LINES.filter(bool), ended=st.booleans())
def test_whatever_a_file_holds_the_line_is_there_once_more_and_the_rest_stays(mac, held, wanted, ended):
    text = "\n".join(held) + ("\n" if held and ended else "")
    path = mac.home / "conf"
    path.write_bytes(text.encode())
    resource = line(mac, line=wanted)
    change = mac.planned(resource)
    lines = text.removesuffix("\n").split("\n") if text else []
    assert (change.action is Action.NOOP) == (wanted in lines)
    mac.carry_out(resource, change)
    expected = lines if wanted in lines else [*lines, wanted]
    assert path.read_bytes().decode().removesuffix("\n").split("\n") == expected
    assert mac.planned(resource).action is Action.NOOP
    gone = line(mac, line=wanted, state="absent")
    mac.carry_out(gone, mac.planned(gone))
    assert path.read_bytes().decode() == "".join(f"{each}\n" for each in lines if each != wanted)
