import pytest
from fleet_texts import HEX, IMAGE, NODE, compiled, findings, stage

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.resource import Assemble

COMPOSE = "services:\n  engine:\n    image: {image}\n    volumes:\n      - /Users/ops/models:/models:ro\n"
PINNED = f"registry.example/llama-server@sha256:{HEX}"


def addresses(texts, **values):
    return [resource.address for resource in compiled(texts, **values).resources]


def needs(texts):
    return {resource.address: resource.needs for resource in compiled(texts).resources}


def test_an_expression_alone_keeps_its_type_and_text_around_it_makes_text():
    (resource,) = compiled(
        stage(
            '- file: {path: "{{ root }}/{{ port }}", content: "p {{ port }}\\n", become: "{{ port == 8080 }}"}'
        )
    ).resources
    assert (resource.path, resource.content, resource.become) == (
        "/Users/ops/macfleet/8080",
        b"p 8080\n",
        True,
    )


def test_when_and_loop_decide_which_resources_there_are():
    tasks = """
- directory: {path: "/Users/ops/{{ item.name }}"}
  loop: [{name: a, wanted: true}, {name: b, wanted: false}]
  when: item.wanted
- directory: {path: /Users/ops/c}
  when: ["'container' in node.arms", "node.memory > 0"]
- directory: {path: /Users/ops/d}
  when: "node.platform == 'linux/arm64'"
"""
    assert addresses(stage(tasks)) == ["directory./Users/ops/a", "directory./Users/ops/d"]


def test_variables_win_in_the_order_defaults_inventory_playbook_role():
    role = {
        "roles/r/tasks/main.yml": '- file: {path: /a/f, content: "{{ one }} {{ two }} {{ three }} {{ four }}"}',
        "roles/r/defaults/main.yml": 'one: default\ntwo: default\nthree: default\nfour: "{{ three }}+"\n',
    }
    head = "  vars: {two: play, three: play}\n  roles: [{role: r, vars: {three: role}}]\n"
    (resource,) = compiled(stage(head=head, **role)).resources
    assert resource.content == b"default play role role+"


def test_an_undefined_name_is_refused_with_the_line_where_it_is_used():
    texts = stage('- file: {path: /a, content: "{{ porrt }}"}')
    assert findings(texts) == [
        ("E0310", "playbooks/stage.yml:5", "'porrt' is undefined", 'did you mean "port"?')
    ]


def test_an_undefined_name_in_a_template_names_the_templates_line():
    role = {
        "roles/r/tasks/main.yml": "- file: {path: /a, template: x.conf}",
        "roles/r/templates/x.conf": "one\ntwo {{ node.chp }}\n",
    }
    ((code, where, summary, _),) = findings(stage(head="  roles: [r]\n", **role))
    assert (code, where) == ("E0310", "roles/r/templates/x.conf:2")
    assert "chp" in summary


def test_an_undefined_name_in_a_default_names_the_defaults_line():
    role = {
        "roles/r/tasks/main.yml": '- file: {path: /a, content: "{{ x }}"}',
        "roles/r/defaults/main.yml": 'y: 1\nx: "{{ nothing }}"\n',
    }
    assert findings(stage(head="  roles: [r]\n", **role))[0][:2] == ("E0310", "roles/r/defaults/main.yml:2")


def test_a_default_nobody_uses_is_never_rendered():
    role = {
        "roles/r/tasks/main.yml": "- directory: {path: /a}",
        "roles/r/defaults/main.yml": 'x: "{{ nothing }}"',
    }
    assert addresses(stage(head="  roles: [r]\n", **role)) == ["directory./a"]


