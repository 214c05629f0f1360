from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.inventory import load_inventory, select
from macfleet.inventory.patterns import Sign, parse_pattern
from macfleet.inventory.settings import FleetSettings
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode

HOSTS = """\
serving:
  children:
    minis:
      hosts:
        mac-[01:04]: {chip: m4, pool: chat}
    hired:
      hosts:
        rent-[01:02]: {chip: m4-pro, pool: chat, ownership: rented}
edge:
  hosts: {edge-01: }
empty: {}
"""
NODES = ("mac-01", "mac-02", "mac-03", "mac-04", "rent-01", "rent-02", "edge-01")


class OneFile:
    def read(self, path):
        return HOSTS.encode()

    def exists(self, path):
        return path == "hosts.yml"

    def list(self, folder):
        return ()


INVENTORY = load_inventory(OneFile(), ["hosts.yml"], FleetSettings("/fleet", "t"), {})


def names(pattern, **options):
    return [node.name for node in select(INVENTORY, pattern, **options)]


def outcome(pattern):
    try:
        return set(names(pattern))
    except MacfleetError as error:
        return error.exit_code


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("", NODES),
        ("all", NODES),
        ("*", NODES),
        ("mac-02", ["mac-02"]),
        ("edge,mac-01", ["mac-01", "edge-01"]),
        ("edge:mac-01", ["mac-01", "edge-01"]),
        (" edge , mac-01 ", ["mac-01", "edge-01"]),
        ("serving:&m4", NODES[:4]),
        ("chat:&rented", ["rent-01", "rent-02"]),
        ("serving:!rented", NODES[:4]),
        ("!rented:serving", NODES[:4]),
        ("!serving", ["edge-01"]),
        ("&rented", ["rent-01", "rent-02"]),
        ("serving:&chat:!mac-*", ["rent-01", "rent-02"]),
        ("*-01", ["mac-01", "rent-01", "edge-01"]),
        ("mac-0?", NODES[:4]),
        ("min*", NODES[:4]),
        ("m4*", [*NODES[:6]]),
        ("~(mac|rent)-0[12]", ["mac-01", "mac-02", "rent-01", "rent-02"]),
        ("~mac-0{1,1}[13],edge", ["mac-01", "mac-03", "edge-01"]),
        ("~.*-01$", ["mac-01", "rent-01", "edge-01"]),
        ("mac-[01:02]", ["mac-01", "mac-02"]),
        ("mac-[01:03:2]:edge", ["mac-01", "mac-03", "edge-01"]),
        ("serving[0]", ["mac-01"]),
        ("serving[-1]", ["rent-02"]),
        ("serving[0:2]", ["mac-01", "mac-02", "mac-03"]),
        ("serving[4:]", ["rent-01", "rent-02"]),
        ("serving[:1]", ["mac-01", "mac-02"]),
        ("serving[-2:-1]", ["rent-01", "rent-02"]),
        ("*-01[1:]", ["rent-01", "edge-01"]),
        ("serving:!minis[1:]", ["mac-01", "rent-01", "rent-02"]),
        ("empty:edge", ["edge-01"]),
        ("all:!drained", NODES),
        ("active", NODES),
    ],
)
def test_a_pattern_selects_in_inventory_order(pattern, expected):
    assert names(pattern) == list(expected)


@pytest.mark.parametrize(
    ("pattern", "word"),
    [
        ("mca-01", 'did you mean "mac-01"?'),
        ("servng", 'did you mean "serving"?'),
        ("serving:&rentd", 'did you mean "rented"?'),
        ("serving:!edg", 'did you mean "edge"?'),
        ("x*", "graph"),
        ("~x.*", "graph"),
        ("mac-[01:09]", "glob"),
        ("nac-[01:02]", "graph"),
        ("serving[9]", ""),
        ("serving[4:2]", ""),
    ],
)
def test_a_term_that_matches_nothing_is_a_usage_error(pattern, word):
    with pytest.raises(MacfleetError) as caught:
        names(pattern)
    assert caught.value.diagnostics[0].code == "E0220"
    assert caught.value.exit_code is ExitCode.USAGE
    assert word in caught.value.diagnostics[0].mend


