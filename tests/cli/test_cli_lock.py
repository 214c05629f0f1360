"""`lock status` and `lock break` over both kinds of locks, and who needs a lock at all."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace

import pytest

from macfleet.cli.fleet import FleetContext
from macfleet.engine.lock import Holder, take_lock
from macfleet.store import SqlState
from macfleet.store.run_locks import machine
from macfleet.store.sql_locks import Owner
from macfleet.testing import FakeMacs

RUN = "20261123T041205Z-stage3-1a2b"
ANA = Owner("a" * 16, "ana@desk", machine(), os.getpid())


@pytest.fixture
def state(fleet):
    (fleet / ".macfleet").mkdir(exist_ok=True)
    with closing(SqlState(f"sqlite:///{fleet}/.macfleet/state.db")) as opened:
        yield opened


@pytest.fixture
def macs(tmp_path, monkeypatch):
    """Nodes that are folders, in the place of SSH."""
    made = FakeMacs(tmp_path / "nodes")
    monkeypatch.setattr(FleetContext, "transports", made)
    return made


@pytest.fixture
def held(state, macs):
    """Ana's run holds both nodes in the store, and mac-01's own lock."""
    fence = state.locks.take(("mac-01", "mac-02"), ANA, RUN, "rollout layout", 60.0, ())
    holder = Holder(RUN, "ana@desk", "2026-11-23T04:12:07Z", fence.token, fence.store, "rollout layout")
    macs.mac("mac-01").run(take_lock(holder, "--m", 60), deadline=20)
    state.begin(RUN, "rollout layout", ["mac-01", "mac-02"], {})
    state.note(RUN, "mac-01", "change.started", {"address": "file.compose"})
    return macs.mac("mac-01").home / ".macfleet/lock"


def breaks(*words, reason="her laptop is gone"):
    return ("lock", "break", *words, "--reason", reason)


def test_status_shows_who_holds_what_on_both_sides_and_changes_nothing(run, held):
    code, out, err = run("lock", "status")
    assert (code, err) == (0, "")
    assert f"mac-01, mac-02  ana@desk, process {os.getpid()}: rollout layout, run {RUN}" in out
    assert "unless renewed" in out
    assert f"mac-01  locked on the node by ana@desk: rollout layout, run {RUN}" in out
    assert held.is_dir()
    code, out, _ = run("lock", "status", "--output", "json", "-l", "mac-02")
    document = json.loads(out)
    assert (document["store"][0]["run"], document["nodes"]) == (RUN, {"mac-02": None})


def test_a_fleet_without_locks_is_free(run, macs, fleet):
    assert run("lock", "status") == (0, "mac-01  free\nmac-02  free\n", "")


def test_breaking_shows_what_it_would_break_asks_and_keeps_the_reason(run, held, state):
    code, _, err = run(*breaks("--run", RUN))
    assert code == 2
    assert "E0111" in err
    assert "Take mac-01, mac-02 away from it?" in err
    assert "last: mac-01 change.started file.compose at" in err
    assert held.is_dir()
    code, out, _ = run(*breaks("--run", RUN, "--yes"))
    assert (code, out) == (0, "mac-01  ✓ free\nmac-02  ✓ free\n")
    assert (held.exists(), state.locks.holders(("mac-01", "mac-02"))) == (False, ())
    broken = [entry for entry in state.entries(RUN) if entry.kind == "lock.broken"]
    assert [entry.node for entry in broken] == ["mac-01", "mac-02"]
    assert broken[0].detail["reason"] == "her laptop is gone"


def test_one_node_is_broken_and_the_rest_stay_held(run, held, state):
    assert run(*breaks("mac-02", "--yes"))[0] == 0
    assert held.is_dir()
    assert [holder.nodes for holder in state.locks.holders(("mac-01", "mac-02"))] == [("mac-01",)]


def test_the_stores_lock_on_a_node_that_does_not_answer_is_broken_all_the_same(run, held, state, macs):
    macs.mac("mac-02").reachable = False
    code, out, err = run(*breaks("mac-02", "--yes"))
    assert (code, out) == (5, "")
    assert "E0401" in err
    assert [holder.nodes for holder in state.locks.holders(("mac-01", "mac-02"))] == [("mac-01",)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("lock", "break", "mac-01"), 2, "--reason"),
        (breaks(), 2, "E0594"),
        (breaks("mac-09"), 2, "mac-09"),
        (breaks("--run", "R7"), 8, "run R7 holds no node"),
    ],
    ids=["no reason", "nothing named", "no such node", "no such run"],
)
def test_what_cannot_be_broken_is_said(run, held, words, code, said):
    found, _, err = run(*words)
    assert (found, said in err) == (code, True)
    assert held.is_dir()


def test_one_run_is_broken_by_its_beginning_and_never_two(run, state, macs):
    bob = replace(ANA, id="b" * 16, who="bob@desk")
    runs = {"mac-01": "20261123T0412-stage3-1a2b", "mac-02": "20261123T0412-stage3-1a2b9"}
    for owner, (node, name) in zip((ANA, bob), runs.items(), strict=True):
        state.locks.take((node,), owner, name, "rollout layout", 60.0, ())
    code, _, err = run(*breaks("--run", "20261123", "--yes"))
    assert (code, "E0593" in err, all(name in err for name in runs.values())) == (2, True, True)
    assert len(state.locks.holders(tuple(runs))) == 2
    # An id that is whole is meant, though another begins with it.
    assert run(*breaks("--run", runs["mac-01"], "--yes"))[:2] == (0, "mac-01  ✓ free\n")
    assert run(*breaks("--run", "20261123", "--yes"))[:2] == (0, "mac-02  ✓ free\n")


def test_nodes_nobody_holds_are_nothing_to_break(run, macs, fleet):
    code, _, err = run(*breaks("mac-01", "--yes"))
    assert (code, "E0595" in err) == (8, True)


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "playbooks/site.yml"),
        ("drift",),
        ("apply", "playbooks/site.yml", "--check"),
        ("rollout", "stage1", "--check"),
        ("rollout", "all", "--check"),
        ("rollout", "status"),
        ("facts",),
        ("ping",),
        ("status",),
        ("lock", "status"),
        ("run", "list"),
    ],
)
def test_what_only_reads_never_needs_the_lock(run, fleet, state, words):
    state.locks.take(("mac-01", "mac-02"), ANA, RUN, "rollout layout", 60.0, ())
    code, _, err = run(*words)
    assert (code in (0, 5), "E0590" in err) == (True, False)


@pytest.mark.parametrize(
    "words",
    [("drain", "mac-02", "--reason", "fan"), ("drain", "mac-02", "--detach"), ("undrain", "mac-02")],
)
def test_a_node_that_a_run_is_at_work_on_is_neither_drained_nor_brought_back(run, fleet, state, words):
    bob = Owner("b" * 16, "bob", "elsewhere", 1)
    fence = state.locks.take(("mac-02",), bob, RUN, "rollout layout", 60.0, ())
    code, out, err = run(*words)
    assert (code, f"mac-02 is locked by run {RUN}" in out + err) == (6, True)
    assert "Wait for it.\n" in out + err
    state.locks.release(fence, bob)
    assert run(*words[:2])[0] == 5  # now it is asked, and does not answer


@pytest.mark.parametrize(
    "words",
    [("apply", "playbooks/site.yml"), ("rollout", "stage1"), ("rollout", "all", "--yes")],
)
def test_what_changes_nodes_needs_it_and_asks_none_of_them_without(run, fleet, state, words):
    state.locks.take(("mac-02",), Owner("b" * 16, "bob", "elsewhere", 1), RUN, "rollout layout", 60.0, ())
    code, _, err = run(*words)
    assert (code, "E0590" in err, "E0401" in err) == (6, True, False)
    assert f"mac-02 is locked by run {RUN}" in err
    code, _, err = run(*words, "--wait", "10 minutes")
    assert (code, f"Such as: macfleet {words[0]} --wait 10m" in err) == (2, True)


@pytest.mark.parametrize("words", [("rollout", "stage1"), ("rollout", "all", "--yes")])
def test_a_command_that_ended_holds_nothing_however_it_ended(run, fleet, state, words):
    assert run(*words)[0] == 5
    assert state.locks.holders(("mac-01", "mac-02")) == ()
