"""HTTP/1.1 on a socket: one connection, one exchange at a time, every byte stamped as it is read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

import httptools

Consume = Callable[[bytes, int], None]


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, from a base URL such as ``http://127.0.0.1:8080``."""

    host: str
    port: int
    tls: bool
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Target:
        """Split a base URL (raises ValueError when it is not http or https with a host)."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url!r} is not an http:// or https:// address with a host")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        keep_alive: bool = True,
    ) -> bytes:
        """Return the bytes of one request.

        Raises:
            ValueError: a path or header would break out of its line.
        """
        fields = {"Host": self.authority, "Accept": "text/event-stream, application/json"}
        fields["Connection"] = "keep-alive" if keep_alive else "close"
        if body is not None:
            fields |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        fields |= headers or {}
        lines = [f"{method} {self.prefix}{path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        if any("\r" in line or "\n" in line for line in lines) or " " in path:
            raise ValueError("a path or header holds a line break or a space")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Ending(StrEnum):
    """How an exchange ended on the wire; what it means is judged elsewhere."""

    COMPLETE = "complete"
    CUT = "cut"
    RESET = "reset"
    STALLED = "stalled"
    BROKEN = "broken"


@dataclass(slots=True)
class Exchange:
    """One request and what came back; filled while it happens.

    Attributes:
        sent, headers, closed: monotonic nanoseconds; None until reached.
        body_bytes: size of the body read so far.
        ending: None while the exchange runs; `detail` says more where it is not COMPLETE.
    """

    consume: Consume
    ending: Ending | None = None
    status: int = 0
    content_type: str = ""
    sent: int | None = None
    headers: int | None = None
    closed: int | None = None
    last_read: int = 0
    body_bytes: int = 0
    detail: str = ""


# Reading into a buffer of one's own halves asyncio's cost of an event: its plain protocols allocate
# 256 KiB for every read and shrink it again.
READ_BUFFER = 2**16


class Connection(asyncio.BufferedProtocol):
    """One connection; `served` counts the exchanges that completed on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.served = 0
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._ended: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = loop.create_future()
        self._watch: asyncio.TimerHandle | None = None
        self._buffer = memoryview(bytearray(READ_BUFFER))
        self._stall = 0.0
        self._stamp = 0
        self._sized = False
        self._reusable = True

    async def perform(self, request: bytes, exchange: Exchange, *, stall_timeout: float) -> None:
        """Send one request and wait until its exchange has ended; nothing is ever sent twice.

        Cancelling leaves the exchange as far as it came; abort the connection then.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            exchange.ending, exchange.detail = Ending.RESET, "the connection was already closed"
            exchange.closed = time.monotonic_ns()
            return
        self._exchange, self._ended = exchange, self._loop.create_future()
        self._stall, self._sized = stall_timeout, False
        exchange.sent = exchange.last_read = time.monotonic_ns()
        transport.write(request)
        self._watch = self._loop.call_later(stall_timeout, self._look)
        try:
            await self._ended
        finally:
            self._watch.cancel()
            self._exchange = self._ended = None

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on this connection."""
        return self._reusable and self._transport is not None and not self._transport.is_closing()

    async def stays_open(self, seconds: float) -> bool:
        """Wait to see whether the server keeps the idle connection for `seconds`."""
        if self.reusable:
            await asyncio.wait([self._lost], timeout=seconds)
        return self.reusable

    def close(self) -> None:
        """Close the connection in order; safe to call twice."""
        self._reusable = False
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection at once; safe to call twice."""
        self._reusable = False
        if self._transport is not None:
            self._transport.abort()

    # asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport asyncio made."""
        self._transport = transport  # type: ignore[assignment]  # a stream transport for TCP

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  (asyncio's signature)
        """Say where the next bytes go; they are parsed before the next read."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Stamp the clock, then parse: parsing must not count into a latency."""
        self._stamp = stamp = time.monotonic_ns()
        if self._exchange is None or self._parser is None:
            # Bytes nobody asked for: what follows on this connection cannot be trusted.
            self.abort()
            return
        self._exchange.last_read = stamp
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._end(Ending.BROKEN, str(error.__cause__ or error.__context__ or error))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Judge what the end of the connection means for the exchange that was running."""
        self._stamp = time.monotonic_ns()
        exchange = self._exchange
        if exchange is not None:
            if exc is not None:
                self._end(Ending.RESET, str(exc))
            elif exchange.headers is None:
                self._end(Ending.RESET, "closed before an answer")
            else:
                # A body without a declared length ends with its connection.
                self._end(Ending.CUT if self._sized else Ending.COMPLETE, "closed inside the body")
        self._reusable = False
        if not self._lost.done():
            self._lost.set_result(None)
        self._transport = None
        self._parser = None  # the parser refers back to this object: break the cycle

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the headers that decide how the body is read."""
        lowered = name.lower()
        if lowered == b"content-type" and self._exchange is not None:
            self._exchange.content_type = value.decode("latin-1").partition(";")[0].strip().lower()
        elif lowered in {b"content-length", b"transfer-encoding"}:
            self._sized = True

    def on_headers_complete(self) -> None:
        """Stamp the response head."""
        if self._exchange is not None and self._parser is not None:
            self._exchange.headers = self._stamp
            self._exchange.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Hand body bytes on with the stamp of their read."""
        exchange = self._exchange
        if exchange is not None and exchange.ending is None:
            exchange.body_bytes += len(body)
            exchange.consume(body, self._stamp)

    def on_message_complete(self) -> None:
        """End the exchange; the connection stays when the server keeps it."""
        if self._exchange is not None and 100 <= self._exchange.status < 200:
            return
        self._reusable = self._reusable and self._parser is not None and self._parser.should_keep_alive()
        self.served += 1
        self._end(Ending.COMPLETE, "")

    def _look(self) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        idle = (time.monotonic_ns() - exchange.last_read) / 1e9
        if idle < self._stall:
            self._watch = self._loop.call_later(self._stall - idle, self._look)
            return
        self._stamp = time.monotonic_ns()
        self._end(Ending.STALLED, f"no byte for {self._stall:g} s")
        self.abort()

    def _end(self, ending: Ending, detail: str) -> None:
        exchange = self._exchange
        if exchange is None or exchange.ending is not None:
            return
        exchange.ending, exchange.closed = ending, self._stamp
        exchange.detail = "" if ending is Ending.COMPLETE else detail
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)


async def connect(target: Target, patience: float) -> Connection:
    """Open a connection within `patience` seconds.

    Raises:
        ConnectionRefusedError: nobody listens there.
        TimeoutError: the time was up.
        OSError: any other reason of the system's.
    """
    loop = asyncio.get_running_loop()
    opening = loop.create_connection(
        lambda: Connection(loop), target.host, target.port, ssl=True if target.tls else None
    )
    _, connection = await asyncio.wait_for(opening, patience)
    return connection
