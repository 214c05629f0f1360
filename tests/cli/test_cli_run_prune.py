"""`macfleet run prune`: old runs leave the disk whole, what is needed stays, and history says who did it."""

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord
from macfleet.store import FolderRuns, SqlState
from macfleet.testing.runs import LOAD_TEST

SOURCE = Path(__file__).parents[2] / "src"
MANIFEST = replace(LOAD_TEST, id="", contract="9f2c", sent="5a5a", arms=("bare",), started="", finished="")
OLD, PROVEN, CHOSEN, SIGNED, YOUNG = (
    "20200101T000000Z-stage5-aaaa",
    "20200102T000000Z-stage3-bbbb",
    "20200103T000000Z-stage4-cccc",
    "20200104T000000Z-stage5-dddd",
    "20991231T000000Z-stage5-eeee",
)
EVENTS = "nodes/mac-01/bare/events.parquet"
BROKEN_OFF = "20200105T000000Z-stage5-ffff"


@pytest.fixture
def folder(tmp_path):
    """A fleet folder with runs: one nobody needs, three that are needed, one that is young, one cut short."""
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text("all:\n  hosts:\n    mac-01: {pool: chat}\n")
    (tmp_path / "macfleet.yml").write_text("name: lab\nretention: {runs: 30d, keep: 1}\n")
    (tmp_path / "network.lock").write_text(
        f"nodes:\n  mac-01: {{mode: bridge, forwarder: ssh, run: {CHOSEN}}}\n"
    )
    runs = FolderRuns(tmp_path / ".macfleet/runs")
    for each in (OLD, PROVEN, CHOSEN, SIGNED, YOUNG):
        day = f"{each[:4]}-{each[4:6]}-{each[6:8]}T00:00:00Z"
        writer = runs.create(each)
        writer.text("nodes/mac-01/logs/engine.txt", "said nothing\n")
        if each in (OLD, SIGNED):
            writer.text(EVENTS, "PAR1")
        writer.finish(replace(MANIFEST, id=each, started=day, finished=day))
    signed = runs.folder(SIGNED)
    signed.chmod(0o755)
    (signed / "signature").write_text("-----BEGIN SSH SIGNATURE-----\n")
    runs.create(BROKEN_OFF).text("nodes/mac-01/begun.json", "{}")
    with closing(SqlState(f"sqlite:///{tmp_path}/.macfleet/state.db")) as state:
        for run in (OLD, PROVEN):
            state.record(
                StageRecord("mac-01", StageName.LAYOUT, EvidenceKey({}), Outcome.PASS, run, 0.0, (), {})
            )
    return tmp_path


def macfleet(folder, *arguments, exits=0):
    done = subprocess.run(
        [sys.executable, "-m", "macfleet", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == exits, done.stdout + done.stderr
    return done.stdout


def test_check_says_what_would_go_and_what_keeps_the_others_and_removes_nothing(folder):
    rows = json.loads(macfleet(folder, "run", "prune", "--check", "--output", "json", exits=3))["runs"]
    assert {row["run"]: row["stays"] for row in rows} == {
        OLD: None,
        PROVEN: "newest evidence of layout on mac-01",
        CHOSEN: "network.lock rests on it for mac-01",
        SIGNED: "signed",
        BROKEN_OFF: None,
        YOUNG: "young",
    }
    assert not any(row["removed"] for row in rows)
    assert len(FolderRuns(folder / ".macfleet/runs").ids()) == 5


def test_what_nobody_needs_is_gone_at_once_and_history_says_so(folder):
    said = macfleet(folder, "run", "prune", "--yes")
    assert "2 runs removed" in said
    assert "4 runs stay" in said
    runs = FolderRuns(folder / ".macfleet/runs")
    assert runs.ids() == (PROVEN, CHOSEN, SIGNED, YOUNG)
    assert runs.unfinished() == ()
    assert sorted(path.name for path in runs.root.iterdir()) == [PROVEN, CHOSEN, SIGNED, YOUNG]
    assert "2 runs removed" in macfleet(folder, "history")
    assert "0 runs removed" in macfleet(folder, "run", "prune", "--yes")


def test_token_events_of_an_old_run_that_stays_go_alone_and_everything_that_shows_it_says_when(folder):
    rows = json.loads(macfleet(folder, "run", "prune", "--check", "--output", "json", exits=3))["runs"]
    assert {row["run"] for row in rows if row["events"]} == {OLD, SIGNED}
    assert not any(row["events_dropped"] for row in rows)
    assert "token events of 1 run dropped, 4 B" in macfleet(folder, "run", "prune", "--yes")
    runs = FolderRuns(folder / ".macfleet/runs")
    assert not (runs.folder(SIGNED) / EVENTS).exists()
    assert runs.verify(SIGNED) == ()
    assert list(runs.dropped(SIGNED)) == [EVENTS]
    assert "dropped   token events, by retention on 20" in macfleet(folder, "run", "show", SIGNED)
    assert "token events of 1 dropped" in macfleet(folder, "history")
    assert "token events" not in macfleet(folder, "run", "prune", "--yes")


def test_verify_says_that_dropped_events_may_be_missing(folder):
    macfleet(folder, "run", "prune", "--yes", "--older", "20000d")
    said = macfleet(folder, "run", "verify", OLD)
    assert "✓" in said
    assert "dropped: token events, by retention on 20" in said
    document = json.loads(macfleet(folder, "run", "verify", OLD, "--output", "json"))
    assert list(document["runs"][0]["dropped"]) == [EVENTS]


@pytest.mark.parametrize(("said", "left"), [("20000d", 2), ("1s", 0)])
def test_the_age_of_token_events_can_be_said(said, left, folder):
    macfleet(folder, "run", "prune", "--yes", "--older", "20000d", "--events", said)
    assert len(list((folder / ".macfleet/runs").rglob("events.parquet"))) == left


def test_a_removal_that_was_cut_short_leaves_no_run_and_goes_with_the_next(folder):
    runs = FolderRuns(folder / ".macfleet/runs")
    (runs.root / OLD).rename(runs.root / f".{OLD}.pruned.partial")
    assert OLD not in runs.ids()
    assert runs.unfinished() == (BROKEN_OFF,)
    macfleet(folder, "run", "prune", "--yes")
    assert not [path for path in runs.root.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("arguments", "left"),
    [(("--older", "20000d"), 5), (("--keep", "5"), 5), (("--older", "1s", "--keep", "1"), 4)],
)
def test_age_and_number_can_be_said(arguments, left, folder):
    macfleet(folder, "run", "prune", "--yes", *arguments)
    assert len(FolderRuns(folder / ".macfleet/runs").ids()) == left


def test_without_a_terminal_and_yes_nothing_is_removed(folder):
    macfleet(folder, "run", "prune", exits=2)
    assert len(FolderRuns(folder / ".macfleet/runs").ids()) == 5


@pytest.mark.parametrize("option", ["--events", "--older"])
def test_a_time_that_is_none_is_answered_with_what_to_type(run, fleet, option):
    code, out, err = run("run", "prune", option, "x")
    assert (code, out) == (2, "")
    assert "'x' is not a number with one of the units" in err
    assert f"Such as: macfleet run prune {option} 10m\n" in err
