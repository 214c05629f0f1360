"""Tags, roles' own variables and dependencies, and tasks that act elsewhere."""

import textwrap

import pytest
from fleet_texts import IMAGE, NODE, TextFiles, compiled, findings, stage

from macfleet.model.diagnostic import MacfleetError
from macfleet.playbooks import CompileContext, TagChoice, choose_tags, compile_stage, load_stage


def choice(only="", skip=""):
    return TagChoice(
        frozenset(only.split(",")) if only else frozenset(),
        frozenset(skip.split(",")) if skip else frozenset(),
    )


@pytest.mark.parametrize(
    ("tags", "only", "skip", "acts"),
    [
        ((), "", "", True),
        (("a",), "", "", True),
        (("a",), "a", "", True),
        (("a", "b"), "b,c", "", True),
        (("b",), "a", "", False),
        ((), "a", "", False),
        (("a",), "", "a", False),
        (("a",), "a", "a", False),
        ((), "", "a", True),
        (("always",), "a", "", True),
        (("always",), "", "a", True),
        (("always",), "", "always", False),
        (("always", "a"), "", "a", False),
        (("never",), "", "", False),
        (("never", "a"), "a", "", True),
        (("never", "a"), "b", "", False),
        (("never", "a"), "all", "", False),
        (("never", "a"), "tagged", "", False),
        (("never",), "never", "", True),
        (("a",), "all", "", True),
        ((), "all", "", True),
        (("a",), "tagged", "", True),
        ((), "tagged", "", False),
        ((), "untagged", "", True),
        (("a",), "untagged", "", False),
        (("a",), "", "tagged", False),
        ((), "", "untagged", False),
        (("a",), "", "all", False),
        (("always",), "", "all", True),
        (("always",), "", "all,always", False),
    ],
)
def test_a_task_acts_by_its_tags_as_ansible_has_it(tags, only, skip, acts):
    assert choice(only, skip).wants(tags) is acts


@pytest.mark.parametrize(
    ("only", "skip", "partial"),
    [("", "", False), ("all", "", False), ("a", "", True), ("", "a", True), ("all", "a", True)],
)
def test_anything_but_all_makes_a_run_partial(only, skip, partial):
    assert choice(only, skip).partial is partial


def test_a_tag_that_nothing_has_is_refused_with_the_nearest():
    with pytest.raises(MacfleetError) as caught:
        choose_tags(["servce,always"], ["nothing"], {"service", "files"})
    assert [(d.code, d.mend) for d in caught.value.diagnostics] == [
        ("E0325", "Tags: files, service."),
        ("E0325", 'did you mean "service"?'),
    ]


def test_several_tags_may_stand_between_commas():
    assert choose_tags(["a, b", "c"], [], "abc") == choice("a,b,c")


ROLES = {
    "roles/outer/meta/main.yml": "dependencies: [inner]\n",
    "roles/outer/tasks/main.yml": "- directory: {path: /outer}\n",
    "roles/inner/tasks/main.yml": "- directory: {path: /inner}\n  tags: own\n",
    "roles/other/tasks/main.yml": "- directory: {path: /other}\n",
}


def chosen(texts, only="", skip=""):
    playbook = load_stage(TextFiles(texts), "playbooks/stage.yml")
    found = compile_stage(playbook, NODE, CompileContext({"engine": IMAGE}), choice(only, skip))
    return [resource.address.removeprefix("directory.") for resource in found.resources]


def test_tags_of_a_role_hold_for_its_tasks_and_the_roles_it_depends_on():
    texts = stage(head="  roles: [{role: outer, tags: [service]}, other]\n", **ROLES)
    assert chosen(texts) == ["/inner", "/outer", "/other"]
    assert chosen(texts, "service") == ["/inner", "/outer"]
    assert chosen(texts, "own") == ["/inner"]
    assert chosen(texts, skip="service") == ["/other"]


def test_tags_of_a_later_use_are_joined_to_those_of_the_first():
    texts = stage(head="  roles: [outer, {role: outer, tags: late}]\n", **ROLES)
    assert chosen(texts, "late") == ["/inner", "/outer"]


def test_variables_for_a_role_that_acts_already_are_refused():
    texts = stage(head="  roles: [outer, {role: inner, vars: {x: 1}}]\n", **ROLES)
    ((code, where, summary, _),) = findings(texts)
    assert (code, where, summary) == ("E0326", "playbooks/stage.yml:4", 'role "inner" acts already')


def test_a_roles_vars_win_over_the_playbook_and_its_use_over_them():
    role = {
        "roles/r/tasks/main.yml": '- file: {path: /a, content: "{{ one }} {{ two }} {{ three }}"}',
        "roles/r/defaults/main.yml": "one: default\ntwo: default\nthree: default\n",
        "roles/r/vars/main.yml": "two: vars\nthree: vars\n",
    }
    head = "  vars: {one: play, two: play}\n  roles: [{role: r, vars: {three: use}}]\n"
    (resource,) = compiled(stage(head=head, **role)).resources
    assert resource.content == b"play vars use"


def test_a_dependency_may_have_variables_of_its_own():
    role = {
        "roles/a/meta/main.yml": "dependencies: [{role: b, vars: {word: from a}}]\n",
        "roles/b/tasks/main.yml": '- file: {path: /b, content: "{{ word }}"}',
    }
    (resource,) = compiled(stage(head="  roles: [a]\n", **role)).resources
    assert resource.content == b"from a"


