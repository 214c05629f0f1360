"""The state database in an SQLite file: who shares a commit, what a refusal leaves, what it imports."""

import functools
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.store import sqlite_file
from macfleet.store.database import RowTakenError, StoreFailedError, insertion, open_database, spread
from macfleet.store.sql_state import SqlState
from macfleet.store.sqlite_file import TABLES, SqliteFile

NAMED = insertion("identity", ("only", "name"))
LEASE = insertion("leases", ("name", "holder", "token", "expires"))


@pytest.fixture
def commits(monkeypatch):
    """Every commit of a connection that is opened from now on."""
    found = []

    class Counting(sqlite3.Connection):
        def execute(self, sql, *values):
            if sql == "COMMIT":
                found.append(sql)
            return super().execute(sql, *values)

    monkeypatch.setattr(sqlite_file.sqlite3, "connect", functools.partial(sqlite3.connect, factory=Counting))
    return found


@pytest.fixture
def database(tmp_path):
    with closing(SqliteFile(tmp_path / "state.db")) as opened:
        yield opened


def lease(name):
    return {"name": name, "holder": "", "token": 0, "expires": 0.0}


def wait_until(holds, seconds=60):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "the condition did not come to hold"
        time.sleep(0.005)


def at_once(state, calls):
    """Make calls from as many threads, all of which wait for the connection when it comes free."""
    with ThreadPoolExecutor(len(calls)) as pool:
        with state.database._my_turn():
            done = [pool.submit(call) for call in calls]
            wait_until(lambda: len(state.database._waiting) == len(calls))
        return [each.exception(60) for each in done]


def test_an_apply_of_nine_changes_on_twenty_nodes_that_go_abreast_is_three_commits(tmp_path, commits):
    nodes = [f"mac-{number:02}" for number in range(20)]
    with closing(SqlState(f"sqlite:///{tmp_path}/state.db")) as state:
        state.begin("r1", "rollout site", nodes, {})
        commits.clear()
        for kind in ("change.sent", "change.done"):
            told = [(kind, {"address": f"file./{number}"}) for number in range(9)]
            at_once(state, [functools.partial(state.note_all, "r1", node, told) for node in nodes])
        at_once(state, [functools.partial(state.settle, "r1", node, "ok") for node in nodes])
        assert len(commits) == 3
        assert state.unsettled("r1") == ()
        for node in nodes:
            kinds = [entry.kind for entry in state.entries("r1") if entry.node == node]
            assert kinds == ["change.sent"] * 9 + ["change.done"] * 9 + ["node.settled"]


def test_what_a_node_alone_adds_is_on_disk_when_the_call_returns(tmp_path, commits):
    with closing(SqlState(f"sqlite:///{tmp_path}/state.db")) as state:
        state.begin("r1", "rollout site", ["mac-01"], {})
        commits.clear()
        state.note_all("r1", "mac-01", [("change.sent", {})] * 9)
        assert len(commits) == 1
        with closing(sqlite3.connect(tmp_path / "state.db")) as other:
            assert other.execute("SELECT count(*) FROM journal WHERE kind = 'change.sent'").fetchone() == (9,)


def test_when_a_shared_commit_is_refused_everybody_in_it_is_told_and_nothing_is_left(tmp_path):
    with closing(SqlState(f"sqlite:///{tmp_path}/state.db")) as state:
        with state.database.transaction() as rows:
            rows.change("DROP TABLE journal")
        calls = [functools.partial(state.note, "r1", node, "n", {}) for node in ("a", "b")]
        assert [type(error) for error in at_once(state, calls)] == [StoreFailedError] * 2
        # What was refused is in nobody's way.
        state.database.add(LEASE, [lease("node/a")])
        assert state.leases.take("node/a", "ana", 5.0) is not None


def test_whoever_gives_up_waiting_leaves_nothing_behind_to_be_added_by_others(database, monkeypatch):
    monkeypatch.setattr(sqlite_file, "_TURN", 0.01)
    with database.transaction(), pytest.raises(StoreFailedError) as late:
        database.add(LEASE, [lease("late")])
    assert "No turn" in late.value.diagnostics[0].why
    database.add(LEASE, [lease("next")])
    assert database.read("SELECT name FROM leases") == [("next",)]


