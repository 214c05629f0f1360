"""Each row of docs/reference/inventory-divergences.md: what Ansible does, and what macfleet does instead."""

from __future__ import annotations

import re

import pytest
from asking_ansible import NOT_HERE, ROOT, Texts, ours

from macfleet.inventory import load_inventory, select
from macfleet.inventory.settings import FleetSettings
from macfleet.model.diagnostic import MacfleetError

PAGE = ROOT / "docs" / "reference" / "inventory-divergences.md"
FLEET = FleetSettings("/fleet", "t")
YML = "hosts.yml"
INI = "hosts.ini"
PROGRAM = "list.sh"


def variables(node, **expected):
    """Ansible (or macfleet) gives the node these values; None means it has none."""
    return lambda hosts: {name: hosts[node]["vars"].get(name) for name in expected} == expected


def nodes(*names):
    return lambda hosts: sorted(hosts) == sorted(names)


FAILS = object()  # Ansible does not parse the file.
TWO = "b: {hosts: {h: }, vars: {v: 1}}\na: {hosts: {h: }, vars: {v: 2}}\n"
# Title, files, what Ansible makes of them, what macfleet makes of them or the code of its refusal.
READ = [
    ("Groups that are not above one another disagree", {YML: TWO}, variables("h", v=1), "E0210"),
    (
        "Groups that are not above one another disagree",
        {YML: "z: {hosts: {h: }, vars: {v: 1}}\ntop: {children: {a: {hosts: {h: }, vars: {v: 2}}}}\n"},
        variables("h", v=2),
        "E0210",
    ),
    (
        "One file gives two values",
        {INI: "[a]\nh:2201 ansible_port=2202\n"},
        variables("h", ansible_port=2202),
        "E0210",
    ),
    ("One file gives two values", {INI: "[a]\nh v=1\n[b]\nh v=2\n"}, variables("h", v=2), "E0210"),
    (
        "`group_vars/` of a parent against `vars:` of a child",
        {YML: "a: {hosts: {h: }, vars: {v: child}}", "group_vars/all.yml": "v: parent"},
        variables("h", v="parent"),
        variables("h", v="child"),
    ),
    (
        "`yes`, `no`, `on`, `off`, `TRUE` and dates in YAML",
        {YML: "a: {hosts: {h: {v: yes, w: off, x: TRUE, y: True}}}"},
        variables("h", v=True, w=False, x=True, y=True),
        variables("h", v="yes", w="off", x="TRUE", y=True),
    ),
    (
        "A value tagged `!vault` or `!unsafe` in YAML",
        {YML: "a: {hosts: {h: {v: !unsafe '{{ w }}'}}}"},
        variables("h", v="{{ w }}"),
        "E0104",
    ),
    ("A key stands twice in YAML", {YML: "a: {hosts: {h: {v: 1, v: 2}}}"}, variables("h", v=2), "E0102"),
    (
        "A template that asks for `groups`, `hostvars` or `lookup`",
        {YML: "a: {hosts: {h: {site: \"{{ groups['a'][0] }}\"}}}"},
        variables("h", site="{{ groups['a'][0] }}"),
        "E0212",
    ),
    (
        "A password, such as `ansible_become_password`",
        {YML: "a: {hosts: {h: {ansible_become_password: x}}}"},
        lambda hosts: "ansible_become_password" in hosts["h"]["vars"],
        "E0214",
    ),
    (
        "A value that does not fit, such as `ansible_port: ssh`",
        {YML: "a: {hosts: {h: {ansible_port: ssh}}}"},
        variables("h", ansible_port="ssh"),
        "E0213",
    ),
    (
        "Two nodes with one address and port",
        {YML: "a: {hosts: {h: {ansible_host: x}, i: {ansible_host: x}}}"},
        nodes("h", "i"),
        "E0215",
    ),
    ("A variable that nothing reads", {YML: "a: {hosts: {h: {v: 1}}}"}, variables("h", v=1), "load E0214"),
    (
        "A port on a later mention of a node",
        {YML: 'a: {hosts: {h: }}\nb: {hosts: {"h:2222": }}'},
        variables("h", ansible_port=None),
        variables("h", ansible_port=2222),
    ),
    (
        'A priority that is text, such as `"10"`',
        {YML: TWO.replace("v: 2}", 'v: 2, ansible_group_priority: "10"}')},
        variables("h", v=2),
        "E0211",
    ),
    ("A literal in INI that JSON cannot hold", {INI: "[a]\nh v={1}\n"}, nodes("h"), "E0230"),
    ("A variable stands twice in an INI line", {INI: "[a]\nh v=1 v=2\n"}, variables("h", v=2), "E0102"),
    (
        "A comment after a value in `[group:vars]`",
        {INI: "[a]\nh\n[a:vars]\nv=chat # best\nw=5 # best\n"},
        variables("h", v="chat # best", w=5),
        "E0230",
    ),
    ("`#` touches a word in an INI line", {INI: "[a]\nh v=m4#best\n"}, variables("h", v="m4"), "E0230"),
    ("A reversed range", {YML: "a: {hosts: {'h[3:1]': , i: }}"}, nodes("i"), "E0206"),
    (
        "Bounds of different width, such as `[1:010]`",
        {YML: "a: {hosts: {'h[9:010]': }}"},
        nodes("h9", "h10"),
        "E0206",
    ),
    (
        "Bounds of different case, such as `[y:B]`",
        {YML: "a: {hosts: {'h[y:B]': }}"},
        nodes("hy", "hz", "hA", "hB"),
        "E0206",
    ),
    (
        "A port after `[1:2]` alone or `h[:2]`",
        {YML: "a: {hosts: {'[1:2]:2222': }}"},
        variables("1", ansible_port=2),
        variables("2", ansible_port=2222),
    ),
    (
        "A port after `[1:2]` alone or `h[:2]`",
        {YML: "a: {hosts: {'h[:1]:22': }}"},
        nodes("h0:22", "h1:22"),
        variables("h1", ansible_port=22),
    ),
    (
        "A range of more than 10,000 names",
        {YML: "a: {hosts: {'h[00001:10001]': }}"},
        lambda hosts: len(hosts) == 10_001,
        "E0206",
    ),
    (
        "Names that differ in upper and lower case alone",
        {YML: "a: {hosts: {h: , H: {ansible_host: i}}}"},
        nodes("H", "h"),
        "E0209",
    ),
    (
        "Port 0, such as `h:0`",
        {YML: "a: {hosts: {'h:0': }}"},
        variables("h", ansible_port=None),
        "load E0213",
    ),
    (
        "Bounds in other digits, such as `[１:３]`",
        {YML: "a: {hosts: {'h[１:３]': }}"},
        nodes("h1", "h2", "h3"),
        "E0206",
    ),
    ("A name that is a node and a group", {YML: "a: {hosts: {a: }}"}, nodes("a"), "load E0209"),
    ("A node name that is no safe file name", {YML: "a: {hosts: {../h: }}"}, nodes("../h"), "E0205"),
    ("A node that is a number or a boolean in YAML", {YML: "a: {hosts: {1: }}"}, FAILS, nodes("1")),
    (
        "A group with blanks or letters other than ASCII's",
        {YML: "gruppé: {hosts: {h: }}\nmy own: {hosts: {i: }}"},
        nodes("h", "i"),
        "E0205",
    ),
    (
        "One of several sources does not parse",
        {"inv/a.yml": "a: {hosts: {h: }}", "inv/b.ini": "[b]\nx y z\n"},
        lambda hosts: "h" in hosts,
        "E0230",
    ),
    ("An unknown key in a YAML group", {YML: "a: {hosts: {h: }, hostz: {i: }}"}, nodes("h"), "E0204"),
    ("`hosts:` that is one word", {YML: "a: {hosts: h}"}, nodes("h"), "E0203"),
    ("A hosts file of nothing but `{}`", {YML: "{}"}, nodes("{}"), nodes()),
    ("A byte order mark before an INI file", {INI: "\ufeff[a]\nh\n"}, FAILS, nodes("h")),
    (
        "Variables for a group or node that is not declared",
        {YML: "a: {hosts: {h: }}", "group_vars/b.yml": "v: 1"},
        variables("h", v=None),
        "E0207",
    ),
    (
        "A file and a folder, or two files, of variables for one name",
        {YML: "a: {hosts: {h: }}", "group_vars/a": "v: bare", "group_vars/a.yml": "v: named"},
        variables("h", v="bare"),
        "E0218",
    ),
    (
        "A file and a folder, or two files, of variables for one name",
        {YML: "a: {hosts: {h: }}", "group_vars/a.yml": "v: file", "group_vars/a/x.yml": "v: folder"},
        variables("h", v="folder"),
        "E0218",
    ),
    (
        "`group_vars/` in a folder below the source",
        {"inv/x/h.yml": "a: {hosts: {h: }}", "inv/x/group_vars/a.yml": "v: 1"},
        variables("h", v=None),
        "E0218",
    ),
    (
        "A priority in `group_vars/`",
        {YML: TWO, "group_vars/a.yml": "ansible_group_priority: 9"},
        variables("h", v=1),
        "E0211",
    ),
    ("A program without `_meta.hostvars`", {PROGRAM: '{"a": {"hosts": ["h"]}}'}, None, "E0234"),
    (
        "A program's group without `hosts`, `vars` or `children`",
        {PROGRAM: '{"a": {"v": 1}, "_meta": {"hostvars": {}}}'},
        nodes("a"),
        "E0204",
    ),
    (
        "A program's variables for a node it does not list",
        {PROGRAM: '{"a": {"hosts": ["h"]}, "_meta": {"hostvars": {"i": {"v": 1}}}}'},
        nodes("h"),
        "E0207",
    ),
    (
        "An executable `hosts.yml`",
        {YML: "#!/usr/bin/env macfleet\na: {hosts: {h: }}"},
        None,
        "E0203",
    ),
]
# Title, pattern, what Ansible selects (None: an error), what macfleet selects or the code of its refusal.
SELECTED = [
    ("A term that matches nothing", "web:nosuch", ["h1", "h2", "h3"], "E0220"),
    ("An empty term, such as in `web,,db` or `web:`", "web:", ["h1", "h2", "h3"], "E0221"),
    ("`--limit @FILE` of an empty file", "@none.txt", ["h1", "h2", "h3"], "E0222"),
    ("A blank between two terms", "h1 h2", ["h1", "h2"], "E0220"),
    ("`localhost` that no source lists", "localhost", ["localhost"], "E0220"),
    (
        "An IPv6 address between colons, such as `six:!2001:db8::1`",
        "h1:!2001:db8::1",
        ["h1"],
        "E0221",
    ),
    ("A set of characters in a term without `*` and `?`, such as `[hd]1`", "[hx]1", ["h1"], "E0221"),
    ("Commas and colons in one pattern", "h1,h2:h3", ["h1"], "E0221"),
    ("A range in a pattern, such as `mac-[01:03]`", "h[1:2]", [], ["h1", "h2"]),
    ("A comma inside a regular expression", "~h{1,1}[12]$", [], ["h1", "h2"]),
    ("Positions from the end, such as `web[:1]` and `web[-2:]`", "web[:1]", [], ["h1", "h2"]),
    ("Positions from the end, such as `web[:1]` and `web[-2:]`", "web[-2:]", [], ["h2", "h3"]),
    ("Reversed positions, such as `web[2:0]`", "web[2:0]", ["h3"], "E0220"),
    ("Positions of `all` and of a glob", "*[4]", ["h2"], "E0220"),
]
WEB = {YML: "web: {hosts: {'h[1:3]': }}\n", "none.txt": ""}


