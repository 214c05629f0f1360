"""From requests to verdict through the files a run leaves."""

from macfleet.analysis.cells import summarise
from macfleet.analysis.summaries import parse_summary, summary_document
from macfleet.reports.compare import compare
from macfleet.reports.loaded import load_run
from macfleet.store.folder_runs import FolderRuns
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

ARMS = (
    SyntheticArm("bare", rate=50),
    SyntheticArm("container", rate=30, iowait=30, psi=25, memory=70),
)


def test_a_slow_disk_in_the_container_arm_ends_as_mounts_first(tmp_path, make_run):
    manifest = make_run().manifest
    recorded = synthetic_run(ARMS, seed=5)
    runs = FolderRuns(tmp_path)
    writer = runs.create(manifest.id)
    for arm in manifest.arms:
        own = [sample for sample in recorded.samples if sample.arm == arm]
        writer.samples(f"nodes/mac-01/{arm}/samples.parquet", own)
    writer.series("nodes/mac-01/series.parquet", recorded.series)
    cells = summarise(recorded.samples, recorded.reports, recorded.series, node="mac-01")
    writer.json("summary.json", summary_document(cells))
    writer.finish(manifest)

    # The sealed raw figures give the same summary again, bit for bit.
    import polars as pl

    paths = [f"nodes/mac-01/{arm}/samples.parquet" for arm in manifest.arms]
    again = summarise(
        pl.concat(runs.samples(manifest.id, path) for path in paths).collect(),
        recorded.reports,
        runs.samples(manifest.id, "nodes/mac-01/series.parquet").collect(),
        node="mac-01",
    )
    assert again == parse_summary(runs.document(manifest.id, "summary.json"))

    column = compare([load_run(runs, manifest.id)]).columns[0]
    assert column.headline.text == "mounts-first"
    assert "fix mounts and cache paths before scaling the model" in column.headline.advice[0]