def test_a_block_that_raises_changes_nothing_and_the_next_one_begins_anew(database):
    def interrupted():
        with database.transaction() as rows:
            rows.change(LEASE, lease("a"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert database.read("SELECT name FROM leases") == []
    with database.transaction() as rows:
        assert rows.change(LEASE, lease("a")) == 1
    assert database.read("SELECT name FROM leases") == [("a",)]


def test_a_key_that_is_taken_and_a_text_that_is_wrong_are_told_apart(database):
    with database.transaction() as rows:
        rows.change(NAMED, {"only": 1, "name": "first"})
    with pytest.raises(RowTakenError), database.transaction() as rows:
        rows.change(NAMED, {"only": 1, "name": "second"})
    with pytest.raises(StoreFailedError) as refused:
        database.read("SELECT nothing FROM nowhere")
    assert not isinstance(refused.value, RowTakenError)
    assert database.read("SELECT name FROM identity") == [("first",)]


def test_a_file_that_is_no_database_is_refused_by_its_name_and_left_as_it_is(tmp_path):
    letter = "a letter to somebody, and longer than the head of a database is " * 20
    (tmp_path / "state.db").write_text(letter)
    with pytest.raises(MacfleetError) as refused:
        open_database(f"sqlite:///{tmp_path}/state.db")
    (problem,) = refused.value.diagnostics
    assert (problem.code, int(problem.exit_code)) == ("E0597", 1)
    assert (f"{tmp_path}/state.db" in problem.summary, "not a database" in problem.why) == (True, True)
    assert (tmp_path / "state.db").read_text() == letter


def damage(path):
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\x55" * (len(content) - 4096))


def fill(database):
    database.read("PRAGMA max_page_count = 1")


@pytest.mark.parametrize(
    ("spoil", "why", "mend"),
    [
        (lambda _, path: damage(path), "malformed", "mv {}* "),
        (lambda database, _: fill(database), "full", "macfleet run prune --check"),
        (lambda database, _: database.read("PRAGMA query_only = 1"), "readonly", "ls -ld "),
    ],
    ids=["damaged", "full", "read-only"],
)
def test_what_the_file_refuses_is_said_with_its_name_and_what_to_do(tmp_path, spoil, why, mend):
    path = tmp_path / "state.db"
    with closing(SqliteFile(path)) as database:
        database.close()
        spoil(database, path)
        with pytest.raises(MacfleetError) as refused:
            database.add(LEASE, [lease("a" * 10_000)])
        (problem,) = refused.value.diagnostics
        assert (problem.code, int(problem.exit_code)) == ("E0598", 1)
        assert (str(path) in problem.summary, why in problem.why) == (True, True)
        assert mend.format(path) in problem.mend


def test_a_place_where_no_folder_can_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MacfleetError) as refused:
        open_database(f"sqlite:///{tmp_path}/file/state.db")
    (problem,) = refused.value.diagnostics
    assert (problem.code, int(problem.exit_code)) == ("E0597", 1)
    assert str(tmp_path / "file") in problem.why


@pytest.mark.parametrize("address", ["postgres://ops@h/fleet", "mysqlx://h/fleet", "://"])
def test_an_address_of_no_database_we_know_is_a_wrong_setting(address):
    with pytest.raises(MacfleetError) as refused:
        open_database(address)
    (problem,) = refused.value.diagnostics
    assert (problem.code, int(problem.exit_code)) == ("E0599", 2)
    assert "postgresql://" in problem.mend


@pytest.mark.parametrize(
    ("sql", "values", "spreads", "plain"),
    [
        ("a IN :n", {"n": ("x", "y")}, "a IN (:n_0, :n_1)", {"n_0": "x", "n_1": "y"}),
        ("a IN :n AND b = :n1", {"n": ("x",), "n1": 2}, "a IN (:n_0) AND b = :n1", {"n_0": "x", "n1": 2}),
        ("a IN :none", {"none": ()}, "a IN (NULL)", {}),
        ("a = :a", {"a": None}, "a = :a", {"a": None}),
    ],
    ids=["two", "one beside a like name", "none", "no list"],
)
def test_a_list_becomes_a_parameter_for_each_of_its_elements(sql, values, spreads, plain):
    assert spread(sql, values) == (spreads, plain)


def test_a_list_that_is_empty_holds_nothing(database):
    database.add(LEASE, [lease("a")])
    assert database.read("SELECT name FROM leases WHERE name IN :names", {"names": ()}) == []


def test_readers_wait_for_nobody_of_another_process_who_writes(database, tmp_path):
    with closing(SqliteFile(tmp_path / "state.db")) as other, other.transaction() as rows:
        rows.change(LEASE, lease("a"))
        assert database.read("SELECT name FROM leases") == []
    assert database.read("SELECT name FROM leases") == [("a",)]


def test_writers_of_two_processes_wait_for_each_other_and_lose_nothing(database, tmp_path):
    with closing(SqliteFile(tmp_path / "state.db")) as other:
        going = threading.Thread(target=lambda: [other.add(LEASE, [lease(f"o{n}")]) for n in range(30)])
        going.start()
        for number in range(30):
            with database.transaction() as rows:
                before = rows.read("SELECT count(*) FROM leases")[0][0]
                rows.change(LEASE, lease(f"m{number}"))
                assert rows.read("SELECT count(*) FROM leases")[0][0] == before + 1
        going.join(60)
    assert database.read("SELECT count(*) FROM leases") == [(60,)]


def test_the_names_of_tables_are_those_that_are_made():
    from macfleet.store.tables import METADATA

    assert set(TABLES) == set(METADATA.tables)


def test_a_store_that_is_there_is_written_to_without_importing_the_library_for_servers(tmp_path):
    script = f"""
import sys
from macfleet.store.sql_state import SqlState
from macfleet.store.run_locks import StoreLocks, this_process
state = SqlState("sqlite:///{tmp_path}/state.db")
first = "sqlalchemy" in sys.modules
locks = StoreLocks(state.locks, this_process("ana"))
fence = locks.take(["mac-01"], "r1", "apply")
state.begin("r1", "apply", ["mac-01"], {{}})
state.settle("r1", "mac-01", "ok")
state.services.service("mac-01")
locks.release(fence)
state.close()
print(first, "sqlalchemy" in sys.modules, "asyncio" in sys.modules)
"""
    said = [
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [each.stdout.split()[0] for each in said] == ["True", "False"]
    assert said[1].stdout.split() == ["False", "False", "False"]
