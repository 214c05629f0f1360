import pytest
from fleet_texts import TextFiles, compiled, findings, stage

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.stage import StageName, Strategy
from macfleet.playbooks import Measure, declared_variables, load_stage

LAYOUT = """\
- name: Weights, caches and logs on fast local disks
  stage: layout
  hosts: serving
  strategy: {canary: 1, batch: 25%, drain: true}
  max_failures: 2
  roles: [layout, {role: compose, vars: {port: 9000}}]
  gates:
    - converged: {}
    - mounts_local: {kinds: [apfs], refuse: [icloud, removable]}
    - weights_verified
  measure: {network: {rounds: 3}}
"""
ROLES = {
    "roles/layout/tasks/main.yml": "- directory: {path: /Users/ops/models}\n",
    "roles/layout/defaults/main.yml": "keep_days: 7\n",
    "roles/compose/tasks/main.yml": "- file: {path: /Users/ops/a, content: hello}\n",
    "roles/compose/defaults/main.yml": "port: 8080\n",
    "roles/compose/meta/main.yml": "dependencies: [docker]\n",
    "roles/docker/README.md": "Docker's client.\n",
}


def load(texts):
    return load_stage(TextFiles(texts), "playbooks/stage.yml")


def test_a_stage_file_is_read_whole_with_its_roles_dependencies_first():
    playbook = load({"playbooks/stage.yml": LAYOUT, **ROLES})
    assert playbook.stage is StageName.LAYOUT
    assert playbook.strategy == Strategy(canary=1, batch=("25%",), drain=True)
    assert playbook.max_failures == "2"
    assert [role.name for role in playbook.roles] == ["layout", "docker", "compose"]
    assert playbook.measure == Measure("network", {"rounds": 3})
    assert [(gate.kind, dict(gate.params), gate.where.line) for gate in playbook.gates] == [
        ("converged", {}, 8),
        ("mounts_local", {"kinds": ["apfs"], "refuse": ["icloud", "removable"]}, 9),
        ("weights_verified", {}, 10),
    ]


def test_role_defaults_are_the_variables_an_inventory_may_set():
    files = TextFiles(ROLES)
    assert declared_variables(files) == {"keep_days": 7, "port": 8080}
    assert declared_variables(files, ["layout"]) == {"keep_days": 7}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"playbooks/stage.yml": "[]"}, ("E0301", 1, "a playbook is a list of exactly one stage")),
        (stage(head="  stages: x\n"), ("E0301", 4, 'unknown key "stages" for playbook')),
        (
            {"playbooks/stage.yml": "- name: x\n  stage: layuot\n  hosts: all\n"},
            ("E0302", 2, 'unknown stage "layuot"'),
        ),
        (stage("- direktory: {path: /a}"), ("E0304", 5, 'unknown resource kind "direktory"')),
        (stage("- name: nothing"), ("E0304", 5, "the task has no resource kind")),
        (stage("- file: {}\n  directory: {}"), ("E0304", 6, "a task has one resource kind, this one has file and directory")),
        (stage("- directory: {pth: /a}"), ("E0303", 5, 'unknown key "pth" for directory')),
        (stage("- directory: /a"), ("E0303", 5, "directory must be a mapping of parameters")),
        (stage(head="  roles: [missing]\n"), ("E0305", 4, 'unknown role "missing"')),
        (stage(head="  gates: [{a: 1}]\n"), ("E0307", 4, "a gate is one kind with parameters")),
        (stage(head="  measure: everything\n"), ("E0308", 4, "a stage measures network or loadtest")),
        (stage(head="  max_failures: 0\n"), ("E0301", 4, '"max_failures" for playbook: \'0\' is neither a number from 1 nor a share such as 25%')),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_its_line(texts, expected):
    code, line, summary = expected
    (found,) = findings(texts)
    assert found[:3] == (code, f"playbooks/stage.yml:{line}", summary)


def test_misspelt_words_come_with_a_suggestion():
    texts = stage("- direktory: {path: /a}\n- directory: {pth: /a}")
    assert [mend for _, _, _, mend in findings(texts)] == [
        'did you mean "directory"?',
        'did you mean "path"?',
    ]


def test_roles_that_depend_on_each_other_are_refused():
    texts = stage(
        head="  roles: [a]\n",
        **{"roles/a/meta/main.yml": "dependencies: [b]", "roles/b/meta/main.yml": "dependencies: [a]"},
    )
    (found,) = findings(texts)
    assert found[2] == "roles depend on each other: a → b → a"


def test_every_finding_is_reported_not_only_the_first():
    texts = stage("- direktory: {}\n- file: {paht: /a}\n- {name: x}", head="  gates: [{a: 1}]\n")
    assert [code for code, *_ in findings(texts)] == ["E0304", "E0303", "E0304", "E0307"]


def test_what_is_wrong_with_a_playbook_hides_nothing_of_its_roles_tasks_and_gates():
    head = "  rolls: [a]\n  roles: [nope]\n  strategy: {canary: 1, batches: 3}\n  gates: [{convergd: {}}]\n"
    texts = stage("- {directory: {pth: /a}, register: x, wen: y, delegate_to: mac-02}", head=head)
    texts["playbooks/stage.yml"] = texts["playbooks/stage.yml"].replace("layout", "layuot")
    assert [(code, summary) for code, _, summary, _ in findings(texts)] == [
        ("E0301", 'unknown key "rolls" for playbook'),
        ("E0301", 'unknown key "batches" for playbook'),
        ("E0305", 'unknown role "nope"'),
        ("E0303", 'unknown key "pth" for directory'),
        ("E0304", 'unknown key "register" for task'),
        ("E0304", 'unknown key "wen" for task'),
        ("E0328", 'a task cannot be delegated to "mac-02"'),
        ("E0302", 'unknown stage "layuot"'),
        ("E0801", 'unknown gate "convergd"'),
    ]


def test_every_file_of_a_role_is_looked_at_and_a_role_that_is_wrong_is_in_no_circle():
    roles = {
        "roles/a/meta/main.yml": "dependencies: [zz]\nx: 1\n",
        "roles/a/tasks/main.yml": "- direktory: {}\n",
        "roles/a/defaults/main.yml": "- 1\n",
        "roles/a/vars/main.yml": "7\n",
        "roles/a/templates/x.j2": b"\xff",
        "roles/b/meta/main.yml": "dependencies: [a]\n",
    }
    found = findings(stage(head="  roles: [a, b, a]\n", **roles))
    assert [(code, where) for code, where, *_ in found] == [
        ("E0305", "roles/a/meta/main.yml:2"),
        ("E0305", "roles/a/meta/main.yml:1"),
        ("E0304", "roles/a/tasks/main.yml:1"),
        ("E0315", "roles/a/templates/x.j2:1"),
        ("E0305", "roles/a/defaults/main.yml:1"),
        ("E0305", "roles/a/vars/main.yml:1"),
    ]


def test_a_role_that_several_depend_on_acts_once_before_all_of_them():
    uses = {"a": "[b, c]", "b": "[d]", "c": "[d]"}
    texts = {f"roles/{name}/meta/main.yml": f"dependencies: {named}\n" for name, named in uses.items()}
    texts |= {f"roles/{name}/tasks/main.yml": f"- directory: {{path: /{name}}}\n" for name in "abcd"}
    built = compiled(stage(head="  roles: [a]\n", **texts))
    assert [each.address for each in built.resources] == [f"directory./{name}" for name in "dbca"]


def test_a_missing_playbook_is_said():
    with pytest.raises(MacfleetError, match="the playbook is missing"):
        load({})