def test_templates_include_what_stands_beside_them_and_see_the_filters():
    role = {
        "roles/r/tasks/main.yml": "- file: {path: /a, template: main.j2}",
        "roles/r/templates/main.j2": "{% include 'part.j2' %}\n\n{{ node.colima.memory | gib }} {{ root | basename }}\n",
        "roles/r/templates/part.j2": "{{ [1, 'b'] | to_json }} {{ {'k': {'v': 1}} | to_yaml }}",
    }
    (resource,) = compiled(stage(head="  roles: [r]\n", **role)).resources
    assert resource.content.decode() == '[1, "b"] k:\n  v: 1\n12 macfleet\n'


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ("- directory: {path: /a}\n- directory: {path: /a}", ("E0320", 6, "directory./a is there twice")),
        ("- directory: {path: a}", ("E0303", 5, "not an absolute path")),
        ("- directory: {path: /a, mode: 0755}", ("E0303", 5, "write the mode in quotes")),
        (
            "- directory: {path: /a}\n  needs: directory./b",
            ("E0321", 6, 'nothing has the address "directory./b"'),
        ),
        ("- directory: {path: /a}\n  when: port", ("E0312", 6, "when: gives 8080, neither true nor false")),
        ("- directory: {path: /a}\n  loop: 3", ("E0313", 6, "loop: must be a list")),
        ("- directory: {path: '{{ port + }}'}", ("E0311", 5, "not a valid expression")),
        ("- directory: {path: '{{ ().__class__ }}'}", ("E031", 5, "")),
        ("- command: {run: echo}", ("E0303", 5, "a command needs a guard")),
        ("- command: {run: 'echo \"{{ root }}\"', creates: /a}", ("E0314", 5, "inside quotes")),
        ("- file: {path: /a, template: x}", ("E0315", 5, "template playbooks/templates/x is missing")),
        ("- file: {path: /a}", ("E0303", 5, "exactly one of content, template, source")),
        ("- docker_image: {image: engin}", ("E0650", 5, "not in images.lock")),
        ("- docker_image: {image: 'registry.example/x:latest'}", ("E0651", 5, "is a mutable reference")),
        (
            "- compose_project: {name: chat, file: /a}",
            ("E0323", 5, "no file resource of this stage writes /a"),
        ),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_its_line(tasks, expected):
    code, line, words = expected
    found = findings(stage(tasks))
    assert len(found) == 1
    assert found[0][0].startswith(code)
    assert found[0][1] == f"playbooks/stage.yml:{line}"
    assert words in found[0][2]


@pytest.mark.parametrize(
    ("when", "code", "summary", "why", "mend"),
    [
        ("found.rc == 0", "E0310", "'found' is undefined", "before anything is done", ""),
        ("facts.macos > 1", "E0310", "'facts' is undefined", "before anything is done", "node.chip"),
        ("node.chp == 'm4'", "E0310", "node has no chp", "before anything is done", 'did you mean "chip"?'),
        ("network.zz == 'a'", "E0310", "network has no zz", "", "It has: mode."),
        ("node.roots.zz == 'a'", "E0310", "node.roots has no zz", "", "It has: cache, logs, weights."),
        ("node.chip", "E0312", "when: gives '', neither true nor false", "", "Compare it"),
        ("{{ port == 8080 }}", "E0311", "not a valid expression", "", "leave {{ and }} out"),
    ],
)
def test_a_condition_that_asks_for_more_than_is_known_beforehand_is_refused_with_the_reason(
    when, code, summary, why, mend
):
    with pytest.raises(MacfleetError) as caught:
        compiled(stage(f'- directory: {{path: /a}}\n  when: "{when}"'))
    (found,) = caught.value.diagnostics
    assert (found.code, found.where.line) == (code, 6)
    assert summary in found.summary
    assert why in found.why
    assert mend in found.mend


def test_a_part_that_a_name_in_a_template_has_not_is_named_with_the_templates_line():
    texts = stage("- file: {path: /a, template: x}", **{"playbooks/templates/x": "a\n{{ node.chp }}\n"})
    (found,) = findings(texts)
    assert found == ("E0310", "playbooks/templates/x:2", "node has no chp", 'did you mean "chip"?')


def test_values_in_shell_text_are_quoted_once():
    texts = stage("- command: {id: c, run: 'echo {{ text }} {{ text | quote }} {{ words }}', creates: /a}",
                  head="  vars: {text: \"it's $(here)\", words: [a, b c]}\n")  # fmt: skip
    (resource,) = compiled(texts).resources
    quoted = "'it'\"'\"'s $(here)'"
    assert resource.script == f"echo {quoted} {quoted} a 'b c'"


