"""Events that are recognised mean what parsing says they mean, however the network cuts them."""

import asyncio
import gc
import itertools
import json
import socket
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macfleet.loadgen.answer import Answer
from macfleet.loadgen.exchange import Streamed, outcome_of
from macfleet.loadgen.loop import ReadFirst
from macfleet.loadgen.stencil import learnt
from macfleet.loadgen.wire import Connection
from macfleet.testing.golden_engine import DONE, END, HEAD, chunk, delta, event, usage
from macfleet.testing.hostile_streams import LLAMA

TEXT = event(delta(content="word"))
UNFRAMED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Idle(asyncio.Transport):
    """A transport whose reads are the test's."""

    def write(self, data):
        pass

    def is_closing(self):
        return False

    def abort(self):
        pass


def read(pieces, *, learns):
    """Answer, outcome and size of body when these bytes are read piece by piece; the server closes at last."""

    async def perform():
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(Idle())
        streamed = Streamed(streams=True, learns=learns)
        asking = asyncio.create_task(connection.perform(b"", streamed.exchange, stall_timeout=60))
        await asyncio.sleep(0)
        for piece in pieces:
            connection.get_buffer(-1)[: len(piece)] = piece
            connection.buffer_updated(len(piece))
        connection.connection_lost(None)
        await asking
        return streamed

    streamed = asyncio.run(perform())
    outcome = outcome_of(streamed)
    # Stamps are the clock's; what they are stamps of is compared.
    fields = {name: getattr(streamed.answer, name) for name in Answer.__slots__}
    stamps = ("first_event", "first_gen", "first_visible", "last_gen")
    order = [fields.pop(name) for name in stamps]
    kinds = [None if each is None else sorted(filter(None, order)).index(each) for each in order]
    return outcome, streamed.exchange.body_bytes, kinds, {**fields, "generations": len(fields["generations"])}


CHANGES = [
    ("another text", event(delta(content="und so weiter")), True),
    ("escapes", event(delta(content='a "quoted"\n\\ line \u2028 \U0001f642')), True),
    ("UTF-8 as it is", TEXT.replace(b"word", "größer".encode()), True),
    ("UTF-8 that is broken", TEXT.replace(b"word", b"\xff\xc3"), True),
    ("no text", event(delta(content="")), False),
    ("no string", event(delta(content=7)), False),
    ("a quote that ends the text", TEXT.replace(b"word", b'w", "x": "'), False),
    ("an escape that is none", TEXT.replace(b"word", b"\\x41"), False),
    ("a backslash at the end", TEXT.replace(b"word", b"w\\"), False),
    ("a half escape", TEXT.replace(b"word", b"\\u00"), False),
    ("a control character", TEXT.replace(b"word", b"\x01"), False),
    ("a line end", TEXT.replace(b"word", b"w\n"), False),
    ("a CR", TEXT.replace(b"word", b"w\r"), False),
    ("a finish reason", event(delta(finish="stop", content="word")), False),
    ("another event behind it", TEXT + TEXT, False),
    ("half of it", TEXT[:-1], False),
]


