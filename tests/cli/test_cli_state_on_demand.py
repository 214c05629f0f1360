"""The state database is opened by the first who writes to it, or who asks what its file cannot tell."""

import pytest

from macfleet.cli.state_on_demand import LocksOnDemand, StateOnDemand
from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord
from macfleet.store import SqlState


@pytest.fixture
def opened(tmp_path):
    """Each time the database was opened."""
    found = []
    yield found
    for state in found:
        state.close()


@pytest.fixture
def state(tmp_path, opened):
    def open_state():
        opened.append(SqlState(f"sqlite:///{tmp_path}/state.db"))
        return opened[-1]

    state = StateOnDemand(open_state, tmp_path / "state.db")
    yield state
    state.close()


RECORD = StageRecord("mac-01", StageName.LAYOUT, EvidenceKey({"a": "1"}), Outcome.PASS, "r1", 10.0, (), {})


def test_what_a_command_wrote_earlier_is_read_without_opening_anything(state, opened, tmp_path):
    earlier = SqlState(f"sqlite:///{tmp_path}/state.db")
    earlier.record(RECORD)
    earlier.close()
    assert state.latest("mac-01", StageName.LAYOUT) == RECORD
    assert state.latest("mac-02", StageName.LAYOUT) is None
    assert opened == []


def test_a_file_that_is_not_there_yet_is_made_once(state, opened):
    assert state.latest("mac-01", StageName.LAYOUT) is None
    state.record(RECORD)
    assert state.latest("mac-01", StageName.LAYOUT) == RECORD
    assert state.service("mac-01").node == "mac-01"
    assert len(opened) == 1


def test_another_store_than_a_file_is_opened_to_look(tmp_path, opened):
    def open_state():
        opened.append(SqlState(f"sqlite:///{tmp_path}/elsewhere.db"))
        return opened[-1]

    assert StateOnDemand(open_state, None).latest("mac-01", StageName.LAYOUT) is None
    assert len(opened) == 1


def test_a_run_is_journalled_as_ever(state, opened):
    state.begin("r1", "rollout stage3", ["mac-01", "mac-02"], {})
    state.note("r1", "mac-01", "change.applied", {"address": "file./x"})
    state.note_all("r1", "mac-02", [("a", {}), ("b", {})])
    state.settle("r1", "mac-01", "ok")
    assert (state.last(), state.unsettled("r1")) == ("r1", ("mac-02",))
    state.end("r1", "ok")
    kinds = [entry.kind for entry in opened[0].entries("r1")]
    assert kinds == ["run.begun", "change.applied", "a", "b", "node.settled"]


def test_locks_are_opened_by_the_first_take():
    class Locks:
        def take(self, nodes, run, command):
            return (tuple(nodes), run, command)

    opened = []
    locks = LocksOnDemand(lambda: opened.append(1) or Locks())
    assert opened == []
    assert locks.take(["mac-01"], "r1", "apply") == (("mac-01",), "r1", "apply")
    locks.take(["mac-01"], "r1", "apply")
    assert opened == [1]
