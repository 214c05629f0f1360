from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from macfleet.cli.compose import stage_nodes
from macfleet.cli.fleet import FleetContext
from macfleet.cli.main import main
from macfleet.inventory.settings import MOST_FORKS
from macfleet.model.stage import StageName

EXAMPLE = Path(__file__).parents[2] / "inventory"


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """A fleet folder with the example inventory, entered from below."""
    (tmp_path / "macfleet.yml").write_text("name: example\n")
    shutil.copytree(EXAMPLE, tmp_path / "inventory")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    for name in ("FLEET", "INVENTORY", "STATE", "FORKS"):
        monkeypatch.delenv(f"MACFLEET_{name}", raising=False)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run macfleet; return its exit code, stdout and stderr."""

    def runner(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["inventory", *arguments])
        captured = capsys.readouterr()
        return ended.value.code, captured.out, captured.err

    return runner


def test_the_example_inventory_is_valid(fleet, run):
    code, out, err = run("check")
    assert (code, err) == (0, "")
    assert out == "✓ inventory/hosts.yml: 4 nodes, 1 pool, nothing wrong\n"


def test_list_is_a_table_in_inventory_order(fleet, run):
    code, out, _ = run("list")
    assert code == 0
    assert out == (
        "NODE      POOL   OWNERSHIP   CHIP     MEMORY   PLATFORM      ARMS             ADDRESS\n"
        "mac-01    chat   owned       m4       24 GiB   linux/arm64   bare container   ops@203.0.113.11:22\n"
        "mac-02    chat   owned       m4       24 GiB   linux/arm64   bare container   ops@203.0.113.12:22\n"
        "rent-01   chat   rented      m4-pro   64 GiB   linux/arm64   bare container   ops@203.0.113.71:22\n"
        "edge-01   –      owned       –             –   linux/amd64   –                ops@203.0.113.5:22\n"
    )


@pytest.mark.parametrize(
    ("limit", "code", "nodes"),
    [
        ("rented", 0, ["rent-01"]),
        ("mac-[01:02]", 0, ["mac-01", "mac-02"]),
        ("rentd", 2, None),
        ("m4:&rented", 8, None),
    ],
)
def test_a_limit_narrows_the_list(fleet, run, limit, code, nodes):
    ended, out, _ = run("list", "-l", limit, "--output", "json")
    assert ended == code
    document = json.loads(out)
    assert document["schema"] == 1
    assert [node["name"] for node in document.get("nodes", ())] == (nodes or [])


def test_explain_points_at_file_and_line(fleet, run):
    code, out, _ = run("explain", "rent-01.platform")
    assert code == 0
    first, winner, default = out.splitlines()
    assert first == "rent-01.platform = linux/arm64"
    assert winner.split() == ["✓", "group", "serving", "inventory/group_vars/serving.yml:6:1", "linux/arm64"]
    assert default.split() == ["·", "built", "in", "linux/arm64"]


def test_explain_names_the_roles_that_give_a_variable(fleet, run):
    (fleet / "roles/idle/defaults").mkdir(parents=True)
    (fleet / "roles/idle/defaults/main.yml").write_text("idle_minutes: 5\n")
    code, out, _ = run("explain", "mac-01.idle_minutes")
    assert code == 0
    assert out.splitlines()[0] == "mac-01.idle_minutes: not in the inventory"
    assert "roles/idle/defaults/main.yml:1:1   5   (in role idle alone)" in out
    hosts = fleet / "inventory" / "host_vars" / "mac-01.yml"
    hosts.write_text(hosts.read_text() + "idle_minutes: 7\n")
    _, out, _ = run("explain", "mac-01.idle_minutes", "--output", "json")
    rows = json.loads(out)["contenders"]
    assert [(row["value"], row["winner"]) for row in rows] == [(7, True), (5, False)]
    assert rows[1]["scope"] == "role idle"


def test_a_typed_path_starts_where_the_person_stands_and_has_the_variables_beside_it(fleet, run):
    stage = fleet / "stage"
    (stage / "group_vars").mkdir(parents=True)
    (stage / "group_vars" / "all.yml").write_text("environment: stage\n")
    (stage / "hosts.yml").symlink_to("../shared.yml")
    (fleet / "shared.yml").write_text("all: {hosts: {mac-09: }}\n")
    _, out, _ = run("explain", "mac-09.environment", "-i", "../stage/hosts.yml")
    assert "stage/group_vars/all.yml:1:1" in out.split()


@pytest.mark.parametrize("forks", ["0", "-3", "513", "many"])
def test_forks_are_as_many_as_the_settings_allow(fleet, run, forks):
    code, out, err = run("list", "--forks", forks)
    assert (code, out) == (2, "")
    assert "--forks" in err
    assert str(MOST_FORKS) in err or forks == "many"


def test_a_file_of_nodes_that_is_no_text_is_named_with_its_line(fleet, run):
    Path("nodes.txt").write_bytes(b"mac-01\nmac-0\xff\n")
    code, _, err = run("list", "-l", "@nodes.txt")
    assert code == 2
    assert "nodes.txt:2:6" in err


def test_an_empty_path_is_a_usage_error(fleet, run):
    assert run("check", "-i", "")[0] == 2


def test_show_names_the_origin_of_every_variable(fleet, run):
    code, out, _ = run("show", "mac-01", "--output", "json")
    variables = json.loads(out)["variables"]
    assert code == 0
    assert variables["ansible_host"] == {
        "value": "203.0.113.11",
        "origin": "inventory/host_vars/mac-01.yml:2:1",
    }
    assert variables["inventory_hostname"]["origin"] == "given by macfleet"


def test_show_settings_says_what_decided_each(fleet, run, monkeypatch):
    monkeypatch.setenv("MACFLEET_FORKS", "5")
    _, out, _ = run("show", "--settings")
    assert "forks" in out
    assert "$MACFLEET_FORKS" in out


def test_graph_nests_groups(fleet, run):
    _, out, _ = run("graph")
    assert out.startswith("all:\n  edge:\n    edge-01\n  serving:\n    hired:\n      rent-01\n    minis:\n")
    assert "rented:   (from ownership)\n  rent-01\n" in out


def test_the_graph_as_json_holds_every_nodes_variables(fleet, run):
    _, out, _ = run("graph", "--output", "json")
    document = json.loads(out)
    assert document["groups"][0]["name"] == "all"
    assert document["_meta"]["hostvars"]["rent-01"]["ownership"] == "rented"
    assert len(document["_meta"]["hostvars"]) == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ("show",),
        ("explain", "mac-01"),
        ("show", "mca-01"),
        ("explain", "mac-01.pol"),
        ("explain", "mac-01."),
        ("explain", ".pool"),
    ],
)
def test_wrong_words_end_with_the_usage_code_and_no_result(fleet, run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err


def test_problems_are_shown_with_the_line_and_a_caret(fleet, run):
    hosts = fleet / "inventory" / "hosts.yml"
    hosts.write_text(hosts.read_text().replace("chip: m4-pro", "chipp: m4-pro"))
    code, out, err = run("check")
    assert (code, out) == (2, "")
    assert 'error[E0214]: unknown key "chipp" for node rent-01\n  inventory/hosts.yml:40:15\n' in err
    assert "^^^^^" in err
    assert 'did you mean "chip"?' in err


@pytest.fixture
def kept(fleet):
    """A fleet that keeps its state elsewhere: mac-01 is drained, and the last run failed on rent-01."""
    from macfleet.rollout.drain_state import Service, ServiceState
    from macfleet.store import SqlState

    (fleet / "macfleet.yml").write_text("name: example\nstate: elsewhere/kept.db\n")
    (fleet / "elsewhere").mkdir()
    state = SqlState(f"sqlite:///{fleet / 'elsewhere' / 'kept.db'}")
    state.services.keep_service(Service("mac-01", state=ServiceState.DRAINED))
    state.begin("run-1", "apply", ("mac-02", "rent-01"), {})
    state.settle("run-1", "mac-02", "ok")
    state.settle("run-1", "rent-01", "failed")
    state.close()
    return fleet


@pytest.mark.parametrize(
    ("limit", "nodes"),
    [
        ("serving:&active", ["mac-02", "rent-01"]),
        ("serving:!drained", ["mac-02", "rent-01"]),
        ("drained", ["mac-01"]),
        ("@out.txt", ["mac-01"]),
        ("@failed", ["rent-01"]),
        ("serving:!@failed", ["mac-01", "mac-02"]),
    ],
)
def test_states_and_failed_nodes_are_those_of_the_fleets_own_store(kept, run, limit, nodes):
    Path("out.txt").write_text("drained\n")
    code, out, _ = run("list", "-l", limit, "--output", "json")
    assert [node["name"] for node in json.loads(out)["nodes"]] == nodes
    assert code == 0


@pytest.mark.parametrize(("limit", "code"), [("active", 0), ("drained", 8), ("@failed", 8)])
def test_asking_for_a_state_makes_no_store(fleet, run, limit, code):
    assert run("list", "-l", limit)[0] == code
    assert not (fleet / ".macfleet").exists()


class Stage:
    """As much of a stage's desired state as says for which nodes it is."""

    def __init__(self, hosts):
        self.hosts = hosts
        self.playbooks = {StageName.LAYOUT: self}

    def images(self, _):
        return {}


def test_a_stage_for_nodes_that_are_not_drained_leaves_drained_ones_alone(kept):
    context = FleetContext(root=kept)
    chosen = stage_nodes(context, Stage("serving:!drained"), StageName.LAYOUT, "")
    context.close()
    assert [node.name for node in chosen] == ["mac-02", "rent-01"]
