"""Stage 5: the order of segments, one engine at a time, what is left behind."""

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from straight_line import CONTRACT, Fleet, outcomes

from macfleet.model.diagnostic import Diagnostic, NodeUnreachable
from macfleet.model.node import Arm
from macfleet.model.stage import StageName
from macfleet.reports.notices import resumed_text
from macfleet.rollout.load_profile import LoadProfile, blocks, short_profile

LOADTEST = StageName.LOADTEST


def order(names, segments):
    return "".join(block.arm for block in blocks(names, segments))


@pytest.mark.parametrize(
    ("names", "segments", "expected"),
    [
        ("AB", 2, "ABBA"),
        ("AB", 4, "ABBABAAB"),
        ("AB", 8, "ABBABAABABBABAAB"),
        ("ABC", 2, "ABCCBA"),
        ("ABC", 4, "ABCCBAABCCBA"),
        ("A", 3, "AAA"),
        ("", 4, ""),
    ],
)
def test_arms_are_interleaved(names, segments, expected):
    assert order(names, segments) == expected


@given(st.integers(1, 4), st.integers(1, 6).map(lambda half: 2 * half))
def test_every_arm_gets_the_same_segments_and_kth_segments_are_neighbours(count, segments):
    names = "ABCD"[:count]
    found = blocks(names, segments)
    for arm in names:
        assert [block.segment for block in found if block.arm == arm] == list(range(segments))
    for segment in range(segments):
        positions = [i for i, block in enumerate(found) if block.segment == segment]
        assert positions == list(range(positions[0], positions[0] + count))


@given(st.integers(1, 6).map(lambda half: 2 * half))
def test_two_arms_take_equally_many_first_turns_so_that_a_trend_cancels(segments):
    firsts = order("AB", segments)[::2]
    assert firsts.count("A") == firsts.count("B")


@pytest.mark.parametrize(
    ("duration", "segments", "short"),
    [(20.0, 2, True), (239.0, 2, True), (240.0, 4, True), (1799.0, 4, True), (1800.0, 4, False)],
)
def test_a_duration_under_30_minutes_is_short_and_few_seconds_have_few_segments(duration, segments, short):
    found = short_profile(LoadProfile(1800.0), duration)
    assert (found.segments, found.short) == (segments, short)
    assert found.window * found.segments == pytest.approx(duration)
    assert 1.0 <= found.warmup <= 5.0


def test_few_seconds_have_as_many_segments_as_they_are_told():
    found = short_profile(LoadProfile(1800.0), 8.0, 4)
    assert (found.segments, found.window, found.warmup) == (4, 2.0, 1.0)


@pytest.fixture
def measured(tmp_path):
    """One node, measured, with what its engines were doing at each segment."""
    fleet = Fleet.make(tmp_path, "mac-01").upto(LOADTEST)
    home = fleet.home("mac-01")
    ports = {"bare": "up.8081", "container": "up.8080"}
    running = []

    def look():
        running.append({arm for arm, file in ports.items() if (home / file).exists()})

    fleet.load.pause = look
    fleet.upto_result = fleet.rollout(LOADTEST)
    fleet.running = running
    return fleet


def test_every_segment_is_in_the_journal_as_it_begins_with_where_its_requests_will_be(measured):
    run = measured.evidences.latest("mac-01", LOADTEST).run
    files = measured.runs.opened[run].files
    told = [detail for _, _, kind, detail in measured.journal.notes if kind == "loadtest.segment"]
    assert [(d["arm"], d["cell"], d["segment"]) for d in told] == [
        (spec.arm, spec.cell, spec.segment) for _, spec in measured.load.measured
    ]
    assert {d["of"] for d in told} == {len(told)}
    assert all(f"nodes/mac-01/{d['file']}" in files for d in told)


