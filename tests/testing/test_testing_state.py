"""The fakes keep the promises of the adapters they stand for."""

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord, Verdict
from macfleet.store import SqlState
from macfleet.testing import FakeEvidences, FakeJournal, golden


@pytest.fixture(params=["fake", "sql"])
def journal(request, tmp_path):
    if request.param == "fake":
        yield FakeJournal()
        return
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    yield state
    state.close()


@pytest.fixture(params=["fake", "sql"])
def evidences(request, tmp_path):
    if request.param == "fake":
        yield FakeEvidences()
        return
    state = SqlState(f"sqlite:///{tmp_path}/state.db")
    yield state
    state.close()


def test_nodes_that_are_not_ok_are_left_in_the_runs_order(journal):
    assert journal.last() == ""
    journal.begin("r1", "rollout layout", ["b", "a", "c", "d"], {"who": "ops"})
    journal.settle("r1", "a", "ok")
    journal.settle("r1", "b", "held")
    journal.settle("r1", "c", "unreachable")
    journal.settle("r1", "c", "ok")
    journal.end("r1", "7")
    assert journal.unsettled("r1") == ("b", "d")
    assert journal.last() == "r1"


def test_a_run_that_begins_again_keeps_its_first_nodes(journal):
    journal.begin("r1", "rollout layout", ["a", "b"], {})
    journal.begin("r1", "rollout layout", ["b"], {})
    assert journal.unsettled("r1") == ("a", "b")


def test_an_unknown_run_is_an_error(journal):
    with pytest.raises(MacfleetError) as caught:
        journal.unsettled("nothing")
    assert caught.value.diagnostics[0].code == "E0956"


def test_the_newest_record_of_a_node_and_stage_counts_and_comes_back_whole(evidences):
    first, second = (
        StageRecord(
            "mac-01",
            StageName.LAYOUT,
            EvidenceKey({"node": "mac-01", "macos": "15.5"}),
            outcome,
            f"r{at}",
            float(at),
            (Verdict("converged", "mac-01", outcome, ("2 left",), "Run it again.", ("plan",)),),
            {"plan": {"left": at}},
        )
        for at, outcome in ((1, Outcome.PASS), (2, Outcome.HOLD))
    )
    evidences.record(first)
    assert evidences.latest("mac-01", StageName.LAYOUT) == first
    evidences.record(second)
    assert evidences.latest("mac-01", StageName.LAYOUT) == second
    assert evidences.latest("mac-01", StageName.NETWORK) is None
    assert evidences.latest("mac-02", StageName.LAYOUT) is None


def test_golden_compares_writes_on_request_and_says_how(tmp_path, monkeypatch):
    monkeypatch.delenv("MACFLEET_GOLDEN", raising=False)
    file = tmp_path / "new" / "plan.txt"
    with pytest.raises(AssertionError, match="MACFLEET_GOLDEN=1"):
        golden(file, "a\n")
    monkeypatch.setenv("MACFLEET_GOLDEN", "1")
    golden(file, "a  \nb")
    monkeypatch.delenv("MACFLEET_GOLDEN")
    golden(file, "a\nb\n")
    with pytest.raises(AssertionError, match=r"plan\.txt differs"):
        golden(file, "a\nc\n")
