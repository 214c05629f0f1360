"""An engine with the GPU off that a killed load test left: it ends by itself, or by whoever comes next."""

import contextlib
import os
import plistlib
import signal
import subprocess
from dataclasses import replace

import pytest
from straight_line import Fleet
from test_rollout_bare_cpu import PLIST, metal_fleet, running

from macfleet.engine.lock import Holder, take_lock
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Arm
from macfleet.rollout import bare_cpu
from macfleet.rollout.left_engine import can_be_left, end_left, see_left
from macfleet.rollout.load_profile import LoadProfile, full_profile
from macfleet.rollout.loadtest_arms import turn_seconds

MARK = "--mark"
DEAD = Holder("20261123T041200Z-stage5", "ops@desk", "2026-11-23T04:12:00Z", command="rollout loadtest")
NEXT = Holder("lock break", "ops@phone", "2026-11-23T05:00:00Z")


@pytest.fixture
def left(tmp_path):
    """A node whose load test died in its third arm, its lock given back or lapsed."""
    fleet = metal_fleet(tmp_path, "mac-01")
    home = fleet.home("mac-01")
    (home / "loaded.com.macfleet.engine.cpu").touch()
    (home / "up.8081").touch()
    (home / "loaded.com.macfleet.engine").unlink()
    return fleet


def held(fleet, holder):
    """Let somebody hold the node's own lock."""
    mac = fleet.macs.mac("mac-01")
    assert mac.run(take_lock(holder, MARK, 60), deadline=60).exit == 0
    return fleet.home("mac-01") / ".macfleet" / "lock"


def test_it_is_seen_and_nothing_is_changed(left):
    node, mac = left.nodes[0], left.macs.mac("mac-01")
    before = running(left)
    found = see_left(node, mac, MARK)
    assert (found.loaded, found.lock, found.measured_by_other("a store")) == (True, None, False)
    assert running(left) == before == {"bare-cpu"}


def test_it_is_ended_once_and_the_node_is_free_again(left):
    node, mac = left.nodes[0], left.macs.mac("mac-01")
    assert end_left(node, NEXT, mac, MARK).loaded
    assert not running(left)
    assert not (left.home("mac-01") / ".macfleet" / "lock").exists()
    assert not end_left(node, NEXT, mac, MARK).loaded
    assert not see_left(node, mac, MARK).loaded


def test_a_load_test_that_goes_on_keeps_its_engine(left):
    lock = held(left, DEAD)
    node, mac = left.nodes[0], left.macs.mac("mac-01")
    found = end_left(node, NEXT, mac, MARK)
    assert found.measured_by_other("a store")
    assert found.lock.holder.run == DEAD.run
    assert running(left) == {"bare-cpu"}
    assert lock.joinpath("holder").read_text() == DEAD.text()
    assert see_left(node, mac, MARK).measured_by_other("")


def test_a_controller_that_the_store_has_let_in_since_ends_it(left):
    lock = held(left, replace(DEAD, token=3, store="ours"))
    for runner in lock.glob("runner.*"):
        runner.unlink()
    node, mac = left.nodes[0], left.macs.mac("mac-01")
    seen = see_left(node, mac, MARK)
    assert (seen.measured_by_other("ours"), seen.measured_by_other("theirs")) == (False, True)
    assert end_left(node, replace(NEXT, token=3, store="ours"), mac, MARK).lock is not None
    assert end_left(node, replace(NEXT, token=4, store="ours"), mac, MARK).lock is None
    assert not running(left)


def test_one_whose_lock_has_lapsed_is_ended(left):
    lock = held(left, DEAD)
    lock.joinpath("until").write_text("1\n")
    for runner in lock.glob("runner.*"):
        runner.unlink()
    node, mac = left.nodes[0], left.macs.mac("mac-01")
    assert not see_left(node, mac, MARK).measured_by_other("a store")
    assert end_left(node, NEXT, mac, MARK).loaded
    assert not running(left)
    assert not lock.exists()


def test_one_that_launchd_keeps_is_told_and_the_node_is_not_left_locked(left):
    mac = left.macs.mac("mac-01")
    mac.programs["launchctl"] = 'case "$1" in print) :;; *) return 5;; esac'
    with pytest.raises(MacfleetError) as caught:
        end_left(left.nodes[0], NEXT, mac, MARK)
    assert caught.value.diagnostics[0].code == "E0980"
    assert not (left.home("mac-01") / ".macfleet" / "lock").exists()


def test_only_a_node_with_an_accelerated_bare_arm_is_asked(tmp_path):
    (metal,) = Fleet.make(tmp_path, "mac-01", accelerator="metal").nodes
    (plain,) = Fleet.make(tmp_path / "cpu", "mac-01").nodes
    alone = replace(metal, arms=(Arm.BARE,))
    assert [can_be_left(node) for node in (metal, plain, alone)] == [True, False, False]


def test_a_real_engine_ends_by_itself_when_nobody_stops_it(tmp_path):
    """The very program launchd would be given, as a process: killed by its alarm, as its own process id."""
    node = Fleet.make(tmp_path, "mac-01", accelerator="metal").nodes[0]
    node = replace(node, variables={**node.variables, "bare_cpu_arguments": ["it's", "$HOME"]})
    script = tmp_path / "engine"
    script.write_text('#!/bin/sh\necho "$$ $*" >"$1.started"\nwhile :; do /bin/sleep 600; done\n')
    script.chmod(0o755)
    told = str(tmp_path / "engine")
    plist = plistlib.dumps({**PLIST, "ProgramArguments": [str(script), told]})
    daemon = bare_cpu.daemon_of(node, "com.macfleet.engine", plist)
    program = plistlib.loads(daemon.plist(1.2).encode())["ProgramArguments"]
    assert "2" in program[:4]
    process = subprocess.Popen(program, start_new_session=True)
    try:
        assert process.wait(timeout=120) == -signal.SIGALRM
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (tmp_path / "engine.started").read_text() == f"{process.pid} {told} it's $HOME\n"


def test_it_lasts_as_long_as_its_turn_and_no_longer_than_a_few_of_them(tmp_path):
    fleet = metal_fleet(tmp_path, "mac-01")
    fleet.rollout("loadtest")
    started = plistlib.loads((fleet.home("mac-01") / "cpu.plist").read_bytes())
    lasts = int(started["ProgramArguments"][3])
    assert lasts >= 2 * 3 * (4.0 + 1.0)
    for profile in (LoadProfile(8.0, segments=2), full_profile(1800.0)):
        turn = 2 * (profile.window + profile.warmup)
        assert 3 * turn < turn_seconds(fleet.desired, profile) < 3 * turn + 1200
