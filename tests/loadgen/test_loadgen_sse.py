import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macfleet.loadgen import sse
from macfleet.loadgen.sse import EventTooLarge, SseParser


def parse(*pieces: bytes):
    parser = SseParser()
    return [found for piece in pieces for found in parser.feed(piece)]


TABLE = [
    ("one event", b"data: a\n\n", [(b"", b"a")]),
    ("no space after the colon", b"data:a\n\n", [(b"", b"a")]),
    ("only one space is dropped", b"data:  a\n\n", [(b"", b" a")]),
    ("CRLF", b"data: a\r\n\r\n", [(b"", b"a")]),
    ("CR alone", b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
    ("mixed line ends", b"data: a\r\n\ndata: b\n\r\n", [(b"", b"a"), (b"", b"b")]),
    ("comments are nothing", b": keepalive 507/508\n\n:\ndata: a\n: x\n\n", [(b"", b"a")]),
    ("several data lines are one event", b"data: a\ndata: b\n\n", [(b"", b"a\nb")]),
    ("a name", b"event: error\ndata: a\n\ndata: b\n\n", [(b"error", b"a"), (b"", b"b")]),
    ("a name without data is dropped", b"event: x\n\ndata: b\n\n", [(b"", b"b")]),
    ("unknown fields are ignored", b"id: 3\nretry: 9\nfoo\ndata: a\n\n", [(b"", b"a")]),
    ("a field without a colon", b"data\n\n", [(b"", b"")]),
    ("a byte order mark", b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
    ("an unfinished event is discarded", b"data: a\n\ndata: b\n", [(b"", b"a")]),
    (
        "U+2028 and U+0085 are no line ends",
        "data: a\u2028b\u0085c\n\n".encode(),
        [(b"", "a\u2028b\u0085c".encode())],
    ),
]


@pytest.mark.parametrize(("stream", "events"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_stream_has_the_events_the_format_says_also_byte_by_byte(stream, events):
    assert parse(stream) == events
    assert parse(*(stream[at : at + 1] for at in range(len(stream)))) == events


lines = st.lists(
    st.tuples(
        st.sampled_from([b"data: ", b"data:", b": ", b"event: ", b"", b"id: ", b"\xef\xbb\xbfdata: "]),
        st.text(st.characters(exclude_characters="\r\n"), max_size=12).map(
            lambda text: text.encode("utf-8", "ignore")
        ),
        st.sampled_from([b"\n", b"\r\n", b"\r"]),
        st.sampled_from([b"", b"", b"\n", b"\r\n", b"\r"]),
    ),
    max_size=12,
).map(lambda rows: b"".join(b"".join(row) for row in rows))


@settings(deadline=None)
@given(stream=lines | st.binary(max_size=80), cuts=st.lists(st.integers(0, 300), max_size=12))
def test_where_the_network_cuts_a_stream_changes_nothing(stream, cuts):
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[low:high] for low, high in itertools.pairwise(edges)]
    assert parse(*pieces) == parse(stream)


@settings(deadline=None)
@given(payloads=st.lists(st.text(st.characters(exclude_characters="\r\n")), max_size=8))
def test_what_was_sent_as_events_is_what_arrives(payloads):
    sent = [text.encode("utf-8", "surrogatepass") for text in payloads]
    stream = b"".join(b"data: " + data + b"\n\n" for data in sent)
    assert [data for _, data in parse(stream)] == sent


def test_the_remainder_shows_the_event_a_stream_ended_in():
    parser = SseParser()
    parser.feed(b"data: a\n\ndata: [DO")
    parser.feed(b"NE]")
    assert parser.remainder() == b"[DONE]"


def test_an_event_without_end_is_refused_instead_of_kept(monkeypatch):
    monkeypatch.setattr(sse, "MAX_EVENT_BYTES", 64)
    with pytest.raises(EventTooLarge):
        parse(b"data: " + b"x" * 40, b"x" * 40)
    with pytest.raises(EventTooLarge):
        parse(*(b"data: xxxxxxxxxx\n" for _ in range(10)))
