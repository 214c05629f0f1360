"""An engine with the GPU off that a killed load test left: who sees it, who ends it, and who leaves it alone."""

import json
import os
from contextlib import closing
from dataclasses import replace

import pytest

from macfleet.cli.fleet import FleetContext
from macfleet.cli.left_engines import end_left_engines, left_engines
from macfleet.engine.lock import Holder, take_lock
from macfleet.model.exit_codes import ExitCode
from macfleet.store.run_locks import StoreLocks, this_process
from macfleet.testing import FakeMacs

RUN = "20261123T041205Z-stage5-1a2b"
HOLDER = Holder(RUN, "ana@desk", "2026-11-23T04:12:07Z", command="rollout loadtest")
LAUNCHCTL = """case "$1" in
  print) [ -f "$HOME/loaded.${2#system/}" ];;
  bootout) [ -f "$HOME/loaded.${2#system/}" ] || return 3; rm -f "$HOME/loaded.${2#system/}";;
esac"""
MARK = "loaded.com.macfleet.engine.cpu"


@pytest.fixture
def macs(fleet, tmp_path, monkeypatch):
    """Nodes that are folders, in the place of SSH; mac-01 was left with an engine."""
    assert fleet.is_dir()
    made = FakeMacs(tmp_path / "nodes")
    for name in ("mac-01", "mac-02"):
        made.mac(name).programs["launchctl"] = LAUNCHCTL
    (made.mac("mac-01").home / MARK).touch()
    monkeypatch.setattr(FleetContext, "transports", made)
    return made


@pytest.fixture
def context(fleet, macs):
    with closing(FleetContext(fleet)) as opened:
        yield opened


def is_left(macs):
    return (macs.mac("mac-01").home / MARK).exists()


def test_breaking_the_lock_of_the_load_test_ends_its_engine(run, macs):
    macs.mac("mac-01").run(take_lock(HOLDER, "--m", 60), deadline=60)
    code, out, err = run("lock", "break", "mac-01", "--reason", "the laptop is gone", "--yes")
    assert (code, out) == (0, "mac-01  ✓ free\n")
    assert "mac-01  ✓ ended the engine with the GPU off that a load test had left" in err
    assert not is_left(macs)
    assert not (macs.mac("mac-01").home / ".macfleet/lock").exists()


def test_a_drain_ends_what_nobody_holds_and_leaves_what_somebody_measures(context, macs, capsys):
    nodes = context.nodes("")
    mac = macs.mac("mac-01")
    mac.run(take_lock(HOLDER, "--m", 60), deadline=60)
    assert end_left_engines(context, nodes, "drain") == []
    assert is_left(macs)
    assert capsys.readouterr().err == ""
    mac.run('rm -rf "$HOME/.macfleet/lock"', deadline=60)
    assert end_left_engines(context, nodes, "drain") == []
    assert not is_left(macs)
    assert "mac-01" in capsys.readouterr().err


def test_a_drain_ends_the_engine_of_a_controller_that_died_though_its_lock_lies_on_the_node(context, macs):
    store = context.state.locks.identity
    dead = replace(HOLDER, token=1, store=store)
    mac = macs.mac("mac-01")
    mac.run(take_lock(dead, "--m", 60), deadline=60)
    mac.run('rm -f "$HOME/.macfleet/lock/runner.1"', deadline=60)
    alive = StoreLocks(context.state.locks, replace(this_process("ana@desk"), pid=os.getppid()))
    fence = alive.take(["mac-01"], RUN, "rollout loadtest")
    nodes = context.nodes("")
    assert left_engines(context, nodes) == frozenset()
    assert end_left_engines(context, nodes, "drain") == []
    assert is_left(macs)
    alive.release(fence)
    assert left_engines(context, nodes) == {"mac-01"}
    assert end_left_engines(context, nodes, "drain") == []
    assert not is_left(macs)
    assert context.state.locks.holders(("mac-01", "mac-02")) == ()


def test_status_names_the_node_and_what_to_type(run, macs):
    code, out, _ = run("status")
    (line,) = [line for line in out.splitlines() if "GPU" in line]
    assert code == 0
    assert line.startswith("mac-01")
    assert "macfleet apply playbooks/site.yml -l mac-01" in line
    rows = json.loads(run("status", "--output", "json")[1])["nodes"]
    assert [row["left_engine"] for row in rows] == [True, False]
    assert is_left(macs)


def test_a_node_that_does_not_answer_is_left_to_the_command_itself(context, macs):
    macs.mac("mac-01").reachable = False
    nodes = context.nodes("")
    assert end_left_engines(context, nodes, "drain") == []
    assert left_engines(context, nodes) == frozenset()


def test_one_that_will_not_go_fails_the_command(context, macs):
    macs.mac("mac-01").programs["launchctl"] = 'case "$1" in print) :;; *) return 5;; esac'
    (problem,) = end_left_engines(context, context.nodes("mac-01"), "drain")
    assert (problem.diagnostics[0].code, problem.exit_code) == ("E0980", ExitCode.NODE_FAILED)
