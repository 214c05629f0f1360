"""`macfleet rollback` and `history` on a fleet folder whose nodes listen nowhere."""

from __future__ import annotations

import json

import pytest

from macfleet.contract.releases import EVERYBODY, load_releases
from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord
from macfleet.sources.disk import DiskFiles
from macfleet.store import SqlState
from macfleet.store.run_locks import StoreLocks, this_process


@pytest.fixture
def pinned_twice(fleet):
    """The fleet after its engine was pinned to other bytes; returns the folder."""
    path = fleet / "images.lock"
    old = path.read_text()
    (fleet / "old.lock").write_text(old)
    new = old.replace(f"sha256:{'2' * 64}", f"sha256:{'7' * 64}")
    head, _, images = new.partition("images:\n")
    earlier = old.partition("images:\n")[2]
    indented = "".join(f"  {line}\n" for line in earlier.splitlines())
    path.write_text(f"{head}images:\n{images}earlier:\n- images:\n{indented}")
    assert len(lock(fleet).earlier) == 1
    return fleet


def lock(folder, path="images.lock"):
    return load_releases(DiskFiles(folder), path)


def state(folder):
    (folder / ".macfleet").mkdir(exist_ok=True)
    return SqlState(f"sqlite:///{folder}/.macfleet/state.db")


def document(out):
    return json.loads(out.splitlines()[-1])


def test_check_says_where_each_node_goes_back_to_and_changes_nothing(run, pinned_twice):
    before = (pinned_twice / "images.lock").read_bytes()
    code, out, _ = run("rollback", "--check", "--output", "json")
    found = document(out)
    assert (code, found["kind"]) == (3, "rollback-plan")
    now, earlier = lock(pinned_twice).newest.id, lock(pinned_twice).earlier[0].id
    assert [(row["node"], row["now"], row["to"]) for row in found["nodes"]] == [
        ("mac-01", now, earlier),
        ("mac-02", now, earlier),
    ]
    assert (pinned_twice / "images.lock").read_bytes() == before


def test_a_node_that_does_not_answer_is_sent_back_by_its_lock_and_told_unproven(run, pinned_twice):
    earlier = lock(pinned_twice).earlier[0].id
    code, out, err = run("rollback", "mac-02", "--yes", "--reason", "it stalls")
    assert (code, "does not answer" in out, "unreachable" in out) == (5, True, True)
    assert "macfleet rollback mac-02" in err
    assert dict(lock(pinned_twice).returned) == {"mac-02": earlier}
    code, out, _ = run("rollback", "mac-02", "--check", "--output", "json")
    assert (code, document(out)["nodes"][0]["finishes"]) == (3, True)


def test_what_was_finished_goes_one_release_further_only_when_it_was_proven(run, pinned_twice):
    run("rollback", "--yes")
    assert dict(lock(pinned_twice).returned) == {EVERYBODY: lock(pinned_twice).earlier[0].id}
    code, out, _ = run("rollback", "mac-01", "--check", "--output", "json")
    assert (code, document(out)["nodes"][0]["finishes"]) == (3, True)
    store = state(pinned_twice)
    store.record(
        StageRecord("mac-01", StageName.LAYOUT, EvidenceKey(key_of(pinned_twice)), Outcome.PASS, "r1", 0.0)
    )
    store.close()
    code, _, err = run("rollback", "mac-01", "--check")
    assert (code, "E0687" in err) == (2, True)


def key_of(folder):
    """The part of an evidence key that names the images of the earlier release."""
    from macfleet.cli.fleet import FleetContext
    from macfleet.rollout.desired import Desired

    fleet = FleetContext(folder)
    node = fleet.nodes("mac-01")[0]
    images = lock(folder).earlier[0].images
    digest = Desired(contract=None, playbooks={}, locked=images).images_digest(node)
    return {"images": digest}


