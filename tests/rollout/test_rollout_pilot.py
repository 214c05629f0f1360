"""How long judged cells are: fixed by a pilot before the first segment, the same in all arms, kept on resuming."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from straight_line import Fleet, outcomes

from macfleet.analysis.percentiles import GATED_REQUESTS
from macfleet.model.diagnostic import Diagnostic, NodeUnreachable
from macfleet.model.stage import StageName
from macfleet.rollout.load_profile import (
    LONGEST,
    LoadProfile,
    full_profile,
    longest_seconds,
    seconds_needed,
    short_profile,
)
from macfleet.rollout.pilot_size import Pace, Size, as_planned, processes_for, read_sizes, size_cell
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

FULL = LoadProfile(1800.0, pilot=60.0)
"""Four segments of 450 s."""
SECONDS = st.lists(st.floats(0.01, 900), min_size=1, max_size=30)


def pace(seconds, arm="bare", concurrency=1, count=12):
    return Pace(arm, concurrency, (seconds,) * count)


@pytest.mark.parametrize(
    ("paces", "size"),
    [
        # 450 s of 1 s requests, one at a time: 450 a segment.
        ([pace(1.0)], Size("short×1", 4, 4, "bare", 1800)),
        # 10 s: 45 a segment, 180 in four.
        ([pace(10.0)], Size("short×1", 4, 4, "bare", 180)),
        # 15 s: 30 a segment, 130 need 4.33 of them, so six: an even number keeps arms paired.
        ([pace(15.0)], Size("short×1", 4, 6, "bare", 180)),
        # The slowest arm decides for all.
        ([pace(1.0), pace(15.0, "container")], Size("short×1", 4, 6, "container", 180)),
        # 60 s: 7.5 a segment; sixteen segments hold 120, 1.33 segments of 7.5 minutes are lacking.
        ([pace(60.0)], Size("short×1", 4, 16, "bare", 120, pytest.approx(10.0))),
        # Four at once yield four times as many.
        ([pace(15.0, concurrency=4)], Size("short×1", 4, 4, "bare", 480)),
        # One request alone may be off by a factor of two.
        ([pace(10.0, count=1)], Size("short×1", 4, 6, "bare", 135)),
        # An arm that answered nothing does not decide; where none did, nothing is known.
        ([pace(15.0), Pace("container", 1, ())], Size("short×1", 4, 6, "bare", 180)),
        ([Pace("bare", 1, ())], Size("short×1", 4, 4)),
        ([], Size("short×1", 4, 4)),
    ],
)
def test_a_cell_is_as_long_as_its_slowest_arm_needs_for_its_requests(paces, size):
    assert size_cell("short×1", paces, FULL) == size


def test_a_pilot_that_varies_asks_for_more_than_its_mean_says():
    even, uneven = pace(13.0), Pace("bare", 1, (5.0, 21.0) * 6)
    assert even.requests_in(1800) == pytest.approx(1800 / 13)
    assert uneven.requests_in(1800) < 130 < even.requests_in(1800)


@given(st.lists(SECONDS, min_size=1, max_size=3), st.sampled_from([2, 4, 8]), st.floats(1, 3600))
def test_a_size_is_even_bounded_and_enough_unless_it_says_what_lacks(arms, segments, duration):
    profile = LoadProfile(duration, segments=segments, pilot=60.0)
    paces = [Pace(f"arm-{number}", 1, tuple(took)) for number, took in enumerate(arms)]
    size = size_cell("short×1", paces, profile)
    assert size == size_cell("short×1", list(reversed(paces)), profile)
    assert size.segments % 2 == 0
    assert segments <= size.segments <= LONGEST * segments
    slowest = min(each.requests_in(profile.window) for each in paces)
    assert size.expected == math.floor(slowest * size.segments)
    if size.minutes_lacking:
        assert size.segments == LONGEST * segments
        assert slowest * (size.segments + size.minutes_lacking * 60 / profile.window) == pytest.approx(
            GATED_REQUESTS
        )
    else:
        assert slowest * size.segments >= GATED_REQUESTS * (1 - 1e-9)
        assert size.segments == segments or slowest * (size.segments - 2) < GATED_REQUESTS


@given(SECONDS, st.floats(1.01, 10))
def test_a_slower_pilot_never_makes_a_cell_shorter(seconds, factor):
    fast, slow = Pace("bare", 1, tuple(seconds)), Pace("bare", 1, tuple(factor * each for each in seconds))
    assert size_cell("short×1", [slow], FULL).segments >= size_cell("short×1", [fast], FULL).segments


def test_sizes_come_back_from_the_document_that_fixed_them():
    sizes = as_planned("short", (1, 4), FULL)
    document = json.loads(json.dumps({"sizes": [size.document() for size in sizes.of.values()]}))
    assert read_sizes(document) == sizes
    assert read_sizes(None) is None
    assert read_sizes({"schema": 1}) is None


def test_failures_say_nothing_of_the_pace_and_the_warm_up_only_where_nothing_else_does():
    run = synthetic_run([SyntheticArm("bare")], cells=("short×1",), segments=1, seconds=20)
    ended = [sample for sample in run.samples if sample.outcome in ("ok", "censored")]
    settled = [sample for sample in ended if not sample.warmup]
    assert len(Pace.of("bare", 1, run.samples).seconds) == len(settled) > 3
    warmups = [replace(sample, warmup=True) for sample in ended]
    assert len(Pace.of("bare", 1, warmups).seconds) == len(ended)
    refused = [replace(sample, outcome="connect_refused") for sample in ended]
    assert Pace.of("bare", 1, refused).seconds == ()


def test_only_what_can_be_signed_has_a_pilot():
    assert full_profile(1800.0).pilot == 60.0
    assert full_profile(600.0).pilot == 0.0
    assert short_profile(full_profile(1800.0), 20.0).pilot == 0.0
    assert short_profile(full_profile(600.0), 3600.0).short is False


@pytest.mark.parametrize(
    ("late", "declared", "processes"),
    [
        ([], 1, 1),
        ([], 3, 3),
        # Late with little to do: it waited for others.
        ([0.1, 0.39], 1, 1),
        ([0.41], 1, 2),
        ([0.3, 0.99], 1, 3),
        # Two busy ones were not enough.
        ([0.9], 2, 5),
        ([5.0], 8, 16),
    ],
)
def test_a_client_that_was_late_of_its_own_work_gets_more_processes(late, declared, processes):
    assert processes_for(late, declared) == processes


# On nodes, without a network.

LOADTEST = StageName.LOADTEST
SIZED = LoadProfile(8.0, segments=2, warmup=1.0, pilot=4.0)
"""Windows of 4 s hold a handful of synthetic requests: every cell needs to be longer."""


@pytest.fixture
def fleet(tmp_path):
    return Fleet.make(tmp_path, "mac-01").upto(LOADTEST)


def apart(fleet):
    """The pilots' segments and the judged ones, in order."""
    specs = [spec for _, spec in fleet.load.measured]
    pilots = [spec for spec in specs if spec.nonce_key.endswith(" pilot")]
    assert specs[: len(pilots)] == pilots
    return pilots, specs[len(pilots) :]


