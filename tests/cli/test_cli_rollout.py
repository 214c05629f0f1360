"""`rollout`, `plan`, `apply`, `drift`, `facts` and `lock` on a fleet folder whose nodes do not answer."""

from __future__ import annotations

import json
import subprocess

import pytest

from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord
from macfleet.store import SqlState

RUNS = ".macfleet/runs"


def state(folder):
    (folder / ".macfleet").mkdir(exist_ok=True)
    return SqlState(f"sqlite:///{folder}/.macfleet/state.db")


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "playbooks/site.yml"),
        ("drift",),
        ("rollout", "stage1", "--check"),
        ("rollout", "all", "--check"),
        ("facts",),
        ("lock", "status"),
        ("lock", "break", "mac-01", "--reason", "gone", "--yes"),
    ],
)
def test_a_node_that_does_not_answer_is_exit_5_and_named(run, fleet, arguments):
    code, out, err = run(*arguments)
    assert code == 5
    assert "mac-01" in out + err
    assert "Traceback" not in err
    assert not (fleet / RUNS).exists()


def test_an_unreachable_run_is_recorded_and_can_be_resumed(run, fleet):
    code, out, _ = run("rollout", "stage1")
    assert code == 5
    (recorded,) = (path.name for path in (fleet / RUNS).iterdir())
    assert f"--resume {recorded}" in out
    code, out, _ = run("rollout", "stage1", "--resume", recorded, "--output", "json")
    document = json.loads(out.splitlines()[0])
    assert (code, [n["node"] for n in document["nodes"]]) == (5, ["mac-01", "mac-02"])
    assert run("run", "verify")[0] == 0


def test_a_resumed_run_asks_only_the_nodes_that_are_left(run, fleet):
    journal = state(fleet)
    journal.begin("20261123T041205Z-stage1-1a2b", "rollout contract", ["mac-01", "mac-02"], {})
    journal.settle("20261123T041205Z-stage1-1a2b", "mac-01", "ok")
    journal.close()
    arguments = ("rollout", "stage1", "--resume", "20261123T041205Z-stage1-1a2b", "--output", "json")
    code, out, _ = run(*arguments)
    assert code == 5
    assert [n["node"] for n in json.loads(out.splitlines()[0])["nodes"]] == ["mac-02"]


def test_at_failed_means_what_the_newest_run_left(run, fleet):
    journal = state(fleet)
    journal.begin("r1", "rollout contract", ["mac-01", "mac-02"], {})
    journal.settle("r1", "mac-02", "ok")
    journal.close()
    code, out, _ = run("rollout", "stage1", "--check", "-l", "@failed", "--output", "json")
    assert (code, [n["node"] for n in json.loads(out.splitlines()[0])["nodes"]]) == (5, ["mac-01"])


def test_any_run_of_a_chain_is_gone_on_with_within_a_limit(run, fleet):
    journal = state(fleet)
    nodes = ["mac-01", "mac-02"]
    journal.begin("20261123T041205Z-stage1-1a2b", "rollout contract", nodes, {})
    journal.begin(
        "20261123T051205Z-stage1-3c4d", "rollout contract", nodes, {"resumes": "20261123T041205Z-stage1-1a2b"}
    )
    arguments = ("rollout", "stage1", "--resume", "20261123T05", "-l", "mac-02", "--output", "json")
    code, out, _ = run(*arguments)
    assert (code, [n["node"] for n in json.loads(out.splitlines()[0])["nodes"]]) == (5, ["mac-02"])
    newest = journal.last()
    assert journal.head(newest).detail["resumes"] == "20261123T041205Z-stage1-1a2b"
    journal.close()


LEFT = "20261123T041205Z-site-1a2b"
APPLY = ("apply", "playbooks/site.yml", "--resume")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((*APPLY, ""), 2, ("it names no run", "macfleet run list")),
        ((*APPLY, "nope"), 2, ("E0956", "macfleet run list")),
        ((*APPLY, "2026"), 2, ("E0958", "fits 2 runs: ", LEFT, "20261123T051205Z-stage3-3c4d")),
        ((*APPLY, "20261123T05"), 2, ("E0576", "was a rollout layout")),
        ((*APPLY, LEFT), 2, ("E0577", "mac-09, which the inventory no longer has", f"{LEFT} -l mac-01")),
        ((*APPLY, LEFT, "-l", "mac-02"), 8, ("E0113", "finished every node of mac-02")),
        (("rollout", "stage3", "--resume", "20261123T05"), 8, ("E0113",)),
        (("rollout", "all", "--resume", "20261123T05"), 2, ("E0112",)),
        (("rollout", "stage3", "--resume", " "), 2, ("it names no run",)),
    ],
    ids=["empty", "unknown", "ambiguous", "other stage", "node gone", "limit", "finished", "all", "blank"],
)
def test_what_cannot_be_gone_on_with_says_why_and_asks_no_node(run, fleet, words, code, said):
    journal = state(fleet)
    journal.begin(LEFT, "rollout provision", ["mac-01", "mac-09"], {})
    journal.begin("20261123T051205Z-stage3-3c4d", "rollout layout", ["mac-01"], {})
    journal.settle("20261123T051205Z-stage3-3c4d", "mac-01", "ok")
    found, _, err = run(*words)
    told = " ".join(err.split())
    assert (found, [text for text in said if text not in told]) == (code, [])
    assert journal.last() == "20261123T051205Z-stage3-3c4d"
    journal.close()


