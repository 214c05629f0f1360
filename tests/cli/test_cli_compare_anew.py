"""`compare --anew`: what it says, and how many runs' requests it holds at once."""

import weakref
from dataclasses import dataclass, field, replace

import polars as pl
import pytest

from macfleet.analysis.cells import summarise
from macfleet.analysis.summaries import summary_document
from macfleet.cli.compare_anew import READERS, reduced_anew
from macfleet.reports.loaded import Selection, load_run
from macfleet.store.folder_runs import FolderRuns
from macfleet.testing.runs import LOAD_TEST
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

RUNS = 8
MANIFEST = replace(LOAD_TEST, id="", contract="", sent="5a5a", git_commit="")


@dataclass(frozen=True)
class WatchedFile:
    """A file that was opened, and the frames that were read of any such file and may be gone by now."""

    lazily: pl.LazyFrame
    read: list[weakref.ref]

    def select(self, columns):
        return replace(self, lazily=self.lazily.select(columns))

    def collect(self):
        found = self.lazily.collect()
        self.read.append(weakref.ref(found))
        return found


@dataclass(frozen=True, slots=True)
class WatchedRuns(FolderRuns):
    """Runs that count, whenever a file is opened, how many runs' requests are still in memory."""

    read: list[weakref.ref] = field(default_factory=list)
    held: list[int] = field(default_factory=list)

    def samples(self, run_id, *paths):
        alive = [frame for each in tuple(self.read) if (frame := each()) is not None]
        self.held.append(sum("t_close" in frame.columns for frame in alive))
        return WatchedFile(FolderRuns.samples(self, run_id, *paths), self.read)


@pytest.fixture
def recorded():
    arms = (SyntheticArm("bare"), SyntheticArm("container", memory=70))
    return synthetic_run(arms, segments=2, seconds=20)


@pytest.fixture
def chosen(tmp_path, recorded):
    """Runs as stage 5 leaves them, loaded by their summaries; the last one's says that it was faster."""
    told = summarise(recorded.samples, recorded.reports, recorded.series, node="mac-01")
    flattering = replace(told[0], p95=replace(told[0].p95, value=told[0].p95.value * 0.9))
    runs = FolderRuns(tmp_path)
    loaded = []
    for number in range(RUNS):
        writer = runs.create(f"2026112{number}-loadtest")
        for arm in MANIFEST.arms:
            own = [sample for sample in recorded.samples if sample.arm == arm]
            writer.samples(f"nodes/mac-01/{arm}/samples.parquet", own)
        writer.series("nodes/mac-01/series.parquet", recorded.series)
        writer.json("nodes/mac-01/segments.json", [each.document() for each in recorded.reports])
        cells = (flattering, *told[1:]) if number == RUNS - 1 else told
        writer.json("summary.json", summary_document(cells))
        writer.finish(replace(MANIFEST, id=writer.run_id))
        loaded.append(load_run(runs, writer.run_id))
    return Selection(tuple(loaded), ("a note from before",))


def test_figures_are_those_of_the_requests_and_a_flattering_summary_is_named(tmp_path, chosen):
    found = reduced_anew(FolderRuns(tmp_path), chosen)
    assert [run.manifest.id for run in found.runs] == [run.manifest.id for run in chosen.runs]
    assert all(run.cells == chosen.runs[0].cells for run in found.runs)
    before, other = found.notes
    assert before == "a note from before"
    assert other.startswith(f"2026112{RUNS - 1}-loadtest: the requests of mac-01 give other figures")
    assert other.endswith(": bare short×1")


def test_no_more_runs_requests_are_held_than_there_are_readers(tmp_path, chosen):
    runs = WatchedRuns(tmp_path)
    reduced_anew(runs, chosen)
    assert len(runs.held) == len(runs.read) == 2 * RUNS, "requests and series of every run are opened"
    assert max(runs.held) <= READERS
    assert not any(each() is not None for each in runs.read), "what was read is let go"