def test_the_pilot_comes_first_and_sizes_every_arm_alike(fleet):
    result = fleet.rollout(LOADTEST, load=SIZED)
    assert outcomes(result) == {"mac-01": "changed"}
    pilots, judged = apart(fleet)
    assert [(spec.arm, spec.concurrency) for spec in pilots] == [
        *(("container", 1), ("container", 4), ("bare", 1), ("bare", 4))
    ]
    assert {spec.duration for spec in pilots} == {4.0}
    # It ends with the arm that the segments begin with, and asks nothing that they ask.
    assert judged[0].arm == "bare"
    assert not {spec.nonce_key for spec in pilots} & {spec.nonce_key for spec in judged}

    files = fleet.runs.opened[result.run].files
    document = files["nodes/mac-01/pilot.json"]
    assert document["judged"] is False
    sizes = {size["cell"]: size["segments"] for size in document["sizes"]}
    assert set(sizes) == {"short×1", "short×4"}
    assert all(segments > 2 for segments in sizes.values())
    for cell, segments in sizes.items():
        for arm in ("bare", "container"):
            found = [spec.segment for spec in judged if (spec.arm, spec.cell) == (arm, cell)]
            assert found == list(range(segments))


def test_the_records_of_the_pilot_are_kept_and_never_judged(fleet):
    result = fleet.rollout(LOADTEST, load=SIZED)
    files = fleet.runs.opened[result.run].files
    *requests, last = files["nodes/mac-01/bare/pilot-1.ndjson"]
    assert requests
    assert last["judged"] is False
    pilots, judged = apart(fleet)
    minutes = {(cell["arm"], cell["cell"]): cell["minutes"] * 60 for cell in files["summary.json"]["cells"]}
    for (arm, cell), seconds in minutes.items():
        windows = sum(spec.duration for spec in judged if (spec.arm, spec.cell) == (arm, cell))
        assert seconds == pytest.approx(windows)
    assert {spec.arm for spec in pilots} == {"bare", "container"}


