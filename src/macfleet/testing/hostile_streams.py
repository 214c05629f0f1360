"""Streams as real engines and broken ones send them, and what a client must read in each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from macfleet.testing.golden_engine import DONE, END, HEAD, chunk, delta, event, usage

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
ROLE = event(delta(role="assistant", content=""))
TEXT = event(delta(content="a"))
STOP = event(delta(finish="stop"))
USAGE = event(usage(3))


@dataclass(frozen=True, slots=True)
class HostileStream:
    """One stream and what must be read in it.

    Attributes:
        pieces: what is written one by one; `golden_engine.raw` says which words act.
        outcome: how the request ended; tokens: generated tokens; source: where the count comes from.
        generated: whether text was seen.
    """

    name: str
    pieces: Sequence[bytes | str]
    outcome: str
    tokens: int
    source: str
    generated: bool


def http(status: str, body: bytes, kind: str = "application/json") -> bytes:
    """Return a whole response that is no stream."""
    return f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def good(*events: bytes) -> list[bytes]:
    """Return a response of these events, each in a chunk of its own."""
    return [HEAD, *(chunk(one) for one in events), END]


WHOLE = json.dumps(
    {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": usage(2)["usage"]}
)
EURO = json.dumps(delta(content="€"), ensure_ascii=False).encode()
CUT = EURO.index("€".encode()) + 1
REASON = event(delta(reasoning_content="hm"))
TOOL = event(delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]))
NULL = event(delta(role="assistant", content=None))
MLX_USAGE = event(usage(3) | {"object": "chat.completion"})
OFTEN = [event({**delta(content="a"), "usage": usage(n)["usage"]}) for n in (1, 2, 3)]
LLAMA = event(delta(finish="length") | {"timings": {"cache_n": 7, "predicted_n": 1}})
COMPLETION = event({"choices": [{"text": "a", "finish_reason": None}]})
COMPLETION_END = event({"choices": [{"text": "", "finish_reason": "length"}]})

_Row = tuple[str, Sequence[bytes | str], str, int, str, bool]
_ROWS: Sequence[_Row] = [
    ("as promised", good(ROLE, TEXT, TEXT, TEXT, STOP, USAGE, DONE), "ok", 3, "usage", True),
    ("without usage", good(ROLE, TEXT, TEXT, STOP, DONE), "ok", 2, "events", True),
    ("role chunk with null content", good(NULL, TEXT, STOP, DONE), "ok", 1, "events", True),
    (
        "role in every delta",
        good(event(delta(role="assistant", content="a")), STOP, DONE),
        "ok",
        1,
        "events",
        True,
    ),
    (
        "comments between and before",
        good(b": keepalive 1/2\n\n", ROLE, b": x\n\n", TEXT, STOP, DONE),
        "ok",
        1,
        "events",
        True,
    ),
    ("comments inside an event", good(b": a\n" + TEXT, STOP, DONE), "ok", 1, "events", True),
    (
        "no space after data:",
        good(TEXT.replace(b"data: ", b"data:"), STOP, b"data:[DONE]\n\n"),
        "ok",
        1,
        "events",
        True,
    ),
    (
        "CRLF lines",
        good(*(one.replace(b"\n", b"\r\n") for one in (ROLE, TEXT, STOP, DONE))),
        "ok",
        1,
        "events",
        True,
    ),
    (
        "CRLF cut in the middle",
        [HEAD, chunk(TEXT[:-2] + b"\r"), chunk(b"\n\r"), chunk(b"\n" + STOP + DONE), END],
        "ok",
        1,
        "events",
        True,
    ),
    (
        "an event over three reads",
        [HEAD, chunk(TEXT[:9]), chunk(TEXT[9:20]), chunk(TEXT[20:] + STOP + DONE), END],
        "ok",
        1,
        "events",
        True,
    ),
    (
        "all events in one read",
        [HEAD + chunk(ROLE + TEXT + TEXT + STOP + DONE) + END],
        "ok",
        2,
        "events",
        True,
    ),
    (
        "a code point cut in two",
        [HEAD, chunk(b"data: " + EURO[:CUT]), chunk(EURO[CUT:] + b"\n\n" + STOP + DONE), END],
        "ok",
        1,
        "events",
        True,
    ),
    (
        "broken UTF-8 is text",
        good(b'data: {"choices":[{"delta":{"content":"\xff"}}]}\n\n', STOP, DONE),
        "ok",
        1,
        "events",
        True,
    ),
    (
        "an HTTP chunk cut in two",
        [HEAD + chunk(TEXT)[:7], chunk(TEXT)[7:], chunk(STOP + DONE) + END],
        "ok",
        1,
        "events",
        True,
    ),
    (
        "finish reason together with text",
        good(event(delta(content="a", finish="stop")), DONE),
        "ok",
        1,
        "events",
        True,
    ),
    ("usage typed as a whole completion", good(TEXT, STOP, MLX_USAGE, DONE), "ok", 3, "usage", True),
    ("usage in every chunk", good(*OFTEN, STOP, DONE), "ok", 3, "usage", True),
    (
        "several tokens in an event",
        good(event(delta(content="a b c")), STOP, USAGE, DONE),
        "ok",
        3,
        "usage",
        True,
    ),
    ("reasoning counts as generated", good(REASON, TEXT, STOP, DONE), "ok", 2, "events", True),
    ("a tool call counts as generated", good(ROLE, TOOL, STOP, DONE), "ok", 1, "events", True),
    ("text completions", good(COMPLETION, COMPLETION_END, DONE), "ok", 1, "events", True),
    ("empty data events", good(b"data:\n\n", TEXT, b"data: \n\n", STOP, DONE), "ok", 1, "events", True),
    ("a byte order mark", good(b"\xef\xbb\xbf" + TEXT, STOP, DONE), "ok", 1, "events", True),
    ("no [DONE] but finished", good(ROLE, TEXT, STOP), "ok", 1, "events", True),
    ("[DONE] without its empty line", good(TEXT, b"data: [DONE]"), "ok", 1, "events", True),
    ("a body that ends with the connection", [PLAIN + TEXT, STOP + DONE, "close"], "ok", 1, "events", True),
    (
        "closed after [DONE] without the last chunk",
        [HEAD, chunk(TEXT + STOP + DONE), "close"],
        "ok",
        1,
        "events",
        True,
    ),
    ("events after [DONE] are nothing", good(TEXT, STOP, DONE, TEXT, USAGE), "ok", 1, "events", True),
    (
        "no content type",
        [HEAD.replace(b"Content-Type: text/event-stream\r\n", b""), chunk(TEXT + STOP + DONE), END],
        "ok",
        1,
        "events",
        True,
    ),
    (
        "an error inside a 200",
        good(ROLE, event({"error": {"message": "out of memory"}})),
        "sse_error",
        0,
        "events",
        False,
    ),
    (
        "an error after text",
        good(TEXT, TEXT, event({"error": "overloaded"}), DONE),
        "sse_error",
        2,
        "events",
        True,
    ),
    (
        "an event named error",
        good(TEXT, b'event: error\ndata: {"code": 500}\n\n'),
        "sse_error",
        1,
        "events",
        True,
    ),
    (
        "an error as the whole body of a 200",
        [http("200 OK", b'{"error": {"message": "no"}}')],
        "sse_error",
        0,
        "events",
        False,
    ),
    ("an empty body", [http("200 OK", b"", "text/event-stream")], "empty_200", 0, "events", False),
    ("only a role", good(ROLE, STOP, DONE), "empty_200", 0, "events", False),
    ("only comments", good(b": a\n\n: b\n\n"), "empty_200", 0, "events", False),
    ("ends in order without being finished", good(ROLE, TEXT), "truncated", 1, "events", True),
    ("closed inside the body", [HEAD, chunk(ROLE + TEXT), "close"], "truncated", 1, "events", True),
    ("closed inside an event", [HEAD, chunk(TEXT + b'data: {"cho'), "close"], "truncated", 1, "events", True),
    ("connection ends unfinished", [PLAIN + TEXT, "close"], "truncated", 1, "events", True),
    ("reset in the middle", [HEAD, chunk(ROLE + TEXT), "reset"], "reset", 1, "events", True),
    ("closed without a word", ["close"], "reset", 0, "events", False),
    ("reset before an answer", ["reset"], "reset", 0, "events", False),
    ("silent", ["hang"], "stall_timeout", 0, "events", False),
    ("silent in the middle", [HEAD, chunk(ROLE + TEXT), "hang"], "stall_timeout", 1, "events", True),
    ("silent after the finish", [HEAD, chunk(TEXT + STOP), "hang"], "stall_timeout", 1, "events", True),
    ("not JSON in an event", good(b"data: {]\n\n", STOP, DONE), "bad_response", 0, "events", False),
    ("JSON that is not an object", good(b"data: 7\n\n", TEXT, STOP, DONE), "bad_response", 1, "events", True),
    ("not HTTP", [b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "close"], "bad_response", 0, "events", False),
    (
        "a whole document instead of a stream",
        [http("200 OK", WHOLE.encode())],
        "bad_response",
        2,
        "usage",
        True,
    ),
    ("429", [http("429 Too Many Requests", b'{"error": "slow down"}')], "http_429", 0, "events", False),
    (
        "500 as text",
        [http("500 Internal Server Error", b"boom", "text/plain")],
        "http_500",
        0,
        "events",
        False,
    ),
    (
        "503 that looks like a stream",
        [http("503 No", TEXT + DONE, "text/event-stream")],
        "http_503",
        0,
        "events",
        False,
    ),
]

HOSTILE_STREAMS = tuple(HostileStream(*row) for row in _ROWS)
