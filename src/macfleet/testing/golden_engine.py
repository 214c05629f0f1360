"""An engine whose truth is known: absolute schedules, its own stamps, and every way a stream can go wrong."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from macfleet.model.json import Json

STAMPS = "/stamps"
"""Where an engine that runs by itself tells what it sent when, a line a request."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
_MODELS = b'{"object": "list", "data": [{"id": "golden", "object": "model", "owned_by": "macfleet"}]}'
"""Answer to every other GET: clients ask for the models, or for health, before they begin."""


@dataclass(slots=True)
class Request:
    """One request the engine read, and when it sent which text; times are monotonic nanoseconds."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int
    received: int
    sent: list[int] = field(default_factory=list)


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


class GoldenEngine:
    """Serves on a thread of its own; `requests` and `most_in_flight` are what it saw.

    It listens on the loopback at a free port, unless told where.
    """

    def __init__(self, answer: Answer, host: str = "127.0.0.1", port: int = 0) -> None:
        self._answer = answer
        self._address = host, port
        self.requests: list[Request] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._connections = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10):
            raise TimeoutError("the golden engine did not begin to serve within 10 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Stop serving and reset every connection, as a killed engine does."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()
        server = await asyncio.start_server(self._connection, *self._address)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._writers):
            reset(writer)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        number = self._connections
        self._writers.add(writer)
        try:
            while (request := await read_request(reader, number)) is not None:
                self.requests.append(request)
                self._in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self._in_flight)
                try:
                    await self._answer(request, writer)
                    if not writer.is_closing():
                        await writer.drain()
                finally:
                    self._in_flight -= 1
                if request.headers.get("connection") == "close" or writer.is_closing():
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    """Read one request; None when the client sends no more."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(lines[0], headers, body, connection, time.monotonic_ns())


def reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the peer sees a reset."""
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def chunk(body: bytes) -> bytes:
    """One HTTP chunk."""
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


def event(document: Mapping[str, Json]) -> bytes:
    """One event."""
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def delta(finish: str | None = None, **fields: Json) -> dict[str, Json]:
    """One chunk of a chat completion."""
    choice: dict[str, Json] = {"index": 0, "delta": fields, "finish_reason": finish}
    return {"object": "chat.completion.chunk", "choices": [choice]}


def usage(tokens: int, cached: int | None = None) -> dict[str, Json]:
    """The usage chunk."""
    counts: dict[str, Json] = {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": 9 + tokens}
    if cached is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": cached}
    return {"object": "chat.completion.chunk", "choices": [], "usage": counts}


def scheduled(
    tokens: int = 8, first_ms: float = 20.0, gap_ms: float = 5.0, usage_late_ms: float = 0.0
) -> Answer:
    """Text i leaves at first + i × gap after the request, whatever happened before: no drift."""

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        async def at(ms: float) -> None:
            delay = (request.received + ms * 1e6 - time.monotonic_ns()) / 1e9
            if delay > 0:
                await asyncio.sleep(delay)

        writer.write(HEAD + chunk(event(delta(role="assistant", content=""))))
        for number in range(tokens):
            await at(first_ms + number * gap_ms)
            if writer.is_closing():
                return  # the client went away; what would be written now, nobody reads
            request.sent.append(time.monotonic_ns())
            writer.write(chunk(event(delta(content=f"t{number} "))))
        await at(first_ms + (tokens - 1) * gap_ms + usage_late_ms)
        writer.write(chunk(event(delta(finish="stop"))) + chunk(event(usage(tokens, 0))) + chunk(DONE) + END)

    return answer


def raw(*pieces: bytes | str, pause: float = 0.0) -> Answer:
    """Write pieces with a drain between; the words "reset", "close", "hang" act."""

    async def answer(_request: Request, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            if piece == "reset":
                await writer.drain()
                await asyncio.sleep(0.02)  # what was written must be read first, or the reset eats it
                reset(writer)
            elif piece == "close":
                await writer.drain()
                writer.close()
            elif piece == "hang":
                await asyncio.sleep(3600)
            elif isinstance(piece, bytes):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause)

    return answer


def main(arguments: list[str] | None = None) -> None:
    """Serve in a process of its own until standard input ends: ``python -m macfleet.testing.golden_engine``.

    The first line on standard output is the address. ``GET /stamps`` answers with what was sent when,
    any other GET with the list of models.
    """
    parser = argparse.ArgumentParser(prog="golden_engine")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--first-ms", type=float, default=200.0)
    parser.add_argument("--gap-ms", type=float, default=20.0)
    given = parser.parse_args(arguments)
    streamed = scheduled(given.tokens, given.first_ms, given.gap_ms)

    async def answer(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.line.startswith(f"GET {STAMPS} "):
            text = "".join(stamp(each) for each in engine.requests if each.body).encode()
            writer.write(whole(text))
        elif request.line.startswith("GET "):
            writer.write(whole(_MODELS))
        else:
            await streamed(request, writer)

    with GoldenEngine(answer) as engine:
        print(engine.url, flush=True)
        sys.stdin.buffer.read()


def whole(body: bytes) -> bytes:
    """One answer that is no stream."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def stamp(request: Request) -> str:
    """Return the line that ``/stamps`` holds of one request."""
    body = hashlib.sha256(request.body).hexdigest()
    return json.dumps({"body": body, "received": request.received, "sent": request.sent}) + "\n"


if __name__ == "__main__":
    main()
