"""A pilot of real requests sizes a cell, and the cell then has the requests a gate rests on."""

import contextlib
import json
import subprocess
import sys

import polars as pl
import pytest
from dying_loadtest import carry_out, prepare

from macfleet.analysis.percentiles import GATED_REQUESTS
from macfleet.model.load import Sample
from macfleet.rollout.load_profile import LoadProfile
from macfleet.rollout.pilot_size import Pace, size_cell
from macfleet.store import FolderRuns

pytestmark = pytest.mark.slow  # real requests at two golden engines, a quarter of a minute

RUN = "20261123T060100Z-stage5-0000"
NODE = "nodes/mac-01"
PROFILE = LoadProfile(2.0, segments=2, warmup=0.3, pilot=1.5)
"""Windows of one second: 40 requests of 100 ms, four at once, so that 130 need more than the two segments."""


@contextlib.contextmanager
def engine(first_ms):
    """A golden engine in a process of its own; yields its port."""
    command = [sys.executable, "-m", "macfleet.testing.golden_engine"]
    command += ["--tokens", "8", "--first-ms", str(first_ms), "--gap-ms", "5"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        yield int(child.stdout.readline().rpartition(":")[2])
        child.stdin.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("sized")
    with engine(20) as bare, engine(65) as container:
        prepare(root, bare, container)
        outcome, problems, _ = carry_out(root, RUN, bare, container, profile=PROFILE)
    assert (outcome, problems) == ("changed", [])
    return root / "runs" / RUN


def read(folder, path):
    return json.loads((folder / NODE / path).read_text())


def test_the_size_follows_from_the_records_that_were_kept(folder):
    document = read(folder, "pilot.json")
    paces = []
    for arm in ("bare", "container"):
        *requests, last = map(json.loads, (folder / NODE / arm / "pilot-4.ndjson").read_text().splitlines())
        assert last["judged"] is False
        paces.append(Pace.of(arm, 4, [Sample(**row) for row in requests]))
    size = size_cell("short×4", paces, PROFILE)
    assert document["sizes"] == [size.document()]
    assert (size.arm, size.segments > PROFILE.segments) == ("container", True)


def test_every_arm_has_as_many_segments_and_the_requests_a_gate_rests_on(folder):
    (size,) = read(folder, "pilot.json")["sizes"]
    segments = {(row["arm"], row["segment"]) for row in read(folder, "segments.json")}
    numbers = range(size["segments"])
    assert segments == {(arm, number) for arm in ("bare", "container") for number in numbers}
    cells = {cell["arm"]: cell for cell in read(folder, "summary.json")["cells"]}
    assert cells["bare"]["n"] > cells["container"]["n"]
    assert size["minutes_lacking"] > 0 or cells["container"]["n"] >= GATED_REQUESTS


def test_nothing_of_the_pilot_is_judged(folder):
    assert FolderRuns(folder.parent).verify(RUN) == ()
    for arm in ("bare", "container"):
        judged = pl.read_parquet(folder / NODE / arm / "samples.parquet")
        pilot = [
            json.loads(line) for line in (folder / NODE / arm / "pilot-4.ndjson").read_text().splitlines()
        ]
        began = judged.get_column("t_sched").min()
        assert max(row["t_sched"] for row in pilot if "t_sched" in row) < began