def test_needs_follow_from_folders_files_engine_and_binds():
    tasks = f"""
- brew_formula: {{name: colima}}
- directory: {{path: /Users/ops/macfleet}}
- directory: {{path: /Users/ops/models}}
- file:
    path: /Users/ops/macfleet/compose.yaml
    content: "{COMPOSE.format(image=PINNED).encode("unicode_escape").decode()}"
- colima_instance: {{cpus: 2, memory: 2GiB, disk: 20GiB, mounts: [{{location: /Users/ops/models}}]}}
- docker_image: {{image: engine}}
- compose_project: {{name: chat, file: /Users/ops/macfleet/compose.yaml}}
  needs: docker_image.engine
"""
    assert needs(stage(tasks)) == {
        "brew_formula.colima": (),
        "directory./Users/ops/macfleet": (),
        "directory./Users/ops/models": (),
        "file./Users/ops/macfleet/compose.yaml": ("directory./Users/ops/macfleet",),
        "colima_instance.default": ("brew_formula.colima", "directory./Users/ops/models"),
        "docker_image.engine": ("colima_instance.default",),
        "compose_project.chat": (
            "colima_instance.default",
            "directory./Users/ops/macfleet",
            "directory./Users/ops/models",
            "docker_image.engine",
            "file./Users/ops/macfleet/compose.yaml",
        ),
    }


def test_resources_that_wait_for_each_other_are_refused():
    tasks = "- directory: {path: /a}\n  needs: directory./b\n- directory: {path: /b}\n  needs: directory./a"
    (found,) = findings(stage(tasks))
    assert found[2] == "resources wait for each other: directory./a → directory./b → directory./a"


@pytest.mark.parametrize(
    ("image", "refused"),
    [
        (PINNED, False),
        ("{{ images.engine.pinned }}", False),
        ("{{ images.engine.run }}", False),
        ("registry.example/llama-server:b10434", True),
        ("llama-server", True),
        ("${IMAGE}", True),
    ],
)
def test_a_compose_file_names_every_image_by_digest(image, refused):
    role = {
        "roles/r/tasks/main.yml": "- file: {path: /a/c.yaml, template: c.yaml}\n- compose_project: {name: chat, file: /a/c.yaml}",
        "roles/r/templates/c.yaml": COMPOSE.replace("{image}", image),
    }
    found = findings(stage(head="  roles: [r]\n", **role))
    assert [code for code, *_ in found] == (["E0651"] if refused else [])
    assert all(image in summary and "macfleet image pin" in mend for _, _, summary, mend in found)


def test_a_pushed_image_is_called_by_a_tag_that_names_its_manifest():
    from dataclasses import replace

    texts = stage("- docker_image: {image: engine}")
    (resource,) = compiled(texts, replace(NODE, delivery="push")).resources
    (step,) = resource.steps(resource.change(None))
    assert isinstance(step, Assemble)
    assert step.source == f"oci:{IMAGE.pinned}|linux/arm64|registry.example/llama-server:sha256-{'2' * 64}"


def test_equal_input_gives_an_equal_digest_and_any_difference_another():
    texts = stage('- file: {path: /a, content: "{{ port }} {{ network.mode }}"}')
    assert compiled(texts).digest == compiled(texts).digest
    assert compiled(texts).digest != compiled(texts, network={"mode": "host"}).digest
    assert (
        compiled(texts).digest != compiled(stage('- file: {path: /b, content: "x{{ port }} bridge"}')).digest
    )


def test_an_image_of_a_foreign_platform_is_held_not_run_under_emulation():
    from dataclasses import replace

    from macfleet.model.diagnostic import MacfleetError
    from macfleet.model.exit_codes import ExitCode

    texts = stage("- docker_image: {image: engine}")
    with pytest.raises(MacfleetError, match="is for linux/arm64, the node runs linux/amd64") as caught:
        compiled(texts, replace(NODE, platform="linux/amd64"))
    assert caught.value.exit_code is ExitCode.HELD


def test_tags_leave_out_other_tasks_and_what_they_would_have_settled():
    from fleet_texts import TextFiles

    from macfleet.playbooks import CompileContext, Compiler, TagChoice, load_stage

    tasks = "- directory: {path: /a}\n- directory: {path: /b}\n  tags: [some, more]\n  needs: directory./a"
    playbook = load_stage(TextFiles(stage(tasks)), "playbooks/stage.yml")
    chosen = Compiler(playbook).compile(NODE, CompileContext(), TagChoice(frozenset({"more"})))
    assert [(each.address, each.needs) for each in chosen.resources] == [("directory./b", ())]


def test_a_change_of_a_file_that_is_read_at_start_changes_what_must_run():
    tasks = """
- file: {path: /a/conf, content: "ONE"}
- launchd_service: {label: a.b, program: [/bin/x], reads: [/a/conf]}
"""
    one, two = compiled(stage(tasks)), compiled(stage(tasks.replace("ONE", "TWO")))
    assert one.resources[1].desired() != two.resources[1].desired()
    assert one.resources[1].needs == ("file./a/conf",)
