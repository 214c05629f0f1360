"""Ansible itself as the oracle: what both accept, both must read alike; what only one accepts is listed.

The list for people is docs/reference/inventory-divergences.md; each of its rows has a test here.
"""

from __future__ import annotations

import json
import re
import shlex

import yaml
from asking_ansible import NO_VARIABLE, NOT_HERE, ROOT, Texts, ours
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macfleet.inventory import load_inventory, select
from macfleet.inventory.names import is_ipv6
from macfleet.inventory.settings import FleetSettings
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode

VARIABLES = ("v1", "v2", "v3", "v4", "v5")

pytestmark = NOT_HERE
PAGE = ROOT / "docs" / "reference" / "inventory-divergences.md"
COUNTED = []  # examples of each test below


def examples(number):
    """Generated cases: the oracle's process is shared, so nothing is shrunk against a clock."""
    COUNTED.append(number)
    return settings(
        max_examples=number,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def agree(oracle, case, *, refusals=(), fuzz=False):
    """Assert that both read a case alike, or that macfleet refuses it for one of the listed reasons."""
    theirs = oracle.ask(case)
    hosts, groups, codes = ours(case)
    if codes:
        assert codes <= set(refusals), (codes, case)
        oracle.seen["refused"] += not fuzz
        return None
    assert "error" not in theirs, (theirs, case)
    if fuzz and any(":" in name and not is_ipv6(name) for name in theirs["hosts"]):
        return None  # Ansible takes a port for a part of the name, see the divergences
    assert hosts == theirs["hosts"]
    for name, group in theirs["groups"].items():
        if name not in ("all", "ungrouped"):
            assert groups[name] == group["hosts"]
    oracle.seen["alike"] += 1
    return theirs


NAMES = st.sampled_from(
    [
        "h1",
        "h2",
        "h3",
        "h4",
        "h[1:3]",
        "h[2:6:2]",
        "h[01:03]",
        "n[a:c]",
        "n[a:e:2]",
        "r[1:2]-[a:b]",
        "q.lab",
        "h_1",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 9999) | st.floats(-9, 9).map(lambda each: round(each, 2))
    | st.text(alphabet="ab 01'\"#=:{[,.-ü", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
SETTINGS = st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=2)


@st.composite
def inventories(draw):
    """A plain description: groups with nodes, children, variables; host variables."""
    count = draw(st.integers(1, 5))
    names = [f"g{number}" for number in range(1, count + 1)]
    groups = {}
    for number, name in enumerate(names):
        below = names[number + 1 :]
        children = draw(st.lists(st.sampled_from(below), unique=True, max_size=2)) if below else []
        own = {f"{variable}_{name}" if draw(st.integers(0, 3)) else variable: value
               for variable, value in draw(SETTINGS).items()}  # fmt: skip
        if draw(st.integers(0, 4)) == 0:
            own["ansible_group_priority"] = draw(st.integers(1, 9))
        nodes = draw(st.lists(NAMES, unique=True, max_size=3))
        groups[name] = {"hosts": {node: {} for node in nodes}, "children": children, "vars": own}
    if draw(st.booleans()):
        groups["all"] = {"hosts": {each: {} for each in draw(st.lists(NAMES, unique=True, max_size=2))},
                         "children": [], "vars": draw(SETTINGS)}  # fmt: skip
    ported = draw(st.sampled_from(["", "p1:2201", "p[1:2]:2202", "[2001:db8::1]:2203", "2001:db8::[2:4]"]))
    if ported:
        groups[names[0]]["hosts"][ported] = {}
    for group in groups.values():
        for node in group["hosts"]:
            if draw(st.integers(0, 2)) == 0:
                group["hosts"][node] = draw(SETTINGS)
    return groups


def as_yaml(groups):
    document = {
        name: {
            "hosts": group["hosts"],
            "vars": group["vars"],
            **({"children": dict.fromkeys(group["children"])} if group["children"] else {}),
        }
        for name, group in groups.items()
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def as_ini(groups):
    lines = ["# generated"]
    for name, group in groups.items():
        lines.append(f"[{name}]")
        for node, variables in group["hosts"].items():
            words = [f"{key}={shlex.quote(repr(value))}" for key, value in variables.items()]
            lines.append(" ".join([node, *words, "# a comment"]))
        if group["children"]:
            lines += ["", f"[{name}:children]", *group["children"]]
        if group["vars"]:
            lines += [
                "",
                f"[{name}:vars]  # more",
                *(f"{key} = {each!r}" for key, each in group["vars"].items()),
            ]
    return "\n".join(lines) + "\n"


def as_listing(groups):
    plain = {"[", ":"}
    meta = {}
    document = {}
    for name, group in groups.items():
        nodes = {node: its for node, its in group["hosts"].items() if not plain & set(node)}
        document[name] = {"hosts": list(nodes), "vars": group["vars"], "children": group["children"]}
        for node, its in nodes.items():
            meta.setdefault(node, {}).update(its)
    return json.dumps({**document, "_meta": {"hostvars": meta}}, ensure_ascii=False)


def as_program(printed):
    return f"#!/bin/sh\ncat <<'END'\n{printed}\nEND\n"


# Siblings that disagree, or one file that says two things, are an error in macfleet alone.
SAID_TWICE = {"E0210"}


@given(groups=inventories())
@examples(500)
def test_yaml_is_read_alike(oracle, groups):
    agree(oracle, {"files": {"hosts.yml": as_yaml(groups)}, "sources": ["hosts.yml"]}, refusals=SAID_TWICE)


@given(SETTINGS, SETTINGS, SETTINGS, st.sampled_from(["*one", "[*one, *two]", "[*two, *one]"]))
@examples(100)
def test_merge_keys_are_read_alike(oracle, one, two, own, merged):
    said = "".join(f", {json.dumps(name)}: {json.dumps(value)}" for name, value in own.items())
    text = f"""\
g1: {{vars: &one {json.dumps(one)}, hosts: {{h1: }}}}
g2: {{vars: &two {json.dumps(two)}, hosts: {{h2: {{<<: *one}}}}}}
g3: {{hosts: {{h3: {{<<: {merged}{said}}}}}}}
"""
    agree(oracle, {"files": {"hosts.yml": text}, "sources": ["hosts.yml"]})


@given(groups=inventories(), name=st.sampled_from(["hosts", "hosts.ini", "hosts.lab"]))
@examples(500)
def test_ini_is_read_alike(oracle, groups, name):
    agree(oracle, {"files": {name: as_ini(groups)}, "sources": [name]}, refusals=SAID_TWICE)


@given(groups=inventories())
@examples(150)
def test_a_programs_list_is_read_alike(oracle, groups):
    printed = as_listing(groups)
    case = {
        "files": {"list.sh": as_program(printed)},
        "modes": {"list.sh": "755"},
        "printed": {"list.sh": printed},
        "sources": ["list.sh"],
    }
    agree(oracle, case, refusals=SAID_TWICE)


@given(
    st.lists(st.tuples(st.sampled_from(["yaml", "ini"]), inventories()), min_size=1, max_size=3),
    st.booleans(),
)
@examples(150)
def test_folders_and_several_sources_are_read_alike(oracle, parts, as_folder):
    files = {}
    for number, (kind, groups) in enumerate(parts):
        plain = {name: {**group, "hosts": _without_ports(group["hosts"])} for name, group in groups.items()}
        name = ("z/{}.yml", "b{}.yml")[number % 2] if kind == "yaml" else ("a{}", "z.d/{}.ini")[number % 2]
        files[f"inv/{name.format(number)}"] = as_yaml(plain) if kind == "yaml" else as_ini(plain)
    files |= {
        "inv/README.md": "# not a source",
        "inv/.hidden": "x",
        "inv/old.bak": "x",
        "inv/notes.txt": "x y",
    }
    sources = (
        ["inv"] if as_folder else [path for path in files if path.endswith((".yml", ".ini")) or "/a" in path]
    )
    agree(oracle, {"files": files, "sources": sources}, refusals=SAID_TWICE)


@given(
    groups=inventories(), kinds=st.lists(st.sampled_from(["file", "yml", "folder"]), min_size=8, max_size=8)
)
@examples(150)
def test_variable_files_are_read_alike(oracle, groups, kinds):
    files = {}
    written = {name: {**group, "vars": {}} for name, group in groups.items()}
    files["inv/hosts.yml"] = as_yaml(written)
    for kind, (name, group) in zip(kinds, groups.items(), strict=False):
        own = {key: value for key, value in group["vars"].items() if key not in NO_VARIABLE}
        path = {"file": f"{name}", "yml": f"{name}.yml", "folder": f"{name}/x/y.yaml"}[kind]
        files[f"inv/group_vars/{path}"] = yaml.safe_dump(own)
    if any("h1" in group["hosts"] for group in groups.values()):
        files["inv/host_vars/h1.yml"] = "v1: mine\n"
    agree(oracle, {"files": files, "sources": ["inv/hosts.yml"]}, refusals=SAID_TWICE)


@given(
    st.lists(st.text(alphabet="ab01'\"#\\ ,=.[]{}():-_eETx", max_size=12), min_size=1, max_size=4),
    st.booleans(),
)
@examples(400)
def test_any_ini_value_is_read_alike_or_refused(oracle, values, in_section):
    if in_section:
        body = "\n".join(["[g]", "h1", "[g:vars]", *(f"k{n}={value}" for n, value in enumerate(values))])
    else:
        body = "\n".join(["[g]", " ".join(["h1", *(f"k{n}={value}" for n, value in enumerate(values))])])
    agree(
        oracle,
        {"files": {"h.ini": body + "\n"}, "sources": ["h.ini"]},
        refusals={"E0230", "E0102", "E0205"},
        fuzz=True,
    )


ENTRIES = st.text(alphabet="h01b[]:.-", min_size=1, max_size=10) | st.builds(
    "{}[{}:{}{}]{}".format,
    st.sampled_from(["", "h", "h-"]),
    st.sampled_from(["", "0", "1", "01", "08", "001", "a", "c", "B"]),
    st.sampled_from(["2", "3", "03", "12", "012", "c", "e", "D", ""]),
    st.sampled_from(["", "", ":1", ":2", ":3", ":0", ":x"]),
    st.sampled_from(["", ".lab", "[1:2]", ":22", "[a:b]:2222", "x[2:1]"]),
)  # fmt: skip


def _ansible_misreads_the_port(entry):
    """A range at the start and a port at the end, see the divergences."""
    return entry.startswith("[") and re.search(r"\]:[0-9]+$", entry) is not None


def _drops_the_port(entry):
    """Port 0, see the divergences."""
    return re.search(r":0+$", entry) is not None


@given(
    st.lists(
        ENTRIES.filter(lambda entry: not _ansible_misreads_the_port(entry) and not _drops_the_port(entry)),
        min_size=1,
        max_size=3,
        unique=True,
    )
)
@examples(400)
def test_any_entry_of_a_hosts_file_is_read_alike_or_refused(oracle, entries):
    text = json.dumps({"g": {"hosts": dict.fromkeys(entries)}})
    agree(
        oracle,
        {"files": {"h.yml": text}, "sources": ["h.yml"]},
        refusals={"E0205", "E0206", "E0210"},
        fuzz=True,
    )


TERMS = st.sampled_from(
    [
        "all", "*", "g1", "g2", "g3", "h1", "h2", "h03", "n*", "h?", "h_1", "q.lab", "*1", "g*", "~h[0-9]$",
        "~(g2|n[ab])", "~.*1$", "g1[0]", "g1[-1]", "g2[0:1]", "g1[1:]", "g2[0-1]", "g3[1]", "r1-?", "p1",
        "nosuch", "x*", "g1[9]", "ungrouped",
    ]
)  # fmt: skip
SIGNED = st.lists(st.tuples(st.sampled_from(["", "", "&", "!"]), TERMS), min_size=1, max_size=4)


@given(
    groups=inventories(), written=st.lists(st.tuples(SIGNED, st.sampled_from(",:")), min_size=3, max_size=6)
)
@examples(500)
def test_patterns_select_alike_or_name_the_term_that_matches_nothing(oracle, groups, written):
    patterns = {separator.join(sign + term for sign, term in terms): terms for terms, separator in written}
    single = sorted({term for terms in patterns.values() for _, term in terms})
    groups = _without_variables(groups)
    case = {
        "files": {"hosts.yml": as_yaml(groups)},
        "sources": ["hosts.yml"],
        "patterns": [*patterns, *single],
    }
    theirs = agree(oracle, case)["patterns"]
    inventory = load_inventory(Texts(case), ["hosts.yml"], FleetSettings("/fleet", "t"), {})
    for pattern, terms in patterns.items():
        if any(_counts_below_the_second_level(term, groups) for _, term in terms):
            continue
        chosen, unknown = outcome(inventory, pattern)
        if unknown:
            assert not any(theirs[term] for term in unknown), pattern
        else:
            assert sorted(chosen) == sorted(theirs[pattern]), pattern


@given(groups=inventories(), lines=st.lists(TERMS, min_size=1, max_size=5))
@examples(150)
def test_a_file_of_nodes_is_read_alike(oracle, groups, lines):
    groups = _without_variables(groups)
    lines = [line for line in lines if not _counts_below_the_second_level(line, groups)]
    case = {
        "files": {"hosts.yml": as_yaml(groups), "some.txt": "\n".join(["", *lines, ""])},
        "sources": ["hosts.yml"],
        "patterns": ["@some.txt", *lines],
    }
    theirs = agree(oracle, case)["patterns"]
    inventory = load_inventory(Texts(case), ["hosts.yml"], FleetSettings("/fleet", "t"), {})
    chosen, unknown = outcome(inventory, "@some.txt", at_files=Texts(case))
    if unknown:
        assert not any(theirs[line] for line in unknown), lines
    elif lines:  # an empty file is no limit to Ansible, and nothing to macfleet
        assert sorted(chosen) == sorted(theirs["@some.txt"]), lines


def test_as_many_cases_are_generated_as_the_page_says():
    said = re.search(r"([0-9]+),([0-9]+) cases", PAGE.read_text())
    assert int("".join(said.groups())) == sum(COUNTED) >= 2000


def outcome(inventory, pattern, **options):
    """Return the nodes a pattern selects, and the terms that are refused as unknown."""
    try:
        return [node.name for node in select(inventory, pattern, **options)], set()
    except MacfleetError as error:
        if error.exit_code is ExitCode.NOTHING_SELECTED:
            return [], set()
        if {each.code for each in error.diagnostics} != {"E0220"}:
            raise
        return [], {each.summary.split('"')[1] for each in error.diagnostics}


def _counts_below_the_second_level(term, groups):
    """Ansible walks deeper levels in the order of a set, another one in each process."""
    children = groups.get(term.partition("[")[0], {"children": ()})["children"]
    return "[" in term and any(groups[child]["children"] for child in children)


def _without_ports(hosts):
    return {name: its for name, its in hosts.items() if not name.startswith(("p", "[", "2001"))}


def _without_variables(groups):
    return {
        name: {**group, "vars": {}, "hosts": {node: {} for node in group["hosts"]}}
        for name, group in groups.items()
    }