@pytest.mark.parametrize("kept", [True, False])
def test_token_events_of_every_segment_are_kept_unless_the_profile_says_otherwise(kept, tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01").upto(LOADTEST)
    fleet.rollout(LOADTEST, load=LoadProfile(8.0, segments=2, warmup=1.0, token_events=kept))
    files = fleet.runs.opened[fleet.evidences.latest("mac-01", LOADTEST).run].files
    for arm in ("bare", "container"):
        requests = [row for row in files[f"nodes/mac-01/{arm}/samples.parquet"] if row["t_first_gen"]]
        events = files.get(f"nodes/mac-01/{arm}/events.parquet", [])
        assert len(events) == (len(requests) if kept else 0)
        assert {row["first"] for row in events} == (
            {row["t_first_gen"] for row in requests} if kept else set()
        )


def test_a_load_test_measures_each_arm_alone_and_leaves_every_engine_running(measured):
    assert outcomes(measured.upto_result) == {"mac-01": "changed"}
    segments = [(spec.arm, spec.segment, spec.cell) for _, spec in measured.load.measured]
    assert [arm for arm, _ in itertools.groupby(arm for arm, _, _ in segments)] == [
        "bare",
        "container",
        "bare",
    ]
    assert len(segments) == len(set(segments)) == 2 * 2 * 2
    assert measured.running == [{arm} for arm, _, _ in segments]
    for file in ("up.8080", "up.8081"):
        assert (measured.home("mac-01") / file).exists()

    # The same fixtures, route and rules in both arms; only the port differs.
    specs = [spec for _, spec in measured.load.measured]
    by_arm = {arm: [s for s in specs if s.arm == arm] for arm in ("bare", "container")}
    assert {s.base_url for s in by_arm["bare"]} == {"http://127.0.0.1:8081"}
    assert {s.base_url for s in by_arm["container"]} == {"http://127.0.0.1:8080"}
    sent = {
        arm: sorted(
            (s.cell, s.segment, s.nonce_key, s.fixtures[0].id, s.duration, s.concurrency) for s in found
        )
        for arm, found in by_arm.items()
    }
    assert sent["bare"] == sent["container"]

    # A short run passes its gate, says so everywhere, and keeps its figures.
    record = measured.evidences.latest("mac-01", LOADTEST)
    assert record.outcome == "pass"
    assert "short: passes the gate, cannot be signed" in record.verdicts[-1].reasons[0]
    manifest = measured.runs.manifest(record.run)
    assert (manifest.kind, manifest.short) == ("loadtest", True)
    assert manifest.arms == ("bare", "container")
    files = measured.runs.opened[record.run].files
    assert any(path.endswith("samples.parquet") for path in files)
    assert "nodes/mac-01/facts.json" in files


def test_one_declared_arm_is_measured_alone(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01", arms=(Arm.CONTAINER,)).upto(LOADTEST)
    fleet.rollout(LOADTEST)
    assert {spec.arm for _, spec in fleet.load.measured} == {"container"}


@pytest.fixture
def broken_off(tmp_path):
    """A load test whose node was lost in the last of its four segments."""
    fleet = Fleet.make(tmp_path, "mac-01").upto(LOADTEST)
    fleet.desired = replace(fleet.desired, contract=replace(CONTRACT, concurrency=(4,)))

    def lose():
        if len(fleet.load.measured) == 4:
            fleet.load.failing["mac-01"] = NodeUnreachable(Diagnostic("E0401", "no answer"))

    fleet.load.pause = lose
    fleet.lost = fleet.rollout(LOADTEST)
    fleet.load.pause, fleet.load.failing = lambda: None, {}
    return fleet


def test_a_node_that_was_lost_goes_on_where_it_was(broken_off):
    assert outcomes(broken_off.lost) == {"mac-01": "unreachable"}
    again = broken_off.rollout(LOADTEST, resume=broken_off.lost.run)
    assert outcomes(again) == {"mac-01": "unchanged"}
    measured = [(spec.arm, spec.segment) for _, spec in broken_off.load.measured]
    assert measured[3:] == [measured[3]] * 2
    assert broken_off.runs.manifest(again.run).profile["resumed"]["reused"] == 3
    # Requests that may have been sent before are not sent again.
    specs = [spec for _, spec in broken_off.load.measured]
    assert specs[4].first_index > specs[3].first_index


def test_what_was_measured_under_another_contract_is_not_used(broken_off):
    contract = replace(broken_off.desired.contract, hash="a" * 64)
    broken_off.desired = replace(broken_off.desired, contract=contract)
    for stage in list(StageName)[1:5]:
        broken_off.rollout(stage)
    again = broken_off.rollout(LOADTEST, resume=broken_off.lost.run)
    told = broken_off.evidences.latest("mac-01", LOADTEST).evidence["loadtest"]["resumed"]
    assert (told["reused"], told["unlike"]) == (0, ["contract"])
    assert resumed_text(broken_off.runs.manifest(again.run)).endswith(
        "0 finished segments used; not used where something changed: contract"
    )
    assert outcomes(again) == {"mac-01": "unchanged"}
    assert len(broken_off.load.measured) == 4 + 4


def test_what_a_run_that_broke_off_measured_of_other_nodes_is_in_the_one_that_goes_on(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01", "mac-02", hardware="lab").upto(LOADTEST)
    begun = fleet.runs.create("20261123T031200Z-stage5")

    # The controller was gone when the second node began: the run is not sealed.
    first = fleet.rollout(LOADTEST, "mac-01")
    begun.files |= fleet.runs.opened.pop(first.run).files
    fleet.evidences.record(replace(fleet.evidences.latest("mac-01", LOADTEST), run=begun.id))

    again = fleet.rollout(LOADTEST, "mac-02", resume=begun.id, finished=("mac-01",))
    manifest = fleet.runs.manifest(again.run)
    assert manifest.nodes == ("mac-01", "mac-02")
    assert manifest.profile["adopted"] == {"mac-01": begun.id}
    assert resumed_text(manifest) == (f"mac-01 in {again.run} as {begun.id} measured it before it broke off")
    files = fleet.runs.opened[again.run].files
    assert files["nodes/mac-01/segments.json"] == begun.files["nodes/mac-01/segments.json"]
    assert {cell["node"] for cell in files["summary.json"]["cells"]} == {"mac-01", "mac-02"}
    assert {row["node"] for row in files["results.json"]["results"]} == {"mac-01", "mac-02"}
    assert {row["node"] for row in files["verdicts.json"]["verdicts"]} == {"mac-01", "mac-02"}
    assert fleet.evidences.latest("mac-01", LOADTEST).run == again.run
    # What is sealed stays where it is.
    third = fleet.rollout(LOADTEST, "mac-02", resume=begun.id, finished=("mac-01",), again=True)
    assert fleet.runs.manifest(third.run).nodes == ("mac-02",)


def test_a_line_that_was_being_written_when_all_ended_is_no_record_and_leaves_the_segment_cut(broken_off):
    files = broken_off.runs.opened[broken_off.lost.run].files
    path = "nodes/mac-01/bare/raw-0-4-0.ndjson"
    *requests, _ = files[path]
    whole = "".join(f"{json.dumps(row)}\n" for row in requests)
    files[path] = whole + '\0\0\0\n{"report": {"cell'
    again = broken_off.rollout(LOADTEST, resume=broken_off.lost.run)
    told = broken_off.runs.manifest(again.run).profile["resumed"]
    cut = {(row["arm"], row["segment"]): row["records"] for row in told["cut"]}
    assert cut["bare", 0] == len(requests)
    assert told["reused"] == 2
    assert outcomes(again) == {"mac-01": "unchanged"}
