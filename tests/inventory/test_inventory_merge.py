from __future__ import annotations

import pytest

from macfleet.inventory import explain, graph
from macfleet.model.diagnostic import MacfleetError

LADDER = """\
all:
  vars: {{site: {everywhere}}}
  children:
    parent:
      {parent}
      children:
        child:
          {child}
          hosts:
            a: {node}
"""


@pytest.mark.parametrize(
    ("parent", "child", "node", "expected"),
    [
        ("vars: {}", "vars: {}", "{}", "w"),
        ("vars: {site: x}", "vars: {}", "{}", "x"),
        ("vars: {site: x}", "vars: {site: y}", "{}", "y"),
        ("vars: {site: x}", "vars: {site: y}", "{site: z}", "z"),
        ("vars: {site: x}", "vars: {}", "{site: z}", "z"),
    ],
)
def test_all_gives_way_to_parent_to_child_to_node(load, parent, child, node, expected):
    hosts = LADDER.format(everywhere="w", parent=parent, child=child, node=node)
    assert load(hosts).node("a").site == expected


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ({"inventory/group_vars/child.yml": "site: beside"}, "beside"),
        ({"inventory/group_vars/child": "site: beside"}, "beside"),
        ({"inventory/group_vars/child.json": '{"site": "beside"}'}, "beside"),
        ({"inventory/group_vars/child/one.yml": "site: beside"}, "beside"),
        ({"inventory/group_vars/child/1.yml": "site: a", "inventory/group_vars/child/2.yml": "site: b"}, "b"),
        ({"inventory/group_vars/parent.yml": "site: beside"}, "inline"),
        ({"inventory/group_vars/all.yml": "site: beside"}, "inline"),
        ({"inventory/host_vars/a.yml": "site: own", "inventory/group_vars/child.yml": "site: group"}, "own"),
        ({"inventory/group_vars/child/.hidden.yml": "site: no"}, "inline"),
        ({"inventory/group_vars/child.yml~": "site: no"}, "inline"),
        ({"inventory/group_vars/README.md": "words"}, "inline"),
        ({"inventory/group_vars/child.yml": ""}, "inline"),
    ],
)
def test_variable_files_win_over_their_own_group_only(load, others, expected):
    hosts = "parent: {children: {child: {vars: {site: inline}, hosts: {a: }}}}"
    assert load(hosts, others).node("a").site == expected


def test_a_later_source_wins_over_an_earlier_one(load):
    others = {"second.yml": "all: {hosts: {a: {site: second}}}"}
    fleet = "{name: t, inventory: [inventory/hosts.yml, second.yml]}"
    assert load("all: {hosts: {a: {site: first}}}", others, fleet=fleet).node("a").site == "second"


def test_siblings_that_disagree_are_an_error_that_names_both_places(problems):
    hosts = "rack:\n  vars: {site: par}\n  hosts: {a: }\nfloor:\n  vars: {site: ams}\n  hosts: {a: }\n"
    (found,) = problems(hosts)
    assert found.code == "E0210"
    assert found.node == "a"
    assert "inventory/hosts.yml:2:10" in found.why
    assert "inventory/hosts.yml:5:10" in found.why


@pytest.mark.parametrize(
    "hosts",
    [
        "{x: {vars: {site: par}, hosts: {a: }}, y: {vars: {site: par}, hosts: {a: }}}",
        "{x: {vars: {site: par}, hosts: {a: }}, y: {vars: {site: ams}, hosts: {a: {site: par}}}}",
        "{x: {vars: {site: ams}, hosts: {a: }}, y: {vars: {site: par, ansible_group_priority: 5}, hosts: {a: }}}",
        "{x: {vars: {site: ams}, children: {y: {vars: {site: par}, hosts: {a: }}}}, z: {hosts: {a: }}}",
    ],
    ids=["agree", "the node decides", "a priority decides", "one is below the other"],
)
def test_siblings_that_do_not_need_a_guess_are_fine(load, hosts):
    assert load(hosts).node("a").site == "par"


def test_a_conflict_below_is_found_though_a_parent_agrees_with_one_side(problems):
    hosts = """\
top: {vars: {site: ams}, children: {left: {vars: {site: par}, hosts: {a: }}}}
right: {vars: {site: ams}, hosts: {a: }}
"""
    assert [each.code for each in problems(hosts)] == ["E0210"]


def test_true_and_one_are_different_values(problems):
    hosts = "{x: {vars: {v: true}, hosts: {a: }}, y: {vars: {v: 1}, hosts: {a: }}}"
    assert [each.code for each in problems(hosts, v=None)] == ["E0210"]


def test_one_file_may_not_set_a_variable_of_a_node_twice(problems):
    hosts = "all:\n  hosts:\n    mac-[1:2]: {chip: m4}\n    mac-2: {chip: m4-pro}\n"
    (found,) = problems(hosts)
    assert found.summary == '"chip" of node mac-2 is set twice'


def test_explain_names_every_contender_and_the_winner(load):
    hosts = "all:\n  vars: {site: w}\n  children:\n    c:\n      vars: {site: x}\n      hosts:\n        a: {site: y}\n"
    rows = explain(load(hosts, {"inventory/group_vars/c.yml": "site: z"}), "a", "site")
    assert [(each.origin, each.value, str(each.where), each.winner) for each in rows] == [
        ("group all", "w", "inventory/hosts.yml:2:10", False),
        ("group c", "x", "inventory/hosts.yml:5:14", False),
        ("group c", "z", "inventory/group_vars/c.yml:1:1", False),
        ("node a", "y", "inventory/hosts.yml:7:13", True),
    ]


def test_explain_knows_what_is_built_in(load):
    (row,) = explain(load("all: {hosts: {a: }}"), "a", "platform")
    assert (row.origin, row.value, row.where, row.winner) == ("built in", "linux/arm64", None, True)


@pytest.mark.parametrize(
    ("node", "variable", "guess"),
    [("b", "site", ""), ("mac1", "site", "mac-1"), ("mac-1", "platfrm", "platform")],
)
def test_explain_refuses_unknown_words_with_a_suggestion(load, node, variable, guess):
    with pytest.raises(MacfleetError) as caught:
        explain(load("all: {hosts: {mac-1: }}"), node, variable)
    assert guess in caught.value.diagnostics[0].mend


def test_the_graph_nests_written_groups_and_lists_implicit_ones(load):
    inventory = load("{top: {children: {low: {hosts: {a: {chip: m4}}}}}, other: {hosts: {b: }}}")
    everything, *implicit = graph(inventory)
    assert [branch.name for branch in everything.branches] == ["other", "top"]
    assert everything.branches[1].branches[0].nodes == ("a",)
    assert [(branch.kind, branch.name, branch.nodes) for branch in implicit] == [
        ("chip", "m4", ("a",)),
        ("ownership", "owned", ("a", "b")),
    ]


def test_a_value_that_ansible_takes_from_the_parents_file_is_a_warning(load):
    hosts = "top: {children: {web: {hosts: {a: , b: }, vars: {pool: chat, chip: m4}}}}"
    found = load(hosts, {"inventory/group_vars/top.yml": "pool: code\nchip: m4\n"})
    assert found.node("a").pool == "chat"
    warning = found.warnings[0]
    assert (len(found.warnings), warning.code, str(warning.where)) == (
        1,
        "E0241",
        "inventory/hosts.yml:1:56",
    )
    assert "inventory/group_vars/top.yml:1:1" in warning.why
