"""A controller that is killed in the middle of a segment loses a second at most, and is gone on with."""

import contextlib
import json
import shutil
import subprocess
import sys
import time

import polars as pl
import pytest
from dying_loadtest import begin, carry_out, kill, prepare

from macfleet.reports.compare import compare
from macfleet.reports.loaded import load_run
from macfleet.store import FolderRuns
from macfleet.store.token_events import with_times

pytestmark = pytest.mark.slow  # a minute of real requests, and controllers in processes of their own

SECOND = 1_000_000_000
NODE = "nodes/mac-01"
FIRST, SECOND_RUN, LAST = (f"20261123T05{minute:02}00Z-stage5-0000" for minute in (1, 2, 3))


@contextlib.contextmanager
def golden_engine():
    """An engine in a process of its own; yields its port."""
    command = [sys.executable, "-m", "macfleet.testing.golden_engine"]
    command += ["--tokens", "8", "--first-ms", "20", "--gap-ms", "5"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        yield int(child.stdout.readline().rpartition(":")[2])
        child.stdin.close()


def rows(path):
    """The whole lines of a file; none where there is no file."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def killed_in(root, run, file, ports, resumes="", *, count=60):
    """Kill a run while it writes `file`; return the seconds of which its records say nothing."""
    child = begin(root, run, *ports, resumes)
    raw = root / "runs" / f"{run}.partial" / NODE / file
    until = time.monotonic() + 120
    while len(rows(raw)) < count:
        assert child.poll() is None, "the run ended before it was killed"
        assert time.monotonic() < until, "the segment did not come"
        time.sleep(0.05)
    at = time.monotonic_ns()
    kill(child)
    kept = rows(raw)
    assert "report" not in kept[-1], "the segment was finished already"
    return (at - max(row["t_close"] for row in kept)) / SECOND


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A run killed in its second segment, gone on with, killed in its third, gone on with to the end."""
    root = tmp_path_factory.mktemp("cut")
    with golden_engine() as bare, golden_engine() as container:
        ports = bare, container
        prepare(root, *ports)
        lost = [killed_in(root, FIRST, "container/raw-0-4-0.ndjson", ports)]
        lost.append(killed_in(root, SECOND_RUN, "container/raw-1-4-0.ndjson", ports, FIRST))
        ended = carry_out(root, LAST, *ports, SECOND_RUN)
    return root, lost, ended


@pytest.fixture
def root(story):
    return story[0]


@pytest.fixture
def run(root):
    return root / "runs" / LAST


def test_the_run_completes_and_passes_its_gate(story):
    _, _, (outcome, problems, verdicts) = story
    assert (outcome, problems) == ("unchanged", [])
    assert [str(verdict.outcome) for verdict in verdicts] == ["pass"] * len(verdicts)


def test_at_most_a_second_of_requests_is_lost_by_the_records_own_stamps(story):
    # A machine that stalls at that very moment may hold one of the two back, not both.
    assert min(story[1]) <= 1.0


def test_finished_segments_are_the_ones_that_were_measured_before(root, run):
    used = [
        ("bare", rows(root / "runs" / f"{FIRST}.partial" / NODE / "bare/raw-0-4-0.ndjson")),
        ("container", rows(root / "runs" / f"{SECOND_RUN}.partial" / NODE / "container/raw-0-4-1.ndjson")),
    ]
    for arm, raw in used:
        *requests, last = raw
        frame = pl.read_parquet(run / NODE / arm / "samples.parquet").filter(pl.col("segment") == 0)
        assert sorted(frame["t_close"]) == sorted(row["t_close"] for row in requests)
        reports = json.loads((run / NODE / "segments.json").read_text())
        assert last["report"] in reports


def test_what_was_cut_is_kept_marked_and_in_no_figure(root, run):
    cuts = json.loads((run / NODE / "cut.json").read_text())
    assert [(row["arm"], row["cell"], row["segment"], row["judged"]) for row in cuts] == [
        ("container", "short×4", 0, False),
        ("container", "short×4", 1, False),
    ]
    frame = pl.read_parquet(run / NODE / "container" / "samples.parquet")
    for begun, row in zip((FIRST, SECOND_RUN), cuts, strict=True):
        before = root / "runs" / f"{begun}.partial" / NODE / row["file"].replace("cut-", "raw-")
        kept = rows(run / NODE / row["file"])
        assert kept == rows(before)
        assert len(kept) == row["records"]
        assert not set(frame["t_close"]) & {each["t_close"] for each in kept}
        assert rows(run / NODE / f"cut-series-container-{row['segment']}-4-0.ndjson")
        again = frame.filter(pl.col("segment") == row["segment"])["index"]
        assert again.min() > max(each["index"] for each in kept)
        assert again.n_unique() == len(again)


@pytest.mark.parametrize("arm", ["bare", "container"])
def test_every_token_of_every_judged_segment_is_timed_whichever_run_measured_it(arm, run):
    reports = json.loads((run / NODE / "segments.json").read_text())
    windows = {row["segment"]: row["window_start"] for row in reports if row["arm"] == arm}
    began = pl.DataFrame({"segment": list(windows), "began": list(windows.values())})
    samples = pl.read_parquet(run / NODE / arm / "samples.parquet").filter(pl.col("outcome") == "ok")
    wanted = samples.join(began, on="segment").select(
        "segment",
        "index",
        "tokens",
        first=pl.col("t_first_gen") - pl.col("began"),
        last=pl.col("t_last_gen") - pl.col("began"),
    )
    events = with_times(pl.scan_parquet(run / NODE / arm / "events.parquet")).collect()
    found = events.group_by("segment", "index").agg(
        tokens=pl.col("tokens").sum(), first=pl.col("t_ns").min(), last=pl.col("t_ns").max()
    )
    both = wanted.join(found, on=["segment", "index"], suffix="_found")
    assert len(both) == len(wanted) > 100
    for column in ("tokens", "first", "last"):
        assert both[column].to_list() == both[f"{column}_found"].to_list()


def test_manifest_and_comparison_say_what_was_gone_on_with(root):
    runs = FolderRuns(root / "runs")
    told = runs.manifest(LAST).profile["resumed"]
    assert (told["runs"], told["reused"]) == ([FIRST, SECOND_RUN], 2)
    assert [(row["node"], row["segment"]) for row in told["cut"]] == [("mac-01", 0), ("mac-01", 1)]
    (notice,) = [n for n in compare([load_run(runs, LAST)]).notices if "went on with" in n]
    assert notice == (
        f"{LAST} went on with {FIRST}, {SECOND_RUN}: 2 finished segments used; "
        "2 cut, kept, not judged, measured again"
    )


def test_a_flipped_byte_in_any_artifact_of_the_run_is_named(root, tmp_path):
    runs = FolderRuns(tmp_path / "runs")
    shutil.copytree(root / "runs" / LAST, tmp_path / "runs" / LAST)
    for path in (tmp_path / "runs" / LAST).rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert runs.verify(LAST) == ()
    files = sorted(runs.manifest(LAST).files)
    kinds = {name.rpartition("/")[2].split("-")[0].split(".")[0] for name in files}
    assert kinds >= {"samples", "series", "segments", "cut", "vm", "engine", "facts", "summary", "begun"}
    for name in files:
        file = tmp_path / "runs" / LAST / name
        whole = file.read_bytes()
        spot = len(whole) // 2
        file.write_bytes(whole[:spot] + bytes([whole[spot] ^ 1]) + whole[spot + 1 :])
        assert [name in each.summary for each in runs.verify(LAST)] == [True], name
        file.write_bytes(whole)
    assert runs.verify(LAST) == ()