@pytest.mark.parametrize(("other", "fits"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_what_begins_and_ends_alike_with_text_between_fits_and_nothing_else(other, fits):
    stamps = []
    stencil = learnt(TEXT, stamps.append)
    assert stencil.body(other, len(other), 5) == (len(other) if fits else 0)
    framed = chunk(other)
    assert stencil.chunk(framed, len(framed), 6) == (len(other) if fits else 0)
    assert stamps == ([5, 6] if fits else [])


@pytest.mark.parametrize(
    "framed",
    [
        chunk(TEXT)[:-1],
        chunk(TEXT)[:-2] + b"\r\r",
        chunk(TEXT).replace(b"\r\n", b"\n", 1),
        b"0" + chunk(TEXT),
        b"fff\r\n" + TEXT + b"\r\n",
        chunk(TEXT) + b"0",
        chunk(TEXT) + END,
        TEXT,
    ],
)
def test_a_chunk_fits_only_when_it_is_whole_and_of_its_size(framed):
    stencil = learnt(TEXT, lambda _stamp: None)
    assert stencil.chunk(framed, len(framed), 1) == 0
    # Behind what was read stand the bytes of an earlier read.
    assert stencil.chunk(bytearray(framed + b"\r\n" * 40), len(framed), 1) == 0


def test_sizes_of_every_number_of_digits_are_recognised():
    stencil = learnt(TEXT, lambda _stamp: None)
    for size in (1, 100, 200, 300, 4000, 4200, 60000):
        body = event(delta(content="x" * size))
        assert stencil.chunk(chunk(body), len(chunk(body)), 1) == len(body)


NOT_LEARNT = [
    ("a role", event(delta(role="assistant", content=""))),
    ("an end", event(delta(finish="stop", content="x"))),
    ("counts", event({**delta(content="x"), "usage": usage(1)["usage"]})),
    ("what the cache gave", LLAMA),
    ("an error", event({**delta(content="x"), "error": {"message": "no"}})),
    ("two choices", event({"choices": delta(content="x")["choices"] * 2})),
    ("two events", TEXT + TEXT),
    ("half an event", TEXT[:-1]),
    ("a name of errors", b"event: error\n" + TEXT),
    ("the text beside the choices", event({"content": "x", **delta(role="assistant")})),
    ("a text that another one of the same name hides", TEXT.replace(b'"word"', b'"word", "content": ""')),
    ("no JSON", TEXT.replace(b"{", b"[")),
    ("the end", DONE),
    ("nothing", b"\n\n"),
]


@pytest.mark.parametrize("said", [row[1] for row in NOT_LEARNT], ids=[row[0] for row in NOT_LEARNT])
def test_nothing_is_learnt_from_an_event_that_means_more_than_text_or_less(said):
    assert learnt(said, lambda _stamp: None) is None


@pytest.mark.parametrize(
    "said",
    [
        TEXT,
        TEXT.replace(b"\n", b"\r\n"),
        b": comment\nid: 7\n" + TEXT,
        event(delta(reasoning_content="x")),
        event(delta(role="assistant", content="x")),
        event({"choices": [{"index": 0, "text": "x", "finish_reason": None}]}),
        event({**delta(content="assistant"), "usage": None}),
    ],
)
def test_the_shapes_of_engines_are_learnt(said):
    assert learnt(said, lambda _stamp: None) is not None


texts = st.text(max_size=8) | st.sampled_from(['"', "\\", "\n", "a", "content", '"content": "x"'])
events = st.one_of(
    st.builds(lambda text: event(delta(content=text)), texts),
    st.builds(lambda text: event(delta(content=text)).replace(b"\n", b"\r\n"), texts),
    st.builds(
        lambda text: b"data: " + json.dumps(delta(content=text), ensure_ascii=False).encode() + b"\n\n",
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    ),
    st.builds(lambda text: event(delta(reasoning_content=text)), texts),
    st.builds(lambda text, other: event(delta(content=text, reasoning=other)), texts, texts),
    st.builds(lambda text: event({"choices": [{"text": text, "finish_reason": None}]}), texts),
    st.builds(lambda text: event(delta(finish="stop", content=text)), texts),
    st.builds(
        lambda raw: b'data: {"choices":[{"delta":{"content":"' + raw + b'"}}]}\n\n', st.binary(max_size=4)
    ),
    st.sampled_from(
        [TEXT, TEXT, TEXT, TEXT[:-1], b": ping\n\n", event(usage(3)), LLAMA, DONE, b"event: error\n"]
    ),
)
# Mostly in runs, as engines send them: an event is recognised only behind one like it.
streams = st.lists(st.lists(events, min_size=1, max_size=3).map(lambda run: run * 3), max_size=4).map(
    lambda runs: [each for run in runs for each in run]
)


def cut(whole, marks):
    edges = [0, *sorted(min(mark, len(whole)) for mark in marks), len(whole)]
    return [whole[low:high] for low, high in itertools.pairwise(edges) if low < high]


@settings(deadline=None)
@given(
    stream=streams,
    framed=st.booleans(),
    marks=st.lists(st.integers(0, 4000), max_size=6),
    ends=st.booleans(),
)
def test_what_is_recognised_is_what_parsing_reads(stream, framed, marks, ends):
    pieces = [HEAD if framed else UNFRAMED, *(chunk(each) if framed else each for each in stream)]
    if framed and ends:
        pieces.append(END)
    # As the engine wrote it, one read an event; then with reads that end anywhere besides.
    offsets, size = [], 0
    for piece in pieces:
        size += len(piece)
        offsets.append(size)
    for edges in (offsets, [*offsets[::2], *marks], marks):
        reads = cut(b"".join(pieces), edges)
        assert read(reads, learns=True) == read(reads, learns=False)


def test_what_comes_behind_the_last_chunk_is_no_text_of_the_answer():
    reads = [HEAD, chunk(TEXT), chunk(TEXT), END, chunk(TEXT), chunk(TEXT)]
    recognised = read(reads, learns=True)
    assert recognised == read(reads, learns=False)
    assert recognised[-1]["generations"] == 2


def calls_of(stream, count):
    """Calls of functions, Python's and C's, while `count` events are read one by one from a socket."""

    async def perform():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        connection = Connection(asyncio.get_running_loop())
        connection.connection_made(Idle())
        streamed = Streamed(streams=True, learns=True)
        asking = asyncio.create_task(connection.perform(b"", streamed.exchange, stall_timeout=60))
        await asyncio.sleep(0)
        waiting = ReadFirst()
        waiting.register(ours, 1)
        waiting.read_first(ours, connection.reader(ours))
        for piece in (HEAD, stream(0), stream(0)):
            theirs.send(piece)
            waiting.select(0)
        calls = [0]

        def note(_frame, what, _argument):
            calls[0] += what in ("call", "c_call")

        for number in range(count):
            theirs.send(stream(number))
            sys.setprofile(note)
            waiting.select(0)
            sys.setprofile(None)
        waiting.close()
        asking.cancel()
        ours.close()
        theirs.close()
        return len(streamed.answer.generations), calls[0]

    collecting = gc.isenabled()
    gc.disable()
    try:
        return asyncio.run(perform())
    finally:
        if collecting:
            gc.enable()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="epoll")
def test_an_event_costs_few_calls():
    seen, calls = calls_of(lambda number: chunk(event(delta(content=f"t{number} "))), 200)
    assert seen == 202
    # Of these, two each are for the socket, the clock and the wait; parsing took 58 in all.
    assert calls / 200 <= 26
