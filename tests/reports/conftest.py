import functools
from dataclasses import replace

import pytest

from macfleet.analysis.cells import summarise
from macfleet.analysis.summaries import summary_document
from macfleet.reports.loaded import LoadedRun
from macfleet.store.folder_runs import FolderRuns
from macfleet.testing.runs import LOAD_TEST
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

BARE = SyntheticArm("bare", rate=50)
CONTAINER = SyntheticArm("container", rate=46, iowait=3, psi=1, memory=71)

MANIFEST = replace(LOAD_TEST, id="20261123T041205Z-loadtest-1a2b", short=False)

FACTS = {
    "chip": "M4",
    "memory": 24 * 2**30,
    "ownership": "owned",
    "images": {"engine": "sha256:" + "a" * 64},
    "versions": {"colima": "0.10.3", "lima": "2.0.1"},
    "mounts": ["/Users/ops/models ext4"],
}


@functools.cache
def summarised(arms, seed, spec, accelerators):
    recorded = synthetic_run(arms, seed=seed, **dict(spec))
    return summarise(
        recorded.samples, recorded.reports, recorded.series, node="any", accelerators=dict(accelerators)
    )


@pytest.fixture(scope="session")
def make_run():
    """Build a `LoadedRun` of one node from synthetic arms; keyword arguments change manifest and facts."""

    def make(*arms, node="mac-01", seed=1, accelerators=None, facts=None, cells=None, spec=None, **manifest):
        kinds = accelerators or {"bare": "cpu", "container": "cpu"}
        found = summarised(arms or (BARE, CONTAINER), seed, tuple((spec or {}).items()), tuple(kinds.items()))
        found = tuple(replace(cell, node=node) for cell in found)
        head = replace(MANIFEST, nodes=(node,), **manifest)
        return LoadedRun(head, cells(found) if cells else found, {node: {**FACTS, **(facts or {})}})

    return make


@pytest.fixture
def fleet(tmp_path):
    (tmp_path / "macfleet.yml").write_text("name: test\n")
    return tmp_path


@pytest.fixture
def record(fleet):
    """Write a `LoadedRun` into the fleet folder's store."""

    def write(run):
        writer = FolderRuns(fleet / ".macfleet" / "runs").create(run.manifest.id)
        writer.json("summary.json", summary_document(run.cells))
        for node, facts in run.facts.items():
            writer.json(f"nodes/{node}/facts.json", facts)
        return writer.finish(run.manifest)

    return write