def case(files):
    source = "inv" if any(path.startswith("inv/") for path in files) else next(iter(files))
    given = {"files": dict(files), "sources": [source], "lenient": True}
    if source == PROGRAM:
        given["printed"] = dict(files)
        given["files"] = {
            PROGRAM: f"#!/bin/sh\n[ $1 = --host ] && exec echo {{}}\ncat <<'END'\n{files[PROGRAM]}\nEND\n"
        }
        given["modes"] = {PROGRAM: "755"}
    return given


def refusals(given):
    texts = Texts(given)
    try:
        load_inventory(texts, given["sources"], FLEET, {"v": None, "w": None}, texts)
    except MacfleetError as error:
        return {each.code for each in error.diagnostics}
    return set()


@pytest.mark.parametrize(("title", "files", "theirs", "mine"), READ)
def test_macfleet_stops_or_reads_as_the_page_says(title, files, theirs, mine):
    given = case(files)
    if isinstance(mine, str) and mine.startswith("load "):
        texts = Texts(given)
        with pytest.raises(MacfleetError) as caught:
            load_inventory(texts, given["sources"], FLEET, {}, texts)
        assert mine.removeprefix("load ") in {each.code for each in caught.value.diagnostics}
    elif isinstance(mine, str):
        assert mine in refusals(given)
    else:
        hosts, _, codes = ours(given)
        assert not codes
        assert mine(hosts)


