from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.inventory import explain, load_inventory, select
from macfleet.inventory.ini_text import IniProblem, read_value, split_words
from macfleet.inventory.settings import FleetSettings
from macfleet.model.diagnostic import MacfleetError

FLEET = FleetSettings("/fleet", "t")
HOSTS = """\
# nodes in no group
lone

[minis]   # owned ones
mac-[01:03] chip=m4 memory=24GiB
[hired]
rent-01:2222 ansible_host=203.0.113.7 hardware_model='Mac mini M4 Pro' # the fast one
; an address as a name
[2001:db8::1]:2200

[serving:children]
minis
hired

[serving:vars]
pool = chat
arms = ['bare', 'container']
min_ready=2
site=par
relay=true
"""


def load(memory, text, path="hosts.ini", **others):
    return load_inventory(memory({path: text, **others}), [path], FLEET, {})


def test_sections_ranges_ports_and_values_make_nodes(memory):
    found = load(memory, HOSTS)
    nodes = {node.name: node for node in found.nodes}
    assert list(nodes) == ["lone", "mac-01", "mac-02", "mac-03", "rent-01", "2001:db8::1"]
    assert found.groups["serving"].children == ("minis", "hired")
    assert nodes["mac-02"].chip == "m4"
    assert nodes["mac-02"].arms == ("bare", "container")
    assert nodes["rent-01"].min_ready == 2
    assert (nodes["rent-01"].relay, nodes["lone"].relay) == (True, False)
    assert nodes["rent-01"].hardware_model == "Mac mini M4 Pro"
    assert (nodes["rent-01"].endpoint.host, nodes["rent-01"].endpoint.port) == ("203.0.113.7", 2222)
    assert (nodes["2001:db8::1"].endpoint.host, nodes["2001:db8::1"].endpoint.port) == ("2001:db8::1", 2200)
    assert nodes["lone"].groups == ("all", "owned", "ungrouped")


@pytest.mark.parametrize(
    ("node", "variable", "place"),
    [
        ("mac-02", "chip", "hosts.ini:5:13"),
        ("rent-01", "ansible_port", "hosts.ini:7:1"),
        ("rent-01", "hardware_model", "hosts.ini:7:39"),
        ("mac-01", "pool", "hosts.ini:16:1"),
    ],
)
def test_explain_points_into_an_ini_file(memory, node, variable, place):
    winner = next(each for each in explain(load(memory, HOSTS), node, variable) if each.winner)
    assert str(winner.where) == place


@pytest.mark.parametrize("path", ["hosts", "hosts.lab", "hosts.ini"])
def test_a_file_without_a_telling_ending_is_judged_by_its_first_line(memory, path):
    assert len(load(memory, HOSTS, path).nodes) == 6


def test_yaml_without_an_ending_is_still_yaml(memory):
    assert [node.name for node in load(memory, "# c\nall:\n  hosts:\n    a:\n", "hosts").nodes] == ["a"]


def test_an_address_is_selected_alone_between_commas_and_in_brackets(memory):
    found = load(memory, HOSTS)
    names = ["2001:db8::1"]
    for pattern in ("2001:db8::1", "hired,&2001:db8::1", "hired:&[2001:db8::1]", "2001:db8::[1:1]"):
        assert [node.name for node in select(found, pattern)] == names
    assert [node.name for node in select(found, "lone,2001:db8::1")] == ["lone", "2001:db8::1"]


@pytest.mark.parametrize(
    ("text", "code", "place", "summary"),
    [
        ("[a:hostz]\nb\n", "E0230", "1:1", 'section "a" has the unknown kind "hostz"'),
        ("[a b]\nc\n", "E0230", "1:1", '"[a b]" is no section'),
        ("[a]\nb c\n", "E0230", "2:3", '"c" is no variable'),
        ("[a]\nb chip=m4#new\n", "E0230", "2:10", "the line cannot be read: a # touches a word"),
        ("[a]\nb chip='m4\n", "E0230", "2:3", "the line cannot be read: a ' has no partner"),
        ("[a]\nb chip=m4 chip=m5\n", "E0102", "2:3", '"chip" stands twice in one line'),
        ("[a]\nb\n[a:vars]\npool = chat # best\n", "E0230", "4:1", "a comment cannot follow a value"),
        ("[a]\nb\n[a:vars]\npool\n", "E0230", "4:1", '"pool" is no variable'),
        ("[a]\nb\n[a:vars]\narms={1, 2}\n", "E0230", "4:1", '"arms": {1, 2} is nothing JSON can hold'),
        ("[a]\nb\n[b2:vars]\npool=x\n", "E0230", "3:1", 'names the group "b2", which has no section'),
        ("[a:children]\nc\n[b]\nd\n", "E0230", "2:1", 'names the group "c", which has no section'),
        ("[a]\nmac-[03:01]\n", "E0206", "2:1", "reversed"),
        ("[a]\nb:\n", "E0205", "2:1", '"b:" cannot be a node'),
        ("[a]\nb pol=chat\n", "E0214", "2:3", 'unknown key "pol" for node b'),
        ("[a]\nb pool=chat\n[c]\nb pool=code\n", "E0210", "4:3", '"pool" of node b is set twice'),
        ("[a:children]\na\n", "E0208", "1:1", "groups are inside one another: a > a"),
    ],
)
def test_what_ansible_would_guess_at_is_refused_with_its_place(memory, text, code, place, summary):
    with pytest.raises(MacfleetError) as caught:
        load(memory, text)
    found = caught.value.diagnostics[0]
    assert (found.code, str(found.where)) == (code, f"hosts.ini:{place}")
    assert summary in found.summary


def test_every_wrong_line_is_reported(memory):
    with pytest.raises(MacfleetError) as caught:
        load(memory, "[a]\nb c\nd e\n[x:y]\nz\n")
    assert [each.where.line for each in caught.value.diagnostics] == [2, 3, 4]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("24GiB", "24GiB"),
        ("22", 22),
        ("'22'", "22"),
        ("True", True),
        ("true", "true"),
        ("yes", "yes"),
        ("None", None),
        ("1.50", 1.5),
        ("010", "010"),
        ("['a', 1]", ["a", 1]),
        ("('a',)", ["a"]),
        ("{'a': {'b': 2}}", {"a": {"b": 2}}),
        ("a, b", "a, b"),
        ("", ""),
    ],
)
def test_values_are_python_literals_or_text(text, value):
    found = read_value(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text", ["b'x'", "1j", "...", "{1}", "{1: 2}", "1e999", "-1e999"])
def test_a_literal_json_cannot_hold_is_refused(text):
    with pytest.raises(ValueError, match="nothing JSON can hold"):
        read_value(text)


@given(st.text(alphabet="ab='\"\\ \t", max_size=24))
def test_words_are_split_as_a_posix_shell_does(line):
    try:
        found = [word.text for word in split_words(line)]
    except IniProblem:
        with pytest.raises(ValueError, match=r"closing quotation|escaped character"):
            shlex.split(line)
    else:
        assert found == shlex.split(line)


@given(st.text(max_size=60))
def test_any_text_is_an_inventory_or_a_list_of_problems(memory, text):
    problems = ()
    try:
        load(memory, text)
    except MacfleetError as error:
        problems = error.diagnostics
    assert all(each.where is not None for each in problems)
