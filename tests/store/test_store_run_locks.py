"""The fleet lock in the store: all nodes or none, fenced by a growing token, renewed, lost, given back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.rollout.run_lock import Fence
from macfleet.store.run_locks import StoreLocks, machine, this_process
from macfleet.store.sql_locks import Owner
from macfleet.store.sql_state import SqlState
from macfleet.testing import FakeClock

NODES = ("mac-01", "mac-02")
ANA = Owner("a" * 16, "ana@desk", machine(), os.getpid())
BOB = Owner("b" * 16, "bob@lab", "elsewhere", 7)
# A thread that renews at its own pace would meet a clock that the test moves.
STILL = 400.0


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/state.db"


@pytest.fixture
def state(url, clock):
    with closing(SqlState(url, clock.now)) as opened:
        yield opened


@pytest.fixture
def locks(state, clock):
    made = []

    def make(who, host=""):
        owner = this_process(who)
        made.append(
            StoreLocks(state.locks, replace(owner, host=host or owner.host), ttl=STILL, clock=clock.now)
        )
        return made[-1]

    yield make
    for one in made:
        one.close()


def take(state, owner, nodes=NODES, run="run-1", ttl=60.0, dead=()):
    return state.locks.take(nodes, owner, run, "rollout layout", ttl, dead)


def test_nodes_are_taken_all_or_none_and_the_holder_is_named(state, clock):
    mine = take(state, ANA, ("mac-02", "mac-03"))
    assert isinstance(mine, Fence)
    clock.sleep(5)
    (other,) = take(state, BOB, ("mac-01", "mac-02", "mac-03", "mac-04"))
    assert (other.nodes, other.who, other.pid, other.run) == (
        ("mac-02", "mac-03"),
        "ana@desk",
        os.getpid(),
        "run-1",
    )
    assert (other.command, other.left, clock.now() - other.since) == ("rollout layout", 55.0, 5.0)
    assert isinstance(take(state, BOB, ("mac-01", "mac-04")), Fence)


def test_every_holder_is_named_that_stands_in_the_way(state):
    take(state, ANA, ("mac-01",), run="run-1")
    take(state, BOB, ("mac-02",), run="run-2")
    third = Owner("c" * 16, "eve", "there", 9)
    assert [other.run for other in take(state, third, ("mac-01", "mac-02", "mac-03"))] == ["run-1", "run-2"]
    assert isinstance(take(state, third, ("mac-03",)), Fence)


def test_tokens_grow_whoever_comes_next_and_whatever_the_clock_says(state, clock):
    fences = []
    for owner in (ANA, BOB, ANA, BOB):
        fences.append(take(state, owner))
        state.locks.release(fences[-1], owner)
        clock.time -= 100
    assert all(one.token < next_.token for one, next_ in pairwise(fences))
    assert {fence.store for fence in fences} == {state.locks.identity}


def test_a_store_keeps_its_identity_and_no_two_have_the_same(state, url, tmp_path, clock):
    with (
        closing(SqlState(url, clock.now)) as again,
        closing(SqlState(f"sqlite:///{tmp_path}/b.db")) as other,
    ):
        assert again.locks.identity == state.locks.identity != other.locks.identity


def test_a_copy_of_a_store_is_another_one_and_a_moved_store_is_not(state, url, tmp_path, clock):
    state.locks.take(NODES, ANA, "r1", "apply", 60.0, ())
    first = state.locks.identity
    state.close()
    file = Path(url.removeprefix("sqlite:///"))
    copied = file.with_name("copied.db")
    copied.write_bytes(file.read_bytes())
    with closing(SqlState(f"sqlite:///{copied}", clock.now)) as copy:
        other = copy.locks.identity
        assert other != first
        assert copy.locks.take(NODES, ANA, "r2", "apply", 60.0, ()).store == other
    moved = file.rename(tmp_path / "moved.db")
    with closing(SqlState(f"sqlite:///{moved}", clock.now)) as again:
        assert again.locks.identity == first
    with closing(SqlState(f"sqlite:///{copied}", clock.now)) as again:
        assert again.locks.identity == other


def test_a_lock_lapses_unless_it_is_renewed(state, clock):
    mine = take(state, ANA)
    clock.sleep(50)
    assert state.locks.renew(mine, ANA, 60.0) == frozenset(NODES)
    clock.sleep(50)
    assert not isinstance(take(state, BOB), Fence)
    clock.sleep(10)
    assert isinstance(take(state, BOB, ("mac-01",)), Fence)
    # What nobody else wanted meanwhile is still held.
    assert state.locks.renew(mine, ANA, 60.0) == {"mac-02"}


def test_giving_back_leaves_alone_what_another_took_over(state, clock):
    mine = take(state, ANA)
    clock.sleep(60)
    other = take(state, BOB, ("mac-01",))
    state.locks.release(mine, ANA)
    assert [holder.nodes for holder in state.locks.holders(NODES)] == [("mac-01",)]
    state.locks.release(other, BOB)
    assert state.locks.holders(NODES) == ()


def test_of_many_controllers_one_gets_the_nodes(url):
    owners = [Owner(f"{n:016}", f"ops{n}", "h", n) for n in range(8)]
    states = [SqlState(url) for _ in owners]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(take, states, owners))
    for each in states:
        each.close()
    assert sum(isinstance(each, Fence) for each in found) == 1


def test_of_controllers_that_open_a_new_store_at_once_none_fails(tmp_path):
    for number in range(3):
        gate = Barrier(8)

        def opened(_, url=f"sqlite:///{tmp_path}/{number}.db", gate=gate):
            gate.wait()
            with closing(SqlState(url)) as state:
                return state.locks.identity

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(opened, range(8)))) == 1


def test_a_controller_of_this_machine_that_ended_blocks_nobody(state, locks):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1, check=True)
    take(state, replace(ANA, pid=int(gone.stdout)))
    assert isinstance(locks("bob").take(NODES, "run-2", "rollout layout"), Fence)


def test_a_controller_of_another_machine_with_that_process_id_may_be_alive(state, locks):
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1, check=True)
    take(state, replace(ANA, pid=int(gone.stdout), host="elsewhere"))
    assert not isinstance(locks("bob").take(NODES, "run-2", "rollout layout"), Fence)


def test_a_command_takes_its_nodes_again_for_each_run_and_gives_them_back_once(state, locks):
    mine = locks("ana")
    fence = mine.take(NODES, "", "rollout all")
    assert mine.take(("mac-01",), "run-1", "rollout images") == fence
    assert [holder.run for holder in state.locks.holders(NODES)] == ["run-1"]
    mine.release(fence)
    mine.confirm(fence, "mac-02")
    assert not isinstance(locks("bob").take(("mac-02",), "run-2", "rollout images"), Fence)
    mine.release(fence)
    assert state.locks.holders(NODES) == ()
    assert isinstance(locks("bob").take(NODES, "run-2", "rollout images"), Fence)


def test_a_broken_lock_stops_its_holder_at_that_node_alone(state, locks, clock):
    mine = locks("ana")
    fence = mine.take(NODES, "run-1", "rollout layout")
    state.locks.clear(("mac-01",))
    mine.confirm(fence, "mac-01")
    with pytest.raises(MacfleetError):
        mine.confirm(fence, "mac-01", afresh=True)
    clock.sleep(STILL / 2)
    mine.confirm(fence, "mac-02")
    with pytest.raises(MacfleetError) as refused:
        mine.confirm(fence, "mac-01")
    (problem,) = refused.value.diagnostics
    assert (problem.code, int(problem.exit_code), problem.node) == ("E0591", 6, "mac-01")
    with pytest.raises(MacfleetError):
        mine.take(("mac-01",), "run-1b", "rollout layout")


def test_a_controller_that_slept_past_its_time_finds_out_before_it_goes_on(state, locks, clock):
    mine = locks("ana", host="elsewhere")
    fence = mine.take(NODES, "run-1", "rollout layout")
    clock.sleep(STILL + 1)
    later = locks("bob").take(NODES, "run-2", "rollout layout")
    assert later.token > fence.token
    with pytest.raises(MacfleetError) as refused:
        mine.confirm(fence, "mac-02")
    assert refused.value.diagnostics[0].code == "E0591"
    mine.release(fence)
    assert [holder.run for holder in state.locks.holders(NODES)] == ["run-2"]


def test_a_controller_that_slept_and_was_not_missed_goes_on(locks, clock):
    mine = locks("ana")
    fence = mine.take(NODES, "run-1", "rollout layout")
    clock.sleep(STILL * 3)
    mine.confirm(fence, "mac-01")


def test_a_store_that_gives_no_answer_for_that_long_takes_the_nodes_away(state, locks, clock, tmp_path):
    mine = locks("ana")
    fence = mine.take(NODES, "run-1", "rollout layout")
    state.close()
    (tmp_path / "state.db").rename(tmp_path / "gone.db")
    (tmp_path / "state.db").mkdir()
    clock.sleep(STILL - 1)
    mine.confirm(fence, "mac-01")
    clock.sleep(2)
    with pytest.raises(MacfleetError) as refused:
        mine.confirm(fence, "mac-01")
    assert "gave no answer" in refused.value.diagnostics[0].why


def test_a_thread_renews_what_is_held_and_ends_with_it(url):
    with closing(SqlState(url)) as opened:
        mine = StoreLocks(opened.locks, this_process("ana"), ttl=0.2)
        fence = mine.take(NODES, "run-1", "rollout layout")
        first = opened.locks.holders(NODES)[0]
        seen = set()
        until = time.monotonic() + 60
        while len(seen) < 4:
            assert time.monotonic() < until, "it was not renewed"
            (holder,) = opened.locks.holders(NODES)
            assert (holder.token, holder.since) == (first.token, first.since)
            seen.add(opened.database.read("SELECT max(expires) FROM locks")[0])
        mine.release(fence)
        assert opened.locks.holders(NODES) == ()