def test_a_run_that_goes_on_keeps_the_sizes_that_were_fixed(fleet):
    def lose():
        if len(fleet.load.measured) == 4 + 3:
            fleet.load.failing["mac-01"] = NodeUnreachable(Diagnostic("E0401", "no answer"))

    fleet.load.pause = lose
    lost = fleet.rollout(LOADTEST, load=SIZED)
    fleet.load.pause, fleet.load.failing = lambda: None, {}
    fixed = fleet.runs.opened[lost.run].files["nodes/mac-01/pilot.json"]
    # Were it fixed anew, an hour's pilot would now find that two segments do.
    slow = replace(SIZED, pilot=3600.0)
    again = fleet.rollout(LOADTEST, load=slow, resume=lost.run)
    assert outcomes(again) == {"mac-01": "unchanged"}
    files = fleet.runs.opened[again.run].files
    assert files["nodes/mac-01/pilot.json"] == fixed
    assert any("pilot-1.ndjson" in name for name in files)
    assert sum(spec.nonce_key.endswith(" pilot") for _, spec in fleet.load.measured) == 4
    told = fleet.evidences.latest("mac-01", LOADTEST).evidence["loadtest"]
    assert told["sizes"] == fixed["sizes"]


def test_declared_processes_share_every_segment_that_has_streams_for_them(fleet):
    fleet.nodes = tuple(replace(node, client_processes=3) for node in fleet.nodes)
    fleet.rollout(LOADTEST, load=SIZED)
    assert {(spec.concurrency, spec.processes) for _, spec in fleet.load.measured} == {(1, 1), (4, 3)}


def test_a_pilot_whose_client_was_late_of_its_own_work_has_more_processes_measure(fleet):
    quiet = fleet.load

    class Busy:
        def measure(self, *args):
            return replace(quiet.measure(*args), cpu_share=0.9)

        def __getattr__(self, name):
            return getattr(quiet, name)

    fleet.load = Busy()
    result = fleet.rollout(LOADTEST, load=SIZED)
    pilots, judged = apart(fleet)
    assert {spec.processes for spec in pilots} == {1}
    assert {(spec.concurrency, spec.processes) for spec in judged} == {(1, 1), (4, 3)}
    assert fleet.runs.opened[result.run].files["nodes/mac-01/pilot.json"]["client_processes"] == 3


def test_without_a_pilot_cells_are_as_long_as_they_were_told_to_be(fleet):
    result = fleet.rollout(LOADTEST, load=LoadProfile(8.0, segments=2, warmup=1.0))
    assert apart(fleet)[0] == []
    assert "nodes/mac-01/pilot.json" not in fleet.runs.opened[result.run].files
    told = fleet.evidences.latest("mac-01", LOADTEST).evidence["loadtest"]["sizes"]
    assert [(size["segments"], size["planned"]) for size in told] == [(2, 2), (2, 2)]


def test_the_pilot_is_in_the_hours_and_so_is_the_longest_a_cell_may_become(fleet):
    [node] = fleet.nodes
    plain, sized = LoadProfile(1800.0), LoadProfile(1800.0, pilot=60.0)
    usual, longer = (seconds_needed(fleet.desired, node, profile) for profile in (plain, sized))
    assert usual + 4 * 60 < longer < usual + 4 * 60 + 1200
    assert longest_seconds(fleet.desired, node, plain) == usual
    assert longest_seconds(fleet.desired, node, sized) == pytest.approx(longer + (LONGEST - 1) * usual)