def test_every_unknown_term_is_named():
    with pytest.raises(MacfleetError) as caught:
        names("foo:&bar:!edge")
    assert [each.summary.split('"')[1] for each in caught.value.diagnostics] == ["foo", "bar"]


@pytest.mark.parametrize(
    "pattern", ["a:b,c", "mac-01,", ",", "a::b", "!", "&", "!&a", "mac-[01:02", "~(", "mac-[2:1]", "~a**"]
)
def test_a_pattern_that_cannot_be_read_is_a_usage_error(pattern):
    with pytest.raises(MacfleetError) as caught:
        names(pattern)
    assert {each.code for each in caught.value.diagnostics} <= {"E0221", "E0220"}
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize("pattern", ["empty", "edge:&rented", "all:!all", "drained", "@failed", "ungrouped"])
def test_known_terms_that_leave_no_node_have_an_exit_code_of_their_own(pattern):
    with pytest.raises(MacfleetError) as caught:
        names(pattern)
    assert caught.value.exit_code is ExitCode.NOTHING_SELECTED


def test_failed_means_the_nodes_given():
    assert names("@failed", failed=("rent-01", "gone-01")) == ["rent-01"]
    assert names("serving:!@failed", failed=("rent-01",)) == [*NODES[:4], "rent-02"]


def test_states_are_groups():
    assert names("chat:!drained", states={"mac-01": "drained"}) == list(NODES[1:6])
    assert names("drained:cordoned", states={"mac-01": "drained", "mac-03": "cordoned"}) == [
        "mac-01",
        "mac-03",
    ]


def test_a_file_of_nodes_is_a_union_of_its_lines(memory):
    files = memory({"some.txt": "\ufeff# comment\nmac-[01:02]\r\n\nedge  # the edge\n"})
    assert names("@some.txt", at_files=files) == ["mac-01", "mac-02", "edge-01"]
    assert names("@some.txt:!edge", at_files=files) == ["mac-01", "mac-02"]


def test_a_wrong_line_of_a_file_is_named_with_its_place(memory):
    with pytest.raises(MacfleetError) as caught:
        names("@some.txt", at_files=memory({"some.txt": "mac-01\nmac-99\n!edge\n"}))
    assert [str(each.where) for each in caught.value.diagnostics] == ["some.txt:2:1", "some.txt:3:1"]


def test_a_missing_file_of_nodes_is_a_usage_error(memory):
    with pytest.raises(MacfleetError, match=r'no file "nodes\.txt"'):
        names("@nodes.txt", at_files=memory({}))


TERMS = st.sampled_from(["serving", "edge", "m4", "rented", "mac-01", "mac-[02:03]", "serving[0:1]", "*-01"])
SIGNED = st.lists(st.tuples(st.sampled_from(list(Sign)), TERMS), min_size=1, max_size=5)


@given(SIGNED, st.sampled_from(",:"))
def test_patterns_are_set_algebra(terms, separator):
    pattern = separator.join(f"{sign}{text}" for sign, text in terms)
    sets = [(sign, set(names(text))) for sign, text in terms]
    unions = [found for sign, found in sets if sign is Sign.UNION]
    expected = set().union(*unions) if unions else set(NODES)
    for sign, found in sets:
        if sign is Sign.INTERSECTION:
            expected &= found
    for sign, found in sets:
        if sign is Sign.EXCLUSION:
            expected -= found
    assert outcome(pattern) == (expected or ExitCode.NOTHING_SELECTED)


@given(st.text(alphabet="mac-01&!:,[]~*@().{}\\ ", max_size=20))
def test_any_text_selects_or_is_refused_with_a_diagnostic(pattern):
    found = outcome(pattern)
    assert found in (ExitCode.USAGE, ExitCode.NOTHING_SELECTED) or found <= set(NODES)


@given(st.lists(st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), min_size=1), st.sampled_from(",:"))
def test_splitting_undoes_joining(words, separator):
    assert [term.text for term in parse_pattern(separator.join(words))] == words


def test_the_grammar_keeps_brackets_together():
    assert [term.text for term in parse_pattern(r"~a[:,]b(c:d){1,2}\[:x[1:2]")] == [
        r"~a[:,]b(c:d){1,2}\[",
        "x[1:2]",
    ]
    assert re.compile(r"a[:,]b(c:d){1,2}\[")
