"""`lint` on fleet folders with something wrong in each kind of file."""

import json
import re

import pytest


def linted(run, *arguments):
    code, out, _ = run("lint", "--output", "json", *arguments)
    document = json.loads(out)
    assert document["exit_code"] == code
    return code, document


def told(document):
    return {
        (each["severity"], each["code"], f"{each['file']}:{each['line']}") for each in document["findings"]
    }


def edit(fleet, file, before, after):
    path = fleet / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


def test_a_folder_as_init_makes_it_has_nothing_wrong_once_it_is_frozen_and_pinned(run, fleet):
    code, document = linted(run)
    assert (code, document["findings"]) == (0, [])
    looked_at = document["looked_at"]
    assert (looked_at["playbooks"], looked_at["nodes"], looked_at["compiled stages"]) == (6, 2, 12)
    code, out, err = run("lint")
    assert (code, err) == (0, "")
    assert out.startswith("✓ nothing wrong · 6 playbooks · 8 roles · 9 fixtures · 2 nodes · 12 compiled")


@pytest.mark.parametrize(
    ("file", "before", "after", "code", "line"),
    [
        ("inventory/hosts.yml", "chip: m4", "chipp: m4", "E0214", 2),
        ("macfleet.yml", "name: my-fleet", "nam: my-fleet", "E0204", 2),
        ("playbooks/stage3-layout.yml", "mounts_local:", "mount_local:", "E0801", None),
        ("playbooks/stage3-layout.yml", "hosts: serving", "hosts: servin", "E0220", None),
        ("roles/layout/tasks/main.yml", "directory:", "direktory:", "E0304", None),
        ("roles/compose/templates/compose.yaml.j2", "{{", "{{ | ", "E0311", None),
        ("roles/compose/tasks/main.yml", "compose_project }}", "compose_projct }}", "E0310", None),
        ("contract/contract.yml", "engine_slots: 4", "engine_slots: 5", "E0716", None),
        ("contract/thresholds.yml", "thresholds:", "threshold:", "E0103", None),
        ("contract/offers.yml", "offers:", "offer:", "E0103", None),
        ("contract/budget.yml", "bucket: short", "bucket: [", "E0101", None),
    ],
)
def test_what_is_wrong_is_an_error_with_its_place_and_no_node_is_asked(
    run, fleet, file, before, after, code, line
):
    edit(fleet, file, before, after)
    found, document = linted(run)
    assert found == 2
    errors = [each for each in document["findings"] if each["severity"] == "error"]
    assert code in {each["code"] for each in errors}, errors
    (wrong,) = {(each["file"], each["line"]) for each in errors if each["code"] == code}
    assert wrong[0] == file
    assert line is None or wrong[1] == line


def test_everything_wrong_is_reported_at_once_in_the_order_of_files(run, fleet):
    edit(fleet, "inventory/hosts.yml", "chip: m4", "chipp: m4")
    edit(fleet, "playbooks/site.yml", "roles:", "rolls:")
    edit(fleet, "contract/offers.yml", "offers:", "offer:")
    (fleet / "network.lock").write_text("nodes:\n  mac-01: {mode: overlay}\n")
    code, document = linted(run)
    files = [each["file"] for each in document["findings"] if each["severity"] == "error"]
    assert code == 2
    assert files == sorted(files)
    assert {"contract/offers.yml", "inventory/hosts.yml", "network.lock", "playbooks/site.yml"} <= set(files)


LEFT_OVERS = {
    "roles/layout/defaults/main.yml": "unheard_of: 1\n",
    "roles/layout/handlers/main.yml": "- name: restart\n",
    "roles/layout/files/old.conf": "x\n",
    "roles/layout/templates/old.j2": "{{ nowhere_given }}\n",
    "roles/spare/tasks/main.yml": '- directory: {path: "{{ rooot }}"}\n  when: never_set is defined\n',
    "playbooks/extra.yml": "- name: More\n  stage: layout\n  hosts: serving\n  vars: {unused: 1}\n",
    "network.lock": "nodes:\n  mac-99: {mode: bridge}\n",
}


