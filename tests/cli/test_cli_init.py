"""`macfleet init`: a folder that is right from the start and is never overwritten."""

from __future__ import annotations

import json

import pytest
import yaml


def test_a_new_folder_passes_its_own_checks(run, tmp_path):
    folder = tmp_path / "my-fleet"
    code, out, err = run("init", folder)
    assert code == 0
    assert "files made" in out
    assert "macfleet inventory check" in err
    assert run("inventory", "check", "--fleet", folder)[0] == 0
    assert run("contract", "check", "--fleet", folder)[0] == 2  # nothing is frozen for them
    assert run("contract", "freeze", "--fleet", folder)[0] == 0
    assert run("contract", "check", "--fleet", folder)[0] == 0


def test_a_new_folder_has_every_part_of_a_fleet(made):
    top = {path.name for path in made.iterdir()}
    assert {"inventory", "playbooks", "roles", "contract", "macfleet.yml", ".gitignore", ".git"} <= top
    assert {"images.yml", "weights.lock"} <= top
    assert yaml.safe_load((made / "macfleet.yml").read_text())["name"] == "my-fleet"
    assert "/.macfleet/" in (made / ".gitignore").read_text().splitlines()


def test_every_file_that_is_edited_is_commented(made):
    edited = (*made.glob("*.yml"), *made.glob("playbooks/*.yml"), *made.glob("contract/*.yml"))
    for path in (*edited, made / "inventory/hosts.yml", made / "weights.lock"):
        assert "#" in path.read_text(), path


def test_every_playbook_of_a_new_folder_compiles_for_every_node(fleet):
    from macfleet.cli.compose import desired_of
    from macfleet.cli.fleet import FleetContext
    from macfleet.model.stage import StageName

    context = FleetContext(fleet)
    desired = desired_of(context)
    for node in context.nodes("serving"):
        resources = {stage: desired.compile(stage, node).resources for stage in StageName}
        assert all(resources[s] for s in (StageName.PROVISION, StageName.IMAGES, StageName.LAYOUT))
    context.close()


def test_images_that_are_not_pinned_yet_are_refused_with_the_command(run, made):
    code, _, err = run("rollout", "stage2", "--check", "--fleet", made)
    assert code == 2
    assert "images.yml:" in err
    assert "macfleet image pin" in err


def test_what_is_there_already_is_left_alone(run, made, tmp_path):
    folder = tmp_path / "mine"
    run("init", folder)
    (folder / "images.yml").write_text("# mine\n")
    (folder / "inventory/hosts.yml").write_text("# mine\n")
    (folder / "contract/contract.yml").unlink()
    code, out, _ = run("init", folder)
    assert (code, out) == (0, f"{folder}: 1 file made\n")
    assert (folder / "images.yml").read_text() == "# mine\n"
    assert (folder / "inventory/hosts.yml").read_text() == "# mine\n"
    assert "everything was there already" in run("init", folder)[1]


def test_a_folder_is_named_by_the_option_or_by_itself(run, tmp_path):
    run("init", tmp_path / "a", "--name", "chat")
    assert yaml.safe_load((tmp_path / "a/macfleet.yml").read_text())["name"] == "chat"


@pytest.mark.parametrize("name", ["a: b", "true", "1.5", "ü 😀", "-x", "it's", "ops fleet", "日本"])
def test_a_folder_of_any_name_makes_a_fleet_that_passes_its_checks(run, tmp_path, name):
    folder = tmp_path / name
    code, out, _ = run("init", "--output", "json", "--", folder)
    document = json.loads(out)
    assert (code, document["kind"], "macfleet.yml" in document["made"]) == (0, "init", True)
    assert run("inventory", "check", "--fleet", folder)[0] == 0


def test_a_name_that_settings_do_not_accept_is_refused(run, tmp_path):
    code, _, err = run("init", tmp_path / "x", "--name", "a: b")
    assert (code, '--name "a: b"' in err) == (2, True)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_made_is_a_diagnostic(run, tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file/below"):
        code, _, err = run("init", folder)
        assert (code, "error[E0123]" in err, "E0001" in err) == (1, True, False)
        assert "macfleet init my-fleet" in err


def test_a_machine_without_git_has_a_fleet_folder_all_the_same(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run("init", tmp_path / "x")[0] == 0
    assert not (tmp_path / "x/.git").exists()