@pytest.mark.parametrize(("title", "pattern", "theirs", "mine"), SELECTED)
def test_macfleet_selects_as_the_page_says(title, pattern, theirs, mine):
    texts = Texts(case(WEB))
    inventory = load_inventory(texts, [YML], FLEET, {})
    if isinstance(mine, list):
        assert [node.name for node in select(inventory, pattern, at_files=texts)] == mine
        return
    with pytest.raises(MacfleetError) as caught:
        select(inventory, pattern, at_files=texts)
    assert {each.code for each in caught.value.diagnostics} == {mine}


@pytest.mark.parametrize(
    ("title", "files", "theirs", "mine"),
    [pytest.param(*row, marks=NOT_HERE) for row in READ if row[2] is not None],
)
def test_ansible_reads_as_the_page_says(oracle, title, files, theirs, mine):
    answer = oracle.ask({**case(files), "lenient": theirs is not FAILS})
    if theirs is FAILS:
        assert "failed to parse" in answer["error"], answer
        return
    assert "error" not in answer, answer
    assert theirs(answer["hosts"]), answer["hosts"]


@pytest.mark.parametrize(
    ("title", "pattern", "theirs", "mine"), [pytest.param(*row, marks=NOT_HERE) for row in SELECTED]
)
def test_ansible_selects_as_the_page_says(oracle, title, pattern, theirs, mine):
    assert oracle.ask({**case(WEB), "patterns": [pattern]})["patterns"][pattern] == theirs


def test_every_row_of_the_page_has_a_case_and_the_other_way_round():
    rows = re.findall(r"^\| (?!what|---)(.+?) \|", PAGE.read_text(), re.MULTILINE)
    assert set(rows) == {row[0] for row in (*READ, *SELECTED)}
