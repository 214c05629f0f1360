"""The state database of a team: the same journal, leases and locks on a PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord
from macfleet.rollout.drain_state import Service, ServiceState
from macfleet.rollout.run_lock import Fence
from macfleet.store.run_locks import StoreLocks, this_process
from macfleet.store.sql_locks import Owner
from macfleet.store.sql_state import SqlState
from macfleet.store.tables import METADATA

pytestmark = pytest.mark.slow
NODES = ("mac-01", "mac-02", "mac-03")
ANA, BOB = Owner("a" * 16, "ana@desk", "desk", 7), Owner("b" * 16, "bob@lab", "lab", 8)
# A controller whose clock is wrong by a day: on PostgreSQL it must not matter.
WRONG = 86_400.0


def programs():
    """Where Debian keeps the server's programs; None without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class Server:
    """A server that listens on a socket in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        self.url = f"postgresql+psycopg://ops@/postgres?host={folder}"
        # It refuses to run as root; its package made a user for it.
        root = os.geteuid() == 0
        self.be = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] if root else []
        if root:
            shutil.chown(folder, "postgres")
        data = ["-D", folder / "data"]
        initdb = [*self.be, programs() / "initdb", "-A", "trust", "-U", "ops", "--no-sync", *data]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder)

    def start(self):
        settings = {"listen_addresses": "", "unix_socket_directories": self.folder, "fsync": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [*self.be, programs() / "postgres", "-D", self.folder / "data", *options]
        self.process = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL)
        wait_until(lambda: answers(self.url))

    def stop(self):
        # At once, whoever is connected.
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)


@contextmanager
def served():
    folder = Path(tempfile.mkdtemp(prefix="macfleet-pg."))
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def url():
    """The address of a server of our own, gone at the end."""
    if programs() is None:
        pytest.skip("no PostgreSQL server here: run scripts/packages.sh")
    with served() as server:
        yield server.url


def answers(url):
    try:
        SqlState(url).close()
    except Exception:  # noqa: BLE001  (whatever the driver raises before the server is up)
        return False
    return True


def wait_until(holds, seconds=30):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "the condition did not come to hold"
        time.sleep(0.05)


@pytest.fixture
def states(url):
    """Two controllers' views of an empty database; the second's clock is wrong."""
    with closing(SqlState(url)) as one, closing(SqlState(url, lambda: time.time() + WRONG)) as other:
        with one.database.transaction() as rows:
            for table in METADATA.tables:
                if table != "identity":
                    rows.change(f"DELETE FROM {table}")  # noqa: S608  (our own names)
        yield one, other


def take(state, owner, nodes=NODES, ttl=60.0):
    return state.locks.take(nodes, owner, "R1", "rollout layout", ttl, ())


def test_journal_evidence_and_states_of_nodes_come_back(states):
    mine, other = states
    mine.begin("R1", "rollout layout", NODES, {"who": "ana"})
    mine.note("R1", "mac-01", "change.started", {"address": "file.ä"})
    mine.settle("R1", "mac-01", "ok")
    record = StageRecord("mac-01", StageName.LAYOUT, EvidenceKey({"contract": "9f"}), Outcome.PASS, "R1", 5.0)
    mine.record(record)
    mine.services.keep_service(Service("mac-01", ServiceState.DRAINED, token=2**40))
    assert other.unsettled("R1") == ("mac-02", "mac-03")
    assert other.last() == "R1"
    assert other.entries("R1")[1].detail == {"address": "file.ä"}
    assert other.latest("mac-01", StageName.LAYOUT) == record
    assert other.services.service("mac-01").token == 2**40


def test_nodes_are_taken_all_or_none_whatever_the_controllers_clocks_say(states):
    mine, other = states
    fence = take(mine, ANA)
    (holder,) = take(other, BOB, ("mac-03", "mac-04"))
    assert (holder.nodes, holder.who) == (("mac-03",), "ana@desk")
    assert 50 < holder.left <= 60
    assert isinstance(take(other, BOB, ("mac-04",)), Fence)
    mine.locks.release(fence, ANA)
    later = take(other, BOB)
    assert (later.token > fence.token, later.store == fence.store) == (True, True)
    assert later.token - fence.token < WRONG * 1000


def test_a_lock_lapses_by_the_databases_clock_and_its_holder_learns_of_it(states):
    mine, other = states
    held = StoreLocks(mine.locks, this_process("ana"), ttl=1.0, clock=lambda: 0.0)
    fence = held.take(NODES, "R1", "rollout layout")
    assert isinstance(take(other, BOB), tuple)
    with mine.database.transaction() as rows:
        rows.change("UPDATE locks SET expires = expires - 2")
    assert take(other, BOB, ("mac-01",)).token > fence.token
    held.confirm(fence, "mac-02", afresh=True)
    with pytest.raises(MacfleetError) as refused:
        held.confirm(fence, "mac-01", afresh=True)
    assert refused.value.diagnostics[0].code == "E0591"
    held.close()
    assert [holder.who for holder in mine.locks.holders(NODES)] == ["bob@lab"]


def test_many_that_want_the_same_nodes_in_any_order_neither_share_nor_wait_for_each_other(url, states):
    assert states
    many = [f"mac-{number:03}" for number in range(40)]
    owners = [Owner(f"{n:016}", f"ops{n}", "h", n) for n in range(8)]
    views = [SqlState(url) for _ in owners]
    orders = [many if n % 2 else many[::-1] for n in range(8)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            found = list(pool.map(take, views, owners, orders))
            (winner,) = [n for n, each in enumerate(found) if isinstance(each, Fence)]
            views[winner].locks.release(found[winner], owners[winner])
    for each in views:
        each.close()


def test_a_server_that_is_not_there_is_said_without_the_password():
    with pytest.raises(MacfleetError) as refused:
        SqlState("postgresql://ops:s3cret@127.0.0.1:1/fleet")
    (problem,) = refused.value.diagnostics
    assert (problem.code, int(problem.exit_code)) == ("E0597", 1)
    assert "ops:***@127.0.0.1:1/fleet" in problem.summary
    assert "s3cret" not in f"{problem.summary}{problem.why}{problem.mend}"


def test_without_the_driver_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MacfleetError) as refused:
        SqlState("postgresql://ops@127.0.0.1:1/fleet")
    assert (refused.value.diagnostics[0].code, refused.value.diagnostics[0].mend) == (
        "E0596",
        "pip install 'macfleet[postgres]'",
    )


def test_leases_of_a_drain_are_held_by_one(states):
    mine, _ = states
    lease = mine.leases.take("node/mac-01", "ana", 15.0)
    assert mine.leases.take("node/mac-01", "bob", 15.0) is None
    mine.leases.release(lease)
    assert mine.leases.take("node/mac-01", "bob", 15.0).token > lease.token


def test_a_server_that_was_restarted_is_used_again_and_one_that_is_gone_is_said():
    if programs() is None:
        pytest.skip("no PostgreSQL server here: run scripts/packages.sh")
    with served() as server:
        state = SqlState(server.url)
        state.begin("r1", "rollout site", ["mac-01"], {})
        server.stop()
        with pytest.raises(MacfleetError) as gone:
            state.note("r1", "mac-01", "change.sent", {"address": "file./secret-address"})
        (problem,) = gone.value.diagnostics
        assert (problem.code, int(problem.exit_code)) == ("E0598", 1)
        assert "secret-address" not in f"{problem}{problem.why}"
        assert "--resume" in problem.mend
        server.start()
        state.settle("r1", "mac-01", "ok")
        assert state.unsettled("r1") == ()
        state.close()