@pytest.mark.parametrize(
    "words", [("ping",), ("apply", "playbooks/site.yml"), ("rollout", "stage1"), ("enrol", "mac-01")]
)
def test_a_pattern_that_is_empty_never_means_every_node(run, fleet, words):
    code, out, err = run(*words, "-l", "")
    assert (code, out, "the pattern is empty" in err) == (2, "", True)


def test_a_load_test_is_gone_on_with_at_the_length_it_was_begun_with(run, fleet):
    journal = state(fleet)
    journal.begin(
        "20261123T041205Z-stage5-1a2b", "rollout loadtest", ["mac-01"], {"duration": 60.0, "segments": 4}
    )
    arguments = ("rollout", "stage5", "--resume", "20261123T04")
    for other in (("--duration", "30s"), ("--segments", "2"), ("--duration", "60s", "--segments", "8")):
        code, _, err = run(*arguments, *other)
        assert code == 2
        assert "E0980" in err
        assert "measures 60 s an arm and cell in 4 segments" in err
    assert run(*arguments, "--duration", "60s", "--yes")[0] == 5
    begun = journal.head(journal.last()).detail
    assert (begun["duration"], begun["segments"]) == (60.0, 4)
    journal.close()


def test_a_playbook_is_gone_on_with_too(run, fleet):
    journal = state(fleet)
    journal.begin("r1", "rollout provision", ["mac-01", "mac-02"], {})
    journal.settle("r1", "mac-01", "ok")
    journal.close()
    code, out, _ = run("apply", "playbooks/site.yml", "--resume", "r1", "--output", "json")
    assert (code, [n["node"] for n in json.loads(out.splitlines()[0])["nodes"]]) == (5, ["mac-02"])


def test_a_run_that_never_ended_is_shown_from_its_journal(run, fleet):
    journal = state(fleet)
    journal.begin("20261123T041205Z-stage3-1a2b", "rollout layout", ["mac-01", "mac-02"], {"who": "ops@desk"})
    sent = {"address": "file./etc/a", "action": "create"}
    heavy = {"address": "brew_formula.colima", "action": "create", "job": "20261123T041205Z-stage3-1a2b-0f"}
    journal.note_all(
        "20261123T041205Z-stage3-1a2b", "mac-01", [("change.sent", sent), ("change.sent", heavy)]
    )
    journal.note("20261123T041205Z-stage3-1a2b", "mac-01", "change.done", sent)
    journal.close()
    code, out, _ = run("run", "show", "20261123T0412")
    assert code == 0
    assert "✓ file /etc/a done" in out
    assert "⌛ brew_formula colima in the air, detached as job 20261123T041205Z-stage3-1a2b-0f" in out
    assert "mac-02   ⌛ not ended, nothing sent" in out
    assert "Go on: macfleet rollout stage3 --resume 20261123T041205Z-stage3-1a2b" in out
    document = json.loads(run("run", "show", "20261123T0412", "--output", "json")[1])
    assert (document["schema"], document["kind"], document["finished"]) == (1, "begun-run", None)
    assert [node["done"] for node in document["nodes"]] == [["file./etc/a"], []]
    assert run("run", "show", "20261124")[0] == 2


