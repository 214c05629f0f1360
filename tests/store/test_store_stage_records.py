"""The newest evidence read without the library that writes it."""

import sqlite3
import subprocess
import sys

import pytest

from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord, Verdict
from macfleet.store.sql_state import SqlState
from macfleet.store.stage_records import newest_in_file


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a fleet's #1" / "state.db"


@pytest.fixture
def state(file):
    opened = SqlState(f"sqlite:///{file}")
    yield opened
    opened.close()


def record(run, outcome=Outcome.PASS, node="mac-01"):
    verdict = Verdict("mounts_local", node, outcome, ("because",), "mend", ("mounts",))
    key = EvidenceKey({"node": node, "contract": "c1"})
    return StageRecord(node, StageName.LAYOUT, key, outcome, run, 10.25, (verdict,), {"mounts": [{"a": 1}]})


def test_the_newest_record_is_the_one_that_the_store_itself_gives(file, state):
    for each in (record("r1", Outcome.FAIL), record("r2"), record("r3", node="mac-02")):
        state.record(each)
        assert newest_in_file(file, each.node, StageName.LAYOUT) == each
    assert newest_in_file(file, "mac-01", StageName.LAYOUT) == state.latest("mac-01", StageName.LAYOUT)
    assert newest_in_file(file, "mac-01", StageName.NETWORK) is None


def test_a_file_that_is_missing_or_no_store_is_not_made_by_looking(file):
    with pytest.raises(sqlite3.Error):
        newest_in_file(file, "mac-01", StageName.LAYOUT)
    assert not file.exists()
    file.parent.mkdir()
    file.touch()
    with pytest.raises(sqlite3.Error):
        newest_in_file(file, "mac-01", StageName.LAYOUT)
    assert file.stat().st_size == 0


def test_looking_imports_no_sqlalchemy():
    script = "import sys, macfleet.store.stage_records; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
