import math
from dataclasses import replace

import pytest

from macfleet.analysis.cells import bucket_and_concurrency, summarise
from macfleet.analysis.frames import sample_frame, series_frame
from macfleet.analysis.summaries import parse_summary, summary_document
from macfleet.model.diagnostic import MacfleetError
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

BARE = SyntheticArm("bare", rate=50)
CONTAINER = SyntheticArm("container", rate=45, iowait=3.0, psi=1.0, memory=70)


@pytest.fixture(scope="module")
def run():
    return synthetic_run([BARE, CONTAINER])


@pytest.fixture(scope="module")
def cells(run):
    return summarise(run.samples, run.reports, run.series, node="mac-01", accelerators={"bare": "metal"})


def test_every_arm_and_cell_is_summarised_in_order(cells):
    assert [(cell.arm, cell.cell) for cell in cells] == [
        ("bare", "short×1"),
        ("bare", "short×4"),
        ("container", "short×1"),
        ("container", "short×4"),
    ]
    assert [cell.accelerator for cell in cells] == ["metal", "metal", "", ""]


def test_tokens_per_second_is_the_events_of_the_window_over_its_length(run, cells):
    own = [report for report in run.reports if (report.arm, report.cell) == ("bare", "short×4")]
    cell = cells[1]
    assert cell.tokens_per_second.value == pytest.approx(sum(each.token_events for each in own) / 240)
    assert cell.tokens_per_second.low < cell.tokens_per_second.value < cell.tokens_per_second.high
    assert cell.minutes == pytest.approx(4.0)
    assert len(cell.segment_tokens_per_second) == len(cell.segment_p95) == cell.segments == 4


def test_requests_sent_before_the_window_are_not_counted(run, cells):
    sent = [s for s in run.samples if (s.arm, s.cell) == ("bare", "short×1")]
    assert cells[0].n == sum(not sample.warmup for sample in sent) < len(sent)


def test_host_and_vm_series_become_shares_and_are_absent_where_there_is_no_vm(cells):
    assert cells[0].iowait is None
    assert cells[2].iowait.value == pytest.approx(0.03, abs=0.003)
    assert cells[2].memory.value == pytest.approx(0.70, abs=0.01)
    assert cells[2].memory.low < 0.70 < cells[2].memory.high


def test_a_cell_without_findings_is_valid(cells):
    assert [cell.invalid for cell in cells] == [()] * 4


def test_frames_and_rows_reduce_alike(run, cells):
    again = summarise(
        sample_frame(run.samples),
        run.reports,
        series_frame(run.series),
        node="mac-01",
        accelerators={"bare": "metal"},
    )
    assert again == cells


def test_failures_stand_in_the_histograms_and_at_the_end_of_every_percentile():
    run = synthetic_run([SyntheticArm("bare", errors=0.2)], cells=["short×4"])
    (cell,) = summarise(run.samples, run.reports, run.series, node="mac-01")
    assert cell.p95.value == math.inf
    assert cell.status["503"] == cell.outcomes["http_503"] == cell.n - cell.ok
    assert 0.1 < cell.errors < 0.3


def test_a_segment_without_a_report_was_cut_and_is_left_out(run):
    kept = [report for report in run.reports if report.segment != 3]
    cells = summarise(run.samples, kept, run.series, node="mac-01")
    assert {cell.segments for cell in cells} == {3}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loop_lag_p99": 0.02}, "late"),
        ({"cpu_share": 0.9}, "of a core"),
        ({"token_events": 100}, "billed"),
    ],
)
def test_a_client_that_cannot_be_trusted_makes_the_cell_invalid(run, changes, words):
    broken = [replace(run.reports[0], **changes), *run.reports[1:]]
    cells = summarise(run.samples, broken, run.series, node="mac-01")
    assert words in cells[0].invalid[0]
    assert not any(cell.invalid for cell in cells[1:])


def test_a_prefix_cache_that_answers_makes_the_cell_invalid(run):
    cached = [replace(sample, cached_tokens=110) for sample in run.samples]
    cells = summarise(cached, run.reports, run.series, node="mac-01")
    assert "prefix cache" in cells[0].invalid[0]


def test_requests_of_others_make_the_cell_invalid(run):
    told = "segment 0: the engine generated 16 tokens for requests that were not the load client's"
    cells = summarise(
        run.samples, run.reports, run.series, node="mac-01", foreign={("container", "short×4"): [told]}
    )
    assert [cell.invalid for cell in cells] == [(), (), (), (told,)]


def test_a_window_without_requests_is_invalid_and_does_not_crash(run):
    cells = summarise([], run.reports[:1], [], node="mac-01")
    assert cells[0].n == 0
    assert "no request was sent inside the window" in cells[0].invalid


def test_a_summary_survives_its_document(cells):
    failing = synthetic_run([SyntheticArm("bare", errors=0.2)], cells=["short×4"])
    more = summarise(failing.samples, failing.reports, failing.series, node="mac-02")
    import json

    document = json.loads(json.dumps(summary_document([*cells, *more]), allow_nan=False))
    assert parse_summary(document) == (*cells, *more)


@pytest.mark.parametrize(
    "document", [None, {}, {"schema": 2, "cells": []}, {"schema": 1, "cells": [{"x": 1}]}]
)
def test_a_summary_of_another_shape_is_refused(document):
    with pytest.raises(MacfleetError) as caught:
        parse_summary(document)
    assert caught.value.diagnostics[0].code == "E0957"


def test_a_cell_is_split_at_its_last_sign():
    assert bucket_and_concurrency("long×context×16") == ("long×context", 16)


def test_an_open_loops_latencies_run_from_when_a_request_was_due():
    run = synthetic_run([SyntheticArm("bare", spread=0.0)], cells=("short×1",), segments=2)
    late = [replace(s, cell="short@2/s", t_sched=s.t_send - 3_000_000_000) for s in run.samples]
    reports = [replace(report, cell="short@2/s") for report in run.reports]
    [closed] = summarise(run.samples, run.reports, node="mac-01")
    [found] = summarise(late, reports, node="mac-01")
    assert (found.bucket, found.concurrency) == ("short", 0)
    assert found.p50.value == pytest.approx(closed.p50.value + 3)
    assert found.ttft_p50.value == pytest.approx(closed.ttft_p50.value + 3)


def test_open_loops_of_several_rates_stand_in_the_same_order_every_time(run):
    rates = ("short@9/s", "short@1/s", "short@5/s", "short@3/s")
    reports = [replace(run.reports[0], cell=cell) for cell in rates]
    cells = summarise([], reports, node="mac-01")
    assert [cell.cell for cell in cells] == sorted(rates)