def test_nodes_can_be_brought_forward_again_by_naming_the_release(run, pinned_twice):
    run("rollback", "--yes")
    newest = lock(pinned_twice).newest.id
    code, _, _ = run("rollback", "--to", newest, "--yes")
    assert code == 5
    assert not lock(pinned_twice).returned


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("mac-09", "--yes"), 2, "E0220"),
        (("mac-01", "-l", "mac-02", "--yes"), 8, "E0689"),
        (("mac-01", "--to", "r-none", "--yes"), 2, "E0692"),
        (("mac-01", "--to", "r-", "--yes"), 2, "E0692"),
        (("mac-01",), 2, "E0111"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_nothing_goes_back(run, pinned_twice, arguments, status, code):
    before = (pinned_twice / "images.lock").read_bytes()
    ended, _, err = run("rollback", *arguments)
    assert (ended, code in err) == (status, True)
    assert (pinned_twice / "images.lock").read_bytes() == before


def test_without_an_earlier_release_every_node_says_so(run, fleet):
    code, _, err = run("rollback", "--yes")
    assert (code, err.count("E0687"), "mac-01" in err, "mac-02" in err) == (2, 2, True, True)


def test_without_a_lock_there_is_nothing_to_go_back_to(run, fleet):
    (fleet / "images.lock").unlink()
    (fleet / "images.yml").unlink()
    code, _, err = run("rollback", "--yes")
    assert (code, "E0622" in err) == (2, True)


def test_a_node_without_containers_has_nothing_to_go_back_to(run, pinned_twice):
    (pinned_twice / "inventory/host_vars/mac-01.yml").write_text("arms: [bare]\n")
    code, _, err = run("rollback", "mac-01", "--yes")
    assert (code, "E0689" in err) == (8, True)


def test_of_two_operators_the_second_is_told_who_the_first_is(run, pinned_twice):
    store = state(pinned_twice)
    other = StoreLocks(store.locks, this_process("eve@other"))
    other.take(("mac-01",), "20261123T041205Z-stage3-1a2b", "rollback")
    before = (pinned_twice / "images.lock").read_bytes()
    try:
        code, _, err = run("rollback", "--yes")
    finally:
        other.close()
        store.close()
    assert (code, "E0590" in err, "eve@other" in err) == (6, True, True)
    assert (pinned_twice / "images.lock").read_bytes() == before


def test_a_node_that_was_sent_elsewhere_between_the_look_and_the_yes_is_left_alone(
    run, pinned_twice, between
):
    path = pinned_twice / "images.lock"
    other = path.read_text() + f"returned: {{mac-01: {lock(pinned_twice).earlier[0].id}}}\n"
    run("rollback", "--check")
    with between(pinned_twice, "images.lock", "mac-01", lambda: path.write_text(other)):
        code, _, err = run("rollback", "mac-01", "--yes")
    assert (code, "E0686" in err) == (7, True)
    assert path.read_text() == other


def test_a_rollback_of_another_node_meanwhile_is_kept(run, pinned_twice, between):
    path, earlier = pinned_twice / "images.lock", lock(pinned_twice).earlier[0].id
    other = path.read_text() + f"returned: {{mac-02: {earlier}}}\n"
    run("rollback", "--check")
    with between(pinned_twice, "images.lock", "mac-01", lambda: path.write_text(other)):
        assert run("rollback", "mac-01", "--yes")[0] == 5
    assert dict(lock(pinned_twice).returned) == {EVERYBODY: earlier}


def test_pinning_again_leaves_who_went_back_where_they_are(run, pinned_twice):
    run("rollback", "mac-02", "--yes")
    returned = dict(lock(pinned_twice).returned)
    run("rollout", "stage2", "-l", "mac-01")
    assert dict(lock(pinned_twice).returned) == returned


def test_history_tells_a_rollback_with_who_why_and_that_it_was_not_proven(run, pinned_twice):
    run("rollback", "mac-02", "--yes", "--reason", "it stalls")
    code, out, _ = run("history", "--releases", "--output", "json")
    (entry,) = document(out)["entries"]
    assert (code, entry["kind"], entry["why"], entry["nodes"]) == (
        0,
        "release.returned",
        "it stalls",
        ["mac-02"],
    )
    assert entry["outcome"] == "unreachable, not proven"
    assert entry["who"]
    _, out, _ = run("history")
    assert "rollback: it stalls" in out
    assert run("history", "-l", "mac-01", "--releases")[1] == ""


def test_history_begins_where_it_is_told_to_and_ends_with_the_newest(run, fleet):
    store = state(fleet)
    for number in range(5):
        store.clock = lambda number=number: 1000.0 + number
        store.begin(f"r{number}", "rollout layout", ["mac-01"], {"who": "ops@desk", "why": f"why {number}"})
    store.close()
    _, out, _ = run("history", "--last", "2", "--output", "json")
    assert [entry["why"] for entry in document(out)["entries"]] == ["why 3", "why 4"]
    code, out, err = run("history", "--since", "1d")
    assert (code, out, "Nothing was done" in err) == (0, "", True)
    code, _, err = run("history", "--since", "yesterday")
    assert (code, "E0694" in err) == (2, True)


def test_history_leaves_out_what_a_run_did_to_nodes_on_its_way(run, fleet):
    store = state(fleet)
    store.note("service", "mac-01", "service.closed", {"who": "ops", "reason": "rollout layout", "run": "r1"})
    store.note("service", "mac-01", "service.opened", {"who": "ops", "state": "active"})
    store.note("service", "mac-02", "service.closed", {"who": "ana", "reason": "fan noise", "run": ""})
    store.note("service", "mac-02", "service.opened", {"who": "ana", "state": "active"})
    store.note("r1", "mac-02", "lock.broken", {"who": "ana", "reason": "a stolen laptop"})
    store.close()
    _, out, _ = run("history", "--output", "json")
    told = [(entry["what"], entry["nodes"][0], entry["why"]) for entry in document(out)["entries"]]
    assert told == [
        ("out of service", "mac-02", "fan noise"),
        ("back in service, active", "mac-02", ""),
        ("lock broken", "mac-02", "a stolen laptop"),
    ]
    _, out, _ = run("history", "-v", "--output", "json")
    assert len(document(out)["entries"]) == 5
