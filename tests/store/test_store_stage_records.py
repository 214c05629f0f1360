"""The newest evidence read without the library that writes it."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord, Verdict
from macfleet.store.sql_state import SqlState
from macfleet.store.stage_records import RecordsInFile


@pytest.fixture
def file(tmp_path):
    return tmp_path / "a fleet's #1" / "state.db"


@pytest.fixture
def state(file):
    opened = SqlState(f"sqlite:///{file}")
    yield opened
    opened.close()


@pytest.fixture
def records(file):
    opened = RecordsInFile(file)
    yield opened
    opened.close()


def record(run, outcome=Outcome.PASS, node="mac-01"):
    verdict = Verdict("mounts_local", node, outcome, ("because",), "mend", ("mounts",))
    key = EvidenceKey({"node": node, "contract": "c1"})
    return StageRecord(node, StageName.LAYOUT, key, outcome, run, 10.25, (verdict,), {"mounts": [{"a": 1}]})


def test_the_newest_record_is_the_one_that_the_store_itself_gives(records, state):
    for each in (record("r1", Outcome.FAIL), record("r2"), record("r3", node="mac-02")):
        state.record(each)
        assert records.newest(each.node, StageName.LAYOUT) == each
    assert records.newest("mac-01", StageName.LAYOUT) == state.latest("mac-01", StageName.LAYOUT)
    assert records.newest("mac-01", StageName.NETWORK) is None


def test_a_file_that_is_missing_or_no_store_is_not_made_by_looking(records, file):
    with pytest.raises(sqlite3.Error):
        records.newest("mac-01", StageName.LAYOUT)
    assert not file.exists()
    file.parent.mkdir()
    file.touch()
    with pytest.raises(sqlite3.Error):
        records.newest("mac-01", StageName.LAYOUT)
    assert file.stat().st_size == 0


def test_threads_look_at_one_file_and_see_what_was_written_meanwhile(records, state):
    nodes = [f"mac-{number:02d}" for number in range(40)]
    for node in nodes:
        state.record(record("r1", node=node))
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda node: records.newest(node, StageName.LAYOUT), nodes))
    assert found == [record("r1", node=node) for node in nodes]
    state.record(record("r2"))
    assert records.newest("mac-01", StageName.LAYOUT) == record("r2")
    records.close()
    assert records.newest("mac-01", StageName.LAYOUT) == record("r2")


def test_looking_imports_no_sqlalchemy():
    script = "import sys, macfleet.store.stage_records; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
