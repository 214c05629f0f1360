"""One headless Chromium for all tests, with nowhere to connect to."""

import shutil
from dataclasses import replace

import pytest

from macfleet.analysis.cells import summarise
from macfleet.analysis.frames import sample_frame, series_frame
from macfleet.analysis.traces import trace
from macfleet.reports.compare import compare
from macfleet.reports.loaded import LoadedRun
from macfleet.reports.page import html
from macfleet.testing.runs import LOAD_TEST
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

BARE = SyntheticArm("bare", rate=50)
SLOW = SyntheticArm("container", rate=30, iowait=40, psi=1, memory=71, errors=0.05)
FACTS = {"chip": "M4", "memory": 24 * 2**30, "ownership": "owned", "versions": {"colima": "0.10.3"}}


@pytest.fixture(scope="module")
def chromium():
    """A running browser whose every look-up of a name fails.

    Gone with the module: as long as it runs, its driver keeps an event loop running in this thread.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: make browser (make test does it)"
    )
    if not shutil.which("chromium"):
        pytest.skip("Debian's chromium is not installed: make browser (make test does it)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--host-resolver-rules=MAP * ~NOTFOUND",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory):
    """A report of two nodes, one of which lost a third in the container."""
    runs, traces = [], []
    for seed, (node, arms) in enumerate({"mac-01": (BARE, SLOW), "rent-01": (BARE, BARE_LIKE)}.items()):
        recorded = synthetic_run(arms, seed=seed)
        kinds = {"bare": "cpu", "container": "cpu"}
        cells = summarise(recorded.samples, recorded.reports, recorded.series, node=node, accelerators=kinds)
        head = manifest(f"2026112{seed}T000000Z-loadtest-aaaa", node)
        runs.append(LoadedRun(head, cells, {node: FACTS}))
        frames = sample_frame(recorded.samples), recorded.reports, series_frame(recorded.series)
        traces.append(trace(head.id, node, *frames))
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html(compare(tuple(runs), "node", every_run=True), tuple(traces)), encoding="utf-8")
    return path


BARE_LIKE = SyntheticArm("container", rate=48, iowait=3, psi=1, memory=71)


def manifest(run_id, node):
    return replace(LOAD_TEST, id=run_id, nodes=(node,), short=False)
