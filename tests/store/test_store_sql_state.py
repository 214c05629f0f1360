from threading import Thread

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord, Verdict
from macfleet.store.sql_state import SqlState


@pytest.fixture
def state(tmp_path):
    ticks = iter(range(100, 100_000))
    opened = SqlState(f"sqlite:///{tmp_path}/.macfleet/state.db", clock=lambda: float(next(ticks)))
    yield opened
    opened.close()


def record(outcome=Outcome.PASS, run="r1", finished=10.0):
    verdict = Verdict("mounts_local", "mac-01", outcome, ("because",), "mend", ("mounts",))
    key = EvidenceKey({"node": "mac-01", "contract": "c1"})
    return StageRecord(
        "mac-01", StageName.LAYOUT, key, outcome, run, finished, (verdict,), {"mounts": [{"a": 1}]}
    )


def test_unsettled_nodes_are_those_whose_last_word_is_not_ok(state):
    state.begin("r1", "rollout stage3", ["b", "a", "c"], {"stage": "layout"})
    state.settle("r1", "a", "ok")
    state.settle("r1", "b", "unreachable")
    assert state.unsettled("r1") == ("b", "c")
    state.begin("r1", "rollout stage3 --resume r1", ["b", "c"], {})
    state.settle("r1", "b", "ok")
    state.settle("r1", "c", "ok")
    state.end("r1", "ok")
    assert state.unsettled("r1") == ()


def test_the_newest_run_is_the_last(state):
    assert state.last() == ""
    for run in ("r2", "r1"):
        state.begin(run, "x", [], {})
    assert state.last() == "r1"


def test_an_unknown_run_has_no_unsettled_nodes_but_an_error(state):
    with pytest.raises(MacfleetError) as caught:
        state.unsettled("r9")
    assert caught.value.diagnostics[0].code == "E0956"


def test_notes_keep_their_order_and_time(state):
    state.begin("r1", "x", ["a"], {})
    state.note("r1", "a", "change.applied", {"address": "file./x"})
    entries = state.entries("r1")
    assert [entry.kind for entry in entries] == ["run.begun", "change.applied"]
    assert entries[1].detail == {"address": "file./x"}
    assert entries[0].at < entries[1].at


def test_the_newest_evidence_of_a_node_and_stage_counts_and_comes_back_whole(state):
    assert state.latest("mac-01", StageName.LAYOUT) is None
    state.record(record(Outcome.FAIL))
    state.record(record(run="r2", finished=20.0))
    assert state.latest("mac-01", StageName.LAYOUT) == record(run="r2", finished=20.0)
    assert state.latest("mac-01", StageName.NETWORK) is None
    assert state.latest("mac-02", StageName.LAYOUT) is None


def test_what_was_written_is_there_after_a_restart(state, tmp_path):
    state.record(record())
    state.begin("r1", "x", ["a"], {})
    again = SqlState(f"sqlite:///{tmp_path}/.macfleet/state.db")
    assert again.latest("mac-01", StageName.LAYOUT) == record()
    assert again.unsettled("r1") == ("a",)
    again.close()


def test_threads_write_side_by_side_and_lose_nothing(state):
    state.begin("r1", "x", [], {})

    def work(node):
        for number in range(20):
            state.note("r1", node, "n", {"number": number})

    threads = [Thread(target=work, args=(f"n{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = state.entries("r1")[1:]
    assert len(entries) == 160
    for number in range(8):
        own = [entry.detail["number"] for entry in entries if entry.node == f"n{number}"]
        assert own == list(range(20))
