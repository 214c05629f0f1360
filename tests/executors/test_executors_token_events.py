"""What a node says about the times of tokens: handed on with its request, or refused."""

import json
from dataclasses import replace

import pytest

from macfleet.executors.vantage_lines import SegmentLines
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.load import FixtureBody, LoadSpec, Sample, SegmentReport

SPEC = LoadSpec(
    base_url="http://127.0.0.1:8080",
    route="/v1/chat/completions",
    fixtures=(FixtureBody("short/001", {}),),
    cell="short×1",
    segment=0,
    arm="bare",
    concurrency=1,
    duration=1.0,
)
SAMPLE = Sample(
    cell="short×1",
    segment=0,
    arm="bare",
    index=4,
    fixture="short/001",
    outcome="ok",
    status=200,
    t_sched=0,
    t_send=0,
    t_headers=1,
    t_first_event=2,
    t_first_gen=2,
    t_first_visible=2,
    t_last_gen=9,
    t_close=9,
    tokens=2,
    token_source="usage",  # noqa: S106  (where the count of tokens comes from)
)
REPORT = SegmentReport("short×1", 0, "bare", 0, 10, 0, 2, 1, 0.0, 0.0, 0.0, "0.1.0", "digest")


def line(**record):
    return json.dumps(record).encode() + b"\n"


def read(*lines):
    """Feed lines; return what was handed on as pairs of index and moments."""
    told = []
    found = SegmentLines(
        "mac-01", SPEC, lambda _sample: None, lambda sample, t: told.append((sample.index, list(t)))
    )
    for each in lines:
        found.feed(each)
    found.feed(line(report=REPORT.document()))
    found.settled("digest")
    return told


REQUEST = line(sample=SAMPLE.document())


def test_moments_come_with_their_request():
    assert read(REQUEST, line(events={"index": 4, "t": [2, 9]})) == [(4, [2, 9])]


def test_a_request_without_any_token_is_no_fault():
    assert read(REQUEST) == []
    assert read(REQUEST, line(events={"index": 4, "t": []})) == [(4, [])]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ({"index": 5, "t": [2]}, "without their request"),
        ({"index": 4, "t": [9, 2]}, "times go back"),
        ({"index": 4, "t": ["soon"]}, "valid integer"),
        ({"index": 4, "t": [2], "more": 1}, "not permitted"),
        ({"index": 4}, "required"),
    ],
)
def test_what_no_client_writes_spoils_the_measurement(events, said):
    with pytest.raises(MacfleetError, match="not understood") as caught:
        read(REQUEST, line(events=events))
    assert said in str(caught.value)


def test_the_same_moments_twice_are_refused():
    events = line(events={"index": 4, "t": [2, 9]})
    with pytest.raises(MacfleetError, match="without their request"):
        read(REQUEST, events, events)


def test_a_segment_of_which_no_times_are_wanted_lets_them_pass():
    samples = []
    found = SegmentLines("mac-01", SPEC, samples.append)
    found.feed(REQUEST + line(events={"index": 4, "t": [2, 9]}) + line(report=REPORT.document()))
    assert found.settled("digest") == replace(REPORT, processes=())
    assert samples == [SAMPLE]
