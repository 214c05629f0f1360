from dataclasses import replace

import pytest

from macfleet.analysis.cells import summarise
from macfleet.analysis.summaries import summary_document
from macfleet.model.diagnostic import MacfleetError
from macfleet.store.records import (
    COLUMNS,
    OPEN_LOOP,
    differing,
    requests_of,
    segment_reports,
    summarise_records,
)
from macfleet.testing.runs import LOAD_TEST
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

MANIFEST = replace(LOAD_TEST, id="20261123T041205Z-loadtest-1a2b", contract="", sent="5a5a", git_commit="")
LATER = replace(MANIFEST, id="20261123T051205Z-loadtest-3c4d")


@pytest.fixture(scope="module")
def recorded():
    return synthetic_run((SyntheticArm("bare"), SyntheticArm("container", memory=70)), segments=2, seconds=20)


@pytest.fixture(scope="module")
def told(recorded):
    kinds = {"bare": "metal", "container": "cpu"}
    return summarise(recorded.samples, recorded.reports, recorded.series, node="mac-01", accelerators=kinds)


@pytest.fixture
def run(runs, recorded, told):
    """Record a run as stage 5 does; its id."""
    writer = runs.create(MANIFEST.id)
    for arm in ("bare", "container"):
        writer.samples(f"nodes/mac-01/{arm}/samples.parquet", [s for s in recorded.samples if s.arm == arm])
    writer.series("nodes/mac-01/series.parquet", recorded.series)
    writer.json("nodes/mac-01/segments.json", [each.document() for each in recorded.reports])
    writer.json("summary.json", summary_document(told))
    writer.finish(MANIFEST)
    return MANIFEST.id


def test_requests_give_the_figures_their_run_recorded(runs, run, told):
    found = summarise_records(runs, run, "mac-01", {"bare": "metal", "container": "cpu"})
    assert found == told
    assert differing(told, found) == ()


def test_a_cell_that_the_engine_served_others_in_stays_invalid(runs, run, recorded, told):
    writer = runs.create(LATER.id)
    for arm in ("bare", "container"):
        writer.samples(f"nodes/mac-01/{arm}/samples.parquet", [s for s in recorded.samples if s.arm == arm])
    writer.series("nodes/mac-01/series.parquet", recorded.series)
    writer.json("nodes/mac-01/segments.json", [each.document() for each in recorded.reports])
    row = {"arm": "bare", "cell": told[0].cell, "segment": 1}
    writer.json("nodes/mac-01/engine.json", [{**row, "foreign": "3 requests"}, {**row, "foreign": ""}])
    writer.finish(LATER)
    found = summarise_records(runs, LATER.id, "mac-01", {})
    assert [cell.invalid for cell in found if cell.invalid] == [("segment 1: 3 requests",)]


def test_a_summary_that_says_otherwise_is_found(runs, run, told):
    found = summarise_records(runs, run, "mac-01", {})
    faster = replace(told[0], p95=replace(told[0].p95, value=told[0].p95.value * 0.9))
    assert differing((faster, *told[1:]), found) == (f"{told[0].arm} {told[0].cell}",)


@pytest.mark.parametrize(("open_loop", "columns"), [(False, 14), (True, 15)])
def test_only_the_columns_that_figures_come_from_are_read(runs, run, open_loop, columns):
    plan = requests_of(runs, run, "mac-01", open_loop=open_loop).explain()
    assert f"PROJECT {columns}/23 COLUMNS" in plan
    assert plan.count("PROJECT") == plan.count("SCAN") == 1, "no file is read whole"
    for name in (*COLUMNS, *([OPEN_LOOP] if open_loop else [])):
        assert name in requests_of(runs, run, "mac-01", open_loop=open_loop).collect_schema()


def test_a_run_without_requests_has_nothing_to_reduce(runs, sealed):
    assert summarise_records(runs, sealed.name, "mac-01", {}) is None


def test_reports_that_are_none_are_refused():
    with pytest.raises(MacfleetError) as caught:
        segment_reports([{"cell": "short×1"}], "run/segments.json")
    assert caught.value.diagnostics[0].code == "E1007"