def test_drift_as_json_names_the_node_that_does_not_answer_and_never_says_nothing_differs(run, fleet):
    code, out, _ = run("drift", "--output", "json")
    document = json.loads(out.splitlines()[0])
    assert (code, document["exit_code"]) == (5, 5)
    assert [(n["node"], n["outcome"], n["plan"]) for n in document["nodes"]] == [
        ("mac-01", "unreachable", None),
        ("mac-02", "unreachable", None),
    ]
    assert "nothing to change" not in run("drift")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("rollout", "stage1", "--resume", "nothing"), 2, "E0956"),
        (("rollout", "stage2", "--resume", "r1"), 2, "E0576"),
        (("apply", "playbooks/site.yml", "--resume", "r1"), 2, "E0576"),
        (("rollout", "all", "--resume", "r1"), 2, "E0112"),
        (("rollout", "stage1", "--resume", "r1"), 8, "E0113"),
        (("rollout", "stage5", "--duration", "soon"), 2, "E0114"),
        (("rollout", "stage5", "--duration", "1s"), 2, "E0114"),
        (("rollout", "stage5", "--segments", "3"), 2, "--segments"),
        (("rollout", "stage5", "--segments", "0"), 2, "--segments"),
        (("rollout", "stage1", "--max-failures", "many"), 2, "--max-failures"),
        (("rollout", "stage1", "--max-failures", "-1"), 2, "--max-failures"),
        (("rollout", "stage1", "--max-failures", "0"), 2, "--max-failures"),
        (("rollout", "stage1", "-l", "nobody"), 2, "nobody"),
        (("rollout", "stage1", "-l", "mac-01:!mac-01"), 8, "E02"),
        (("rollout", "stage1", "-l", "mac-[02:01]"), 2, "E02"),
        (("plan", "playbooks/other.yml"), 2, "E0115"),
        (("apply", "inventory/hosts.yml"), 2, "E0115"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_a_node_is_asked(run, fleet, arguments, code, says):
    journal = state(fleet)
    journal.begin("r1", "rollout contract", ["mac-01"], {})
    journal.settle("r1", "mac-01", "ok")
    journal.close()
    found, _, err = run(*arguments)
    assert found == code
    assert says in err
    assert not (fleet / RUNS).exists()


def test_a_load_test_that_takes_long_asks_and_without_a_terminal_wants_yes(run, fleet):
    code, _, err = run("rollout", "stage5")
    assert code == 2
    assert "E0111" in err
    assert "Add --yes" in err
    assert not (fleet / RUNS).exists()


@pytest.mark.parametrize(
    ("file", "before", "after", "says"),
    [
        ("contract/fixtures/short/story.json", "short story", "short tale", "fixtures/short/story.json"),
        ("contract/contract.yml", "engine_slots: 4", "engine_slots: 5", "engine_slots"),
        ("playbooks/stage3-layout.yml", "mounts_local:", "mount_local:", "stage3-layout.yml:"),
        ("inventory/hosts.yml", "chip: m4", "chipp: m4", 'did you mean "chip"?'),
    ],
)
def test_a_wrong_file_is_exit_2_with_its_place(run, fleet, file, before, after, says):
    path = fleet / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    code, out, err = run("rollout", "stage1")
    assert (code, out) == (2, "")
    assert says in err
    assert not (fleet / RUNS).exists()


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("network.lock", "nodes:\n  mac-01: {mode: overlay}\n", "E0832"),
        ("network.lock", "nodes:\n  mac-01: {mod: bridge}\n", "E0832"),
        ("weights.lock", "files:\n  - {path: /a, size: large, sha256: x}\n", "E0833"),
    ],
)
def test_a_damaged_lock_is_refused_with_its_line(run, fleet, name, text, code):
    (fleet / name).write_text(text)
    found, _, err = run("rollout", "stage1")
    assert found == 2
    assert code in err
    assert f"{name}:2" in err


def test_status_is_the_matrix_of_nodes_and_stages(run, fleet):
    evidence = state(fleet)
    key = EvidenceKey({"node": "mac-01"})
    evidence.record(StageRecord("mac-01", StageName.CONTRACT, key, Outcome.PASS, "r1", 1.7e9))
    evidence.record(StageRecord("mac-02", StageName.IMAGES, key, Outcome.HOLD, "r2", 1.7e9))
    evidence.close()
    code, out, _ = run("rollout", "status")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line] == ["node", "mac-01", "mac-02"]
    code, out, _ = run("rollout", "status", "--output", "json")
    document = json.loads(out)
    assert (code, document["schema"], document["kind"]) == (0, 1, "rollout-status")
    rows = {(row["node"], row["stage"]): (row["outcome"], row["stale"]) for row in document["rows"]}
    assert rows["mac-01", "contract"] == ("pass", True)
    assert rows["mac-02", "images"] == ("hold", True)
    assert rows["mac-01", "loadtest"] == (None, False)
    assert len(rows) == 10


def test_a_checked_stage_as_json_is_one_versioned_document(run, fleet):
    code, out, _ = run("rollout", "stage1", "--check", "--output", "json")
    document = json.loads(out.splitlines()[0])
    assert code == document["exit_code"] == 5
    assert {key: document[key] for key in ("schema", "kind", "stage", "check", "run")} == {
        "schema": 1,
        "kind": "rollout",
        "stage": "contract",
        "check": True,
        "run": None,
    }
    assert [(n["node"], n["outcome"]) for n in document["nodes"]] == [
        ("mac-01", "unreachable"),
        ("mac-02", "unreachable"),
    ]
    assert document["nodes"][0]["problems"][0]["mend"]


def test_a_dirty_tree_can_be_rolled_out_and_is_recorded_as_dirty(run, fleet):
    run("rollout", "stage1")
    (folder,) = (fleet / RUNS).iterdir()
    assert json.loads((folder / "manifest.json").read_text())["git_dirty"] is True


def test_a_committed_tree_is_recorded_with_its_commit(run, fleet):
    git = ["git", "-C", str(fleet), "-c", "user.name=ops", "-c", "user.email=ops@example"]
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "first"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout
    run("rollout", "stage1")
    (folder,) = (fleet / RUNS).iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["git_commit"], manifest["git_dirty"]) == (head.strip(), False)
