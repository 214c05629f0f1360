"""Two controllers as processes of their own on the same nodes: one works, the other is refused or waits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from macfleet.rollout.run_lock import Fence
from macfleet.store.run_locks import StoreLocks, this_process
from macfleet.store.sql_state import SqlState

HERE = Path(__file__).parent
pytestmark = pytest.mark.slow
A, B = "20261123T041200Z-A", "20261123T041200Z-B"


@dataclass
class Shared:
    """Nodes that are folders, and the controllers that are let loose on them."""

    root: Path
    started: list

    def start(self, name, *words, store="state.db"):
        process = subprocess.Popen(
            [sys.executable, HERE / "one_controller.py", self.root, name, self.root / store, *words],
            cwd=HERE,
            env={**os.environ, "PYTHONPATH": str(HERE.parents[1] / "src")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, name, *words, **options):
        return told(self.start(name, *words, **options))

    def log(self, node="mac-01"):
        path = self.root / node / "log"
        return path.read_text().splitlines() if path.exists() else []

    def holder(self, node="mac-01"):
        return (self.root / node / ".macfleet/lock/holder").read_text().splitlines()[0]

    def until(self, name):
        wait_until((self.root / name).exists)


def told(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return json.loads(out)


def wait_until(holds, seconds=30):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "the condition did not come to hold"
        time.sleep(0.02)


def whole(*names):
    """The log of nodes whose three steps were done by one controller each, in this order."""
    return [
        f"{name} {verb} {step}"
        for step, name in zip("abc", names, strict=True)
        for verb in ("begins", "ends")
    ]


def codes(document):
    return [code for code, *_ in document["problems"]]


@pytest.fixture
def shared(tmp_path):
    made = Shared(tmp_path, [])
    yield made
    for process in made.started:
        if process.stdout is not None and not process.stdout.closed:
            process.kill()
            process.communicate()


def test_the_second_on_the_same_nodes_exits_6_at_once_and_names_the_first(shared):
    first = shared.start("A", "--pause", "answered")
    shared.until("paused")
    second = shared.run("B")
    assert (second["exit"], codes(second), second["waited"]) == (6, ["E0590"], [])
    ((_, summary, why, mend),) = second["problems"]
    assert summary == f"mac-01, mac-02 are locked by run {A}"
    assert f"A@desk, process {first.pid}: rollout provision, run {A}" in why
    assert f"macfleet lock break --run {A}" in mend
    (shared.root / "go").touch()
    assert told(first)["exit"] == 0
    assert shared.log() == shared.log("mac-02") == whole("A", "A", "A")


def test_the_second_waits_as_long_as_it_was_told_and_then_finds_nothing_to_do(shared):
    first = shared.start("A", "--pause", "answered")
    shared.until("paused")
    second = shared.start("B", "--wait", "60")
    third = shared.run("C", "--wait", "0.2")
    assert (third["exit"], codes(third)) == (6, ["E0590"])
    assert "It was waited for 200 ms" in third["problems"][0][2]
    assert second.poll() is None
    (shared.root / "go").touch()
    assert told(first)["exit"] == 0
    document = told(second)
    assert (document["exit"], document["outcomes"]) == (0, {"mac-01": "unchanged", "mac-02": "unchanged"})
    assert document["waited"] == [f"A@desk, process {first.pid}: rollout provision, run {A}"]
    assert shared.log() == shared.log("mac-02") == whole("A", "A", "A")


def test_runs_on_different_nodes_go_on_side_by_side(shared):
    first = shared.start("A", "--pause", "answered", "--nodes", "mac-01")
    shared.until("paused")
    assert shared.run("B", "--nodes", "mac-02")["exit"] == 0
    assert (shared.log("mac-02"), first.poll()) == (whole("B", "B", "B"), None)


def test_of_many_at_once_without_a_common_store_no_two_interleave(shared):
    started = [shared.start(name, store=f"{name}.db") for name in "ABCD"]
    documents = [told(process) for process in started]
    for node in ("mac-01", "mac-02"):
        log = shared.log(node)
        assert log == whole(*log[0][0] * 3)
        done = [d for d in documents if d["outcomes"][node] == "changed"]
        others = {d["outcomes"][node] for d in documents} - {"changed"}
        # One that came when all was done found nothing to do; one whose plan was made before is told so.
        assert (len(done), others <= {"locked", "unchanged", "failed"}) == (1, True)
    assert {code for document in documents for code in codes(document)} <= {"E0510", "E0511"}


def test_without_a_common_store_the_nodes_lock_refuses_the_second_or_lets_it_wait(shared):
    first = shared.start("A", "--pause", "answered")
    shared.until("paused")
    second = shared.run("B", store="b.db")
    assert (second["exit"], codes(second)) == (6, ["E0510", "E0510"])
    assert A in second["problems"][0][1]
    third = shared.start("C", "--wait", "60", store="c.db")
    fourth = shared.run("D", "--wait", "4", store="d.db")
    assert (fourth["exit"], fourth["waited"]) == (6, [f"A@desk: rollout provision, run {A}"])
    (shared.root / "go").touch()
    assert told(first)["exit"] == 0
    assert told(third)["outcomes"] == {"mac-01": "unchanged", "mac-02": "unchanged"}
    assert shared.log() == shared.log("mac-02") == whole("A", "A", "A")


@pytest.mark.parametrize(
    ("where", "code"), [("answered", "E0591"), ("sent", "E0592")], ids=["by the store", "by the node"]
)
def test_a_controller_that_was_stopped_past_its_time_is_refused_when_it_goes_on(shared, where, code):
    first = shared.start("A", "--pause", where, "--ttl", "0.5", "--nodes", "mac-01")
    shared.until("paused")
    first.send_signal(signal.SIGSTOP)
    assert shared.holder() == A
    # Its process lives, so nothing but time shows that it is gone.
    second = shared.run("B", "--wait", "30", "--nodes", "mac-01")
    assert (second["exit"], second["outcomes"]) == (0, {"mac-01": "changed"})
    (shared.root / "go").touch()
    first.send_signal(signal.SIGCONT)
    document = told(first)
    assert (document["exit"], document["outcomes"]) == (6, {"mac-01": "locked"})
    assert codes(document) == [code]
    assert shared.log() == whole("A", "B", "B")


def test_a_stopped_controller_neither_works_nor_releases_while_its_successor_works(shared):
    first = shared.start("A", "--pause", "sent", "--ttl", "0.5", "--nodes", "mac-01")
    shared.until("paused")
    first.send_signal(signal.SIGSTOP)
    (shared.root / "paused").unlink()
    second = shared.start("B", "--wait", "30", "--nodes", "mac-01", "--pause", "answered")
    shared.until("paused")
    assert shared.holder() == B
    (shared.root / "go").touch()
    first.send_signal(signal.SIGCONT)
    assert codes(told(first)) == ["E0592"]
    assert told(second)["exit"] == 0
    assert shared.log() == whole("A", "B", "B")


def test_a_killed_controller_of_this_machine_is_followed_at_once_by_its_own_run(shared):
    first = shared.start("A", "--pause", "answered", "--nodes", "mac-01")
    shared.until("paused")
    first.kill()
    first.communicate()
    second = shared.run("B", "--resume", A, "--nodes", "mac-01")
    assert (second["exit"], second["outcomes"], second["waited"]) == (0, {"mac-01": "changed"}, [])
    assert shared.log() == whole("A", "B", "B")


def test_a_lock_that_is_broken_stops_its_holder_before_its_next_step(shared):
    first = shared.start("A", "--pause", "answered", "--ttl", "0.4", "--nodes", "mac-01")
    shared.until("paused")
    state = SqlState(f"sqlite:///{shared.root}/state.db")
    state.locks.clear(("mac-01",))
    other = StoreLocks(state.locks, this_process("eve"))
    assert isinstance(other.take(("mac-01",), "R", "rollout provision"), Fence)
    other.close()
    state.close()
    time.sleep(0.4)  # its lock is to be renewed meanwhile, which fails
    (shared.root / "go").touch()
    document = told(first)
    assert (document["exit"], codes(document)) == (6, ["E0591"])
    assert shared.log() == ["A begins a", "A ends a"]
