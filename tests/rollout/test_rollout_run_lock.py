"""The fleet lock around a run: taken before planning, waited for, given back, and lost on the way."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field, replace

import pytest
from straight_line import outcomes

from macfleet.engine.lock import Holder, take_lock
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.stage import StageName
from macfleet.rollout.run import Options, rollout
from macfleet.rollout.run_lock import Claim, Fence, LockHolder, held, lost
from macfleet.sources.clock import StoppableClock
from macfleet.testing import FakeClock, RecordingEvents
from macfleet.testing.load import FakeLoadGenerator

ANA = LockHolder(("mac-01",), "ana@desk", "desk", 7, "R1", "rollout layout", 0.0, 40.0, 3)
EVE = LockHolder(("mac-02", "mac-03"), "eve@lab", "lab", 8, "", "rollout all", 0.0, 0.4, 4)
CONTRACT = StageName.CONTRACT


@dataclass
class Locks:
    """Locks others hold until `free_after` attempts; nodes in `gone` were lost."""

    others: tuple = ()
    free_after: int = 0
    gone: tuple = ()
    taken: list = field(default_factory=list)
    released: list = field(default_factory=list)

    def take(self, nodes, run, command):
        self.taken.append((tuple(nodes), run, command))
        return self.others if len(self.taken) <= self.free_after else Fence("store-a", 5)

    def confirm(self, fence, node, *, afresh=False):
        assert isinstance(afresh, bool)
        assert fence == Fence("store-a", 5)
        if node in self.gone:
            raise MacfleetError(lost(node, "Another controller took it over"))

    def release(self, fence):
        self.released.append(fence)


def hold(locks, clock, events, wait=0.0):
    with held(Claim(("mac-01", "mac-02"), "R9", "rollout layout", wait), locks, clock, events) as fence:
        return fence


def run(fleet, locks, *, wait=0.0, check=False, resume=""):
    options = Options("20261123T041200Z-x", "ops@desk", wait=wait, check=check, resume=resume)
    ports = replace(fleet.ports(), locks=locks)
    return rollout(CONTRACT, fleet.nodes, fleet.desired, ports, options)


def test_a_lock_that_is_held_is_refused_at_once_naming_every_holder():
    locks, clock = Locks((ANA, EVE), 1), FakeClock()
    with pytest.raises(MacfleetError) as refused:
        hold(locks, clock, RecordingEvents())
    assert refused.value.exit_code is ExitCode.LOCKED
    first, second = refused.value.diagnostics
    assert (first.code, first.summary, first.node) == ("E0590", "mac-01 is locked by run R1", "mac-01")
    assert "ana@desk, process 7: rollout layout, run R1. Unless renewed its lock lapses in 40 s." in first.why
    assert "lock break --run R1" in first.mend
    assert second.summary == "mac-02, mac-03 are locked by eve@lab"
    assert second.mend == (
        "Wait for it: the same command with --wait 10m\nor if it is dead: macfleet lock break mac-02 --reason WHY"
    )
    assert (len(locks.taken), locks.released) == (1, [])


def test_waiting_says_for_whom_every_five_seconds_until_the_lock_is_free():
    locks, clock, events = Locks((ANA, EVE), 21), FakeClock(), RecordingEvents()
    began = clock.now()
    assert hold(locks, clock, events, wait=60.0) == Fence("store-a", 5)
    assert clock.now() - began == pytest.approx(10.5)
    assert [event.node for event in events.seen] == ["mac-01", "mac-02", "mac-03"] * 3
    assert {event.kind for event in events.seen} == {"lock.waiting"}
    assert events.seen[0].data == {
        "holder": "ana@desk, process 7: rollout layout, run R1",
        "run": "R1",
        "lapses": 40.0,
        "left": 60.0,
    }
    assert locks.released == [Fence("store-a", 5)]


def test_waiting_ends_at_its_deadline_with_exit_6():
    clock = FakeClock()
    began = clock.now()
    with pytest.raises(MacfleetError, match="locked by run R1") as refused:
        hold(Locks((ANA,), 10_000), clock, RecordingEvents(), wait=3.2)
    assert clock.now() - began == pytest.approx(3.2)
    assert "It was waited for 3.2 s." in refused.value.diagnostics[0].why


def test_who_is_stopped_while_it_waits_hears_that_nothing_was_changed():
    stopped = threading.Event()
    stopped.set()
    locks = Locks((ANA,), 10_000)
    with pytest.raises(MacfleetError) as interrupted:
        hold(locks, StoppableClock(stopped), RecordingEvents(), wait=60.0)
    (problem,) = interrupted.value.diagnostics
    assert (problem.code, problem.exit_code) == ("E0575", ExitCode.INTERRUPTED)
    assert problem.summary == "interrupted before anything was changed"
    assert locks.released == []


def test_what_was_taken_is_given_back_when_the_block_fails():
    locks = Locks()
    with pytest.raises(ZeroDivisionError), held(Claim((), "", ""), locks, FakeClock(), RecordingEvents()):
        raise ZeroDivisionError
    assert locks.released == [Fence("store-a", 5)]


def test_a_run_takes_its_nodes_before_it_looks_at_them_and_gives_them_back(fleet):
    locks = Locks((ANA,), 1)
    with pytest.raises(MacfleetError):
        run(fleet, locks)
    assert [fleet.macs.mac(node.name).scripts for node in fleet.nodes] == [[], []]
    result = run(fleet, locks)
    assert result.exit_code == 0
    assert locks.taken[-1] == (("mac-01", "mac-02"), "20261123T041200Z-x", "rollout contract")
    assert len(locks.released) == 1


def test_a_check_takes_no_lock(fleet):
    locks = Locks((ANA,), 1)
    assert run(fleet, locks, check=True).exit_code is ExitCode.PENDING
    assert locks.taken == []


def test_a_node_that_was_lost_is_left_alone_and_the_rest_go_on(fleet):
    result = run(fleet, Locks(gone=("mac-01",)))
    assert (outcomes(result), result.exit_code) == ({"mac-01": "locked", "mac-02": "changed"}, 6)
    assert result.results[0].diagnostics[0].code == "E0591"
    assert fleet.marked(CONTRACT) == ["mac-02"]


def test_a_node_lost_between_two_levels_gets_no_further_step(fleet):
    fleet.use(CONTRACT, more=FURTHER)
    locks = Locks()

    def lose(script):
        if "echo done" in script:
            locks.gone = ("mac-01",)

    fleet.macs.mac("mac-01").before = lose
    result = run(fleet, locks)
    assert outcomes(result) == {"mac-01": "locked", "mac-02": "changed"}
    assert fleet.marked(CONTRACT) == ["mac-01", "mac-02"]
    assert [(fleet.home(name) / "further").exists() for name in ("mac-01", "mac-02")] == [False, True]


def test_a_step_that_broke_off_because_its_lock_was_broken_says_so_first(fleet):
    locks = Locks()
    mac = fleet.macs.mac("mac-01")

    def lose(script):
        if "echo done" in script:
            locks.gone = ("mac-01",)

    mac.before = lose
    mac.canned["echo done"] = b""  # as a script that somebody killed
    result = run(fleet, locks)
    assert outcomes(result)["mac-01"] == "locked"
    assert [each.code for each in result.results[0].diagnostics] == ["E0591", "E0503"]


def test_a_node_that_was_lost_on_the_way_is_neither_put_back_nor_kept_out(fleet):
    fleet.upto(StageName.LAYOUT)
    locks = Locks()

    def lose(script):
        if "echo done" in script:
            locks.gone = ("mac-01",)

    fleet.macs.mac("mac-01").before = lose
    options = Options("20261123T041200Z-x", "ops@desk")
    fleet.use(StageName.LAYOUT, "strategy: {drain: true}\n  gates: [converged: {}]", FURTHER_LAYOUT)
    ports = replace(fleet.ports(), locks=locks)
    result = rollout(StageName.LAYOUT, fleet.nodes, fleet.desired, ports, options)
    assert outcomes(result) == {"mac-01": "locked", "mac-02": "changed"}
    assert set(fleet.gateway.out) == {"mac-01"}
    assert result.results[0].notes[-1] == "left to the run that has it now"


def test_the_nodes_lock_says_who_came_with_which_token(fleet):
    seen = []

    def look(script):
        if "echo done" in script:
            held = re.search(r"printf '%s' '([^']*)' >\"\$mf_lock/holder\"", script)
            seen.append(held.group(1).splitlines())

    fleet.macs.mac("mac-01").before = look
    run(fleet, Locks())
    (lines,) = seen
    assert lines[:2] == ["20261123T041200Z-x", "ops@desk"]
    assert lines[3:] == ["5", "store-a", "rollout contract"]


def leave_lock(fleet, **fields):
    """A lock that another controller left on mac-01."""
    holder = Holder(**{"run": "R2", "who": "eve@lab", "since": "then", "command": "rollout layout", **fields})
    fleet.macs.mac("mac-01").run(take_lock(holder, "--m", 60), deadline=20)
    return fleet.home("mac-01") / ".macfleet/lock"


@pytest.mark.parametrize("stage", [StageName.NETWORK, StageName.LOADTEST])
def test_a_node_is_locked_while_it_is_measured_and_not_measured_while_another_holds_it(fleet, stage):
    fleet.upto(stage)
    lock = fleet.home("mac-01") / ".macfleet/lock/holder"
    seen = []

    class Watched(FakeLoadGenerator):
        def measure(self, node, *words, **options):
            seen.append(lock.read_text().splitlines()[5])
            return FakeLoadGenerator.measure(self, node, *words, **options)

        def ping(self, node, *words, **options):
            seen.append(lock.read_text().splitlines()[5])
            return FakeLoadGenerator.ping(self, node, *words, **options)

    fleet.load = Watched()
    assert fleet.rollout(stage, "mac-01").results[0].diagnostics == ()
    assert set(seen) == {f"rollout {stage}"}
    assert not lock.exists()
    seen.clear()
    leave_lock(fleet)
    result = fleet.rollout(stage, "mac-01", again=True)
    assert (outcomes(result), result.exit_code, seen) == ({"mac-01": "locked"}, 6, [])
    assert result.results[0].diagnostics[0].code == "E0510"


def test_a_run_that_may_wait_waits_for_strangers_before_it_plans(fleet):
    left = leave_lock(fleet, token=900, store="store-b")

    class Passing(FakeClock):
        def sleep(self, seconds):
            super().sleep(seconds)
            if self.time > began + 7:
                (left / "until").write_text("0\n")

    fleet.clock = Passing()
    began = fleet.clock.time
    result = run(fleet, Locks(), wait=60.0)
    assert outcomes(result) == {"mac-01": "changed", "mac-02": "changed"}
    waits = [event for event in fleet.events.seen if event.kind == "lock.waiting"]
    assert [event.node for event in waits] == ["mac-01", "mac-01"]
    assert waits[0].data["holder"] == "eve@lab: rollout layout, run R2"


def test_a_stranger_that_outlasts_the_wait_is_exit_6_for_its_node_alone(fleet):
    leave_lock(fleet)
    began = fleet.clock.time
    result = run(fleet, Locks(), wait=9.0)
    assert fleet.clock.time - began == pytest.approx(9.0)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "locked", "mac-02": "changed"}, 6)


@pytest.mark.parametrize(
    "fields",
    [{"run": "R0"}, {"token": 4, "store": "store-a"}],
    ids=["the run that is resumed", "an earlier one of this store"],
)
def test_a_lock_that_may_be_taken_over_is_not_waited_for(fleet, fields):
    leave_lock(fleet, **fields)
    began = fleet.clock.time
    assert run(fleet, Locks(), wait=60.0, resume="R0").exit_code == 0
    assert fleet.clock.time == began


def test_a_node_that_does_not_answer_is_not_waited_for(fleet):
    fleet.macs.mac("mac-01").reachable = False
    began = fleet.clock.time
    assert outcomes(run(fleet, Locks(), wait=60.0)) == {"mac-01": "unreachable", "mac-02": "changed"}
    assert fleet.clock.time == began


FURTHER_LAYOUT = """
    - name: further
      needs: [command.layout]
      command: {run: ': >"$HOME/further"', unless: '[ -f "$HOME/further" ]'}
"""
FURTHER = """
    - name: further
      needs: [command.contract]
      command: {run: ': >"$HOME/further"', unless: '[ -f "$HOME/further" ]'}
"""
