"""`macfleet diagnose` reads what runs recorded."""

import json

from click.testing import CliRunner

from macfleet.analysis.summaries import summary_document
from macfleet.cli.diagnose import diagnose
from macfleet.store.folder_runs import FolderRuns
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

CROWDED = (SyntheticArm("bare"), SyntheticArm("container", queueing=0.8, iowait=3, psi=1, memory=90))


def invoke(fleet, *arguments):
    return CliRunner().invoke(diagnose, [*arguments, "--fleet", str(fleet)], standalone_mode=False)


def test_the_newest_run_of_a_node_is_diagnosed_with_its_series(fleet, make_run):
    run = make_run(*CROWDED)
    writer = FolderRuns(fleet / ".macfleet" / "runs").create(run.manifest.id)
    writer.json("summary.json", summary_document(run.cells))
    writer.json("nodes/mac-01/facts.json", run.facts["mac-01"])
    writer.series("nodes/mac-01/series.parquet", synthetic_run(CROWDED).series)
    writer.finish(run.manifest)
    rows = json.loads(invoke(fleet, "--output", "json").stdout)["findings"]
    found = next(each for each in rows if each["symptom"] == "everything slows under concurrency")
    assert found["state"] == "possible"
    assert "0 pages were swapped out" in found["refuting"]
    shown = invoke(fleet, "mac-01").stdout
    assert "everything slows under concurrency: possible page cache thrash, swap" in shown
    assert "→ cap concurrency, split to remote" in shown


def test_a_run_without_a_series_is_diagnosed_from_its_summary(fleet, record, make_run):
    record(make_run(*CROWDED))
    assert "everything slows under concurrency" in invoke(fleet).stdout


def test_a_node_that_was_not_measured_is_refused(fleet, record, make_run):
    record(make_run())
    found = invoke(fleet, "mac-09").exception.diagnostics[0]
    assert (found.code, found.mend) == ("E1051", "macfleet rollout stage5 -l mac-09")