def test_what_nothing_reads_or_gives_is_a_warning(run, fleet):
    for path, text in LEFT_OVERS.items():
        (fleet / path).parent.mkdir(parents=True, exist_ok=True)
        (fleet / path).write_text(text)
    code, document = linted(run)
    assert code == 0
    assert told(document) == {
        ("warning", "E0330", "roles/layout/defaults/main.yml:1"),
        ("warning", "E0330", "playbooks/extra.yml:4"),
        ("warning", "E0331", "roles/layout/templates/old.j2:1"),
        ("warning", "E0331", "roles/spare/tasks/main.yml:1"),
        ("warning", "E0332", "roles/layout/files/old.conf:1"),
        ("warning", "E0332", "roles/layout/templates/old.j2:1"),
        ("warning", "E0333", "roles/layout/handlers/main.yml:1"),
        ("warning", "E0334", "roles/spare/tasks/main.yml:1"),
        ("warning", "E0335", "playbooks/extra.yml:1"),
        ("warning", "E0336", "network.lock:1"),
    }
    assert linted(run, "--strict")[0] == 2
    mends = {each["code"]: each["mend"] for each in document["findings"]}
    assert "no handlers" in mends["E0333"]


@pytest.mark.parametrize(
    ("file", "before", "after", "code"),
    [
        ("playbooks/stage3-layout.yml", "  hosts:", "  hostss:", "E0301"),
        ("inventory/hosts.yml", "  vars:", "  vars: [", "E0101"),
        ("roles/layout/tasks/main.yml", "directory:", "direktory:", "E0304"),
    ],
)
def test_what_could_not_be_read_is_no_reason_to_call_anything_else_unused(
    run, fleet, file, before, after, code
):
    edit(fleet, file, before, after)
    _, document = linted(run)
    assert code in {each["code"] for each in document["findings"]}
    assert {each["severity"] for each in document["findings"]} == {"error"}


def test_a_finding_about_every_node_is_said_once(run, fleet):
    edit(fleet, "roles/compose/tasks/main.yml", "compose_project }}", "compose_projct }}")
    _, document = linted(run)
    undefined = [each for each in document["findings"] if each["code"] == "E0310"]
    assert len(undefined) == 1
    assert 'did you mean "compose_project"?' in undefined[0]["mend"]


def test_findings_can_be_narrowed_to_a_file_or_folder(run, fleet):
    edit(fleet, "inventory/hosts.yml", "chip: m4", "chipp: m4")
    edit(fleet, "contract/offers.yml", "offers:", "offer:")
    code, document = linted(run, "contract")
    assert code == 2
    assert {each["file"] for each in document["findings"]} == {"contract/offers.yml"}
    assert linted(run, "playbooks") == (0, {**document, "errors": 0, "findings": [], "exit_code": 0})


def test_another_fleet_folder_can_be_named(run, fleet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("lint", fleet)[0] == 0
    assert run("lint")[0] == 2  # here is no fleet folder
    assert run("lint", tmp_path / "nothing")[0] == 2


def test_a_text_finding_names_place_and_mend(run, fleet):
    edit(fleet, "inventory/hosts.yml", "chip: m4", "chipp: m4")
    code, out, err = run("lint")
    assert (code, err) == (2, "")
    assert re.search(r"error\[E0214\].*\n  inventory/hosts.yml:2:\d+", out)
    assert out.splitlines()[-1].startswith("✗ ")


def test_nodes_smaller_than_the_contract_assumes_an_engine_to_be_are_named(run, fleet):
    edit(fleet, "contract/contract.yml", "version: 1", "version: 2\nmemory: {weights: 900GiB}")
    assert run("contract", "freeze")[0] == 0
    code, document = linted(run)
    assert code == 2
    assert {each["code"] for each in document["findings"]} == {"E0677"}
