"""The loop that reads first keeps asyncio's promises: timers, other threads, ends of streams."""

import asyncio
import os
import selectors
import socket
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from macfleet.loadgen import loop as loops
from macfleet.loadgen.dial import connect
from macfleet.loadgen.loop import ReadFirst, ReadFirstLoop, Took, run
from macfleet.loadgen.measure import measure
from macfleet.loadgen.target import Target
from macfleet.model.load import FixtureBody, LoadSpec
from macfleet.testing.golden_engine import GoldenEngine, scheduled

epoll = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="epoll")


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    ours.close()
    theirs.close()


@epoll
def test_reads_that_wake_nobody_go_on_until_the_time_is_up(pair):
    ours, theirs = pair
    theirs.send(b"x")
    reads = []
    waiting = ReadFirst()
    waiting.register(ours, selectors.EVENT_READ)
    # Never emptied: readable whenever asked.
    waiting.read_first(ours, lambda: reads.append(ours) or Took.KNOWN)
    began = time.monotonic()
    assert waiting.select(0.02) == []
    assert time.monotonic() - began >= 0.02
    assert len(reads) > 1
    waiting.close()


@epoll
@pytest.mark.parametrize(("took", "told"), [(Took.BYTES, False), (Took.NOTHING, True)])
def test_after_any_other_read_the_loop_goes_on_and_is_told_of_what_it_must_read(pair, took, told):
    ours, theirs = pair
    theirs.send(b"x")
    waiting = ReadFirst()
    key = waiting.register(ours, selectors.EVENT_READ, "data")
    waiting.read_first(ours, lambda: took)
    assert waiting.select(None) == ([(key, selectors.EVENT_READ)] if told else [])
    waiting.close()


@epoll
def test_an_end_is_told_and_not_read(pair):
    ours, theirs = pair
    theirs.close()
    waiting = ReadFirst()
    key = waiting.register(ours, selectors.EVENT_READ)
    waiting.read_first(ours, lambda: pytest.fail("read"))
    assert waiting.select(60) == [(key, selectors.EVENT_READ)]
    waiting.close()


@epoll
def test_who_is_watched_for_what_changes_and_ends(pair):
    ours, _ = pair
    waiting = ReadFirst()
    waiting.register(ours, selectors.EVENT_READ)
    with pytest.raises(KeyError):
        waiting.register(ours, selectors.EVENT_READ)
    assert waiting.select(0) == []
    key = waiting.modify(ours, selectors.EVENT_READ | selectors.EVENT_WRITE, "both")
    assert waiting.select(60) == [(key, selectors.EVENT_WRITE)]
    assert waiting.get_key(ours.fileno()) == key
    assert waiting.unregister(ours) == key
    for gone in (waiting.unregister, lambda file: waiting.modify(file, selectors.EVENT_READ)):
        with pytest.raises(KeyError):
            gone(ours)
    assert waiting.select(0) == []
    waiting.close()


@epoll
def test_a_file_that_was_closed_before_is_watched_no_longer_without_a_word():
    waiting = ReadFirst()
    first, second = os.pipe()
    key = waiting.register(first, selectors.EVENT_READ)
    os.close(first)
    assert waiting.unregister(first) == key
    waiting.close()
    os.close(second)


@epoll
def test_a_number_that_is_given_again_is_not_read_by_its_former_owner():
    waiting = ReadFirst()
    first, second = os.pipe()
    waiting.read_first(first, lambda: pytest.fail("read"))
    key = waiting.register(first, selectors.EVENT_READ)
    os.write(second, b"x")
    assert waiting.select(60) == [(key, selectors.EVENT_READ)]
    waiting.close()
    os.close(first)
    os.close(second)


@epoll
def test_other_threads_and_timers_are_heard_while_reads_go_on(pair):
    ours, theirs = pair
    theirs.send(b"x")

    async def hear():
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ReadFirstLoop)
        loop.add_reader(ours, pytest.fail)
        loop.read_first(ours, lambda: Took.KNOWN)
        called = loop.create_future()
        threading.Thread(target=loop.call_soon_threadsafe, args=(called.set_result, "called")).start()
        await asyncio.sleep(0.01)
        return await called

    assert run(hear()) == "called"


def segment(url):
    body = {"stream": True, "messages": [{"role": "user", "content": "x"}]}
    fixtures = (FixtureBody("f", body),)
    return LoadSpec(
        url, "/v1/chat/completions", fixtures, "c×1", 0, "bare", 1, 60.0, max_requests=3, nonce_key="k"
    )


@pytest.mark.parametrize("quick", [True, False])
def test_where_there_is_no_epoll_asyncios_own_loop_reads_the_same(quick, monkeypatch):
    if not quick:
        monkeypatch.setattr(loops, "select", SimpleNamespace())
    samples = []
    with GoldenEngine(scheduled(tokens=20, gap_ms=1)) as engine:
        measure(segment(engine.url), samples.append)
    assert [(each.outcome, each.tokens, each.token_source) for each in samples] == [("ok", 20, "usage")] * 3


def test_a_name_is_looked_up_and_every_address_of_it_tried():
    samples = []
    with GoldenEngine(scheduled(tokens=2, gap_ms=1)) as engine:
        measure(segment(f"http://localhost:{engine.port}"), samples.append)
    assert [each.outcome for each in samples] == ["ok"] * 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_where_nobody_listens_at_any_address_the_connection_is_refused(host):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        target = Target.parse(f"http://{host}:{held.getsockname()[1]}")
        # Where the system has no IPv6, there is no such address at all.
        refused = OSError if host == "[::1]" else ConnectionRefusedError
        with pytest.raises(refused):
            asyncio.run(connect(target, 60))