def test_vars_that_are_no_mapping_are_refused():
    role = {"roles/r/vars/main.yml": "- a\n"}
    ((code, where, summary, _),) = findings(stage(head="  roles: [r]\n", **role))
    assert (code, where, summary) == ("E0305", "roles/r/vars/main.yml:1", "vars must be a mapping")


DELEGATED = """
- file: {path: "/tmp/{{ inventory_hostname }}.txt", content: "on {{ port }}"}
  delegate_to: controller
- directory: {path: /tmp}
- directory: {path: /a}
  needs: ["file./tmp/mac-01.txt"]
"""


def test_a_delegated_task_is_kept_apart_from_the_nodes_own():
    found = compiled(stage(DELEGATED))
    assert [each.address for each in found.resources] == ["directory./tmp", "directory./a"]
    assert [each.address for each in found.delegated["controller"]] == ["file./tmp/mac-01.txt"]
    assert found.delegated["controller"][0].needs == ()  # a folder of the node is not the controller's
    assert found.resources[1].needs == ()  # what it needs is settled before


def test_a_task_on_the_edge_may_need_what_the_controller_has_done_and_not_the_other_way_round():
    tasks = """
    - directory: {{path: /a}}
      delegate_to: {}
    - directory: {{path: /b}}
      delegate_to: {}
      needs: directory./a
    - directory: {{path: /c}}
      needs: [directory./a, directory./b]
    """
    found = compiled(stage(textwrap.dedent(tasks).format("controller", "edge")))
    assert {name: [each.address for each in all_] for name, all_ in found.delegated.items()} == {
        "controller": ["directory./a"],
        "edge": ["directory./b"],
    }
    ((code, where, _, _),) = findings(stage(textwrap.dedent(tasks).format("edge", "controller")))
    assert (code, where) == ("E0321", "playbooks/stage.yml:9")


def test_what_acts_elsewhere_is_part_of_what_the_stage_says():
    one, two = compiled(stage(DELEGATED)), compiled(stage(DELEGATED.replace("on {{ port }}", "other")))
    assert one.digest != two.digest
    moved = compiled(stage("- directory: {path: /a}"))
    assert moved.digest != compiled(stage("- directory: {path: /a}\n  delegate_to: controller")).digest


def test_a_delegated_task_cannot_need_what_the_node_has():
    tasks = (
        "- directory: {path: /a}\n- directory: {path: /b}\n  delegate_to: controller\n  needs: directory./a"
    )
    ((code, where, summary, _),) = findings(stage(tasks))
    assert (code, where) == ("E0321", "playbooks/stage.yml:8")
    assert summary == 'nothing has the address "directory./a"'


@pytest.mark.parametrize(
    ("target", "code", "mend"),
    [
        ("mac-02", "E0328", "Write delegate_to: controller, or edge."),
        ("edge-01", "E0328", 'did you mean "edge"?'),
        ("controler", "E0328", 'did you mean "controller"?'),
    ],
)
def test_nothing_else_can_be_delegated_to(target, code, mend):
    ((found, where, _, mended),) = findings(stage(f"- directory: {{path: /a}}\n  delegate_to: {target}"))
    assert (found, where, mended) == (code, "playbooks/stage.yml:6", mend)


def test_a_roles_condition_holds_for_all_its_tasks_and_for_the_roles_it_depends_on():
    use = "{{role: outer, when: {when}}}"
    for when, found in (
        ("\"'bare' in node.arms\"", ["/inner", "/outer", "/other"]),
        ("[\"'bare' in node.arms\", port == 1]", ["/other"]),
        ("false", ["/other"]),
    ):
        texts = stage(head=f"  roles: [{use.format(when=when)}, other]\n", **ROLES)
        assert chosen(texts) == found


def test_a_roles_condition_that_is_wrong_names_its_place():
    texts = stage(head="  roles:\n    - role: outer\n      when: porrt == 1\n", **ROLES)
    assert findings(texts) == [
        ("E0310", "playbooks/stage.yml:6", "'porrt' is undefined", 'did you mean "port"?')
    ]


@pytest.mark.parametrize(
    ("uses", "found"),
    [
        ("outer, {role: inner, when: false}", ["/inner", "/outer"]),
        ("{role: outer, when: false}, inner", ["/inner"]),
        ("{role: outer, when: false}, {role: inner, when: false}", []),
        ("{role: outer, when: false}, other, {role: outer, when: port != 1}", ["/inner", "/outer", "/other"]),
        ("{role: far, when: port == 1}, {role: inner, when: false}", []),
        ("{role: far, when: port == 1}, {role: far, when: word == 'x', tags: t}", []),
        ("{role: far, when: port == 1}, {role: outer, when: true}", ["/inner", "/outer"]),
    ],
)
def test_a_role_that_is_named_more_than_once_acts_where_one_of_its_uses_wants_it(uses, found):
    far = {
        "roles/far/meta/main.yml": "dependencies: [{role: outer, when: port != 1}]\n",
        "roles/far/defaults/main.yml": "word: y\n",
        "roles/far/tasks/main.yml": "- directory: {path: /far}\n",
    }
    assert chosen(stage(head=f"  roles: [{uses}]\n", **ROLES, **far)) == found


def test_a_condition_that_leads_to_a_role_sees_the_variables_of_the_use_that_says_it():
    texts = stage(
        head="  roles: [{role: outer, vars: {wanted: 'yes'}, when: wanted == 'yes'}]\n",
        **{**ROLES, "roles/inner/defaults/main.yml": "wanted: 'no'\n"},
    )
    assert chosen(texts) == ["/inner", "/outer"]
