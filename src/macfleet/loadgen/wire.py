"""HTTP/1.1 on a socket: one connection, one exchange at a time, every byte stamped as it is read."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import httptools

from macfleet.loadgen.loop import Read, Took
from macfleet.loadgen.stencil import Stencil

Consume = Callable[[bytes, int], None]


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
        stencil: recognises a piece of body whose meaning is known, which then is not consumed; None where
            the next piece must be.
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
    stencil: Stencil | None = None


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
        self._read = bytearray(READ_BUFFER)
        self._buffer = memoryview(self._read)
        self._failure: OSError | None = None
        self._stall = 0.0
        self._stamp = 0
        self._sized = self._chunked = False
        self._between = self._completed = False
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
        self._stall = stall_timeout
        self._sized = self._chunked = self._between = False
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
        """Take bytes that asyncio read."""
        self._take(nbytes)

    def connection_lost(self, exc: Exception | None) -> None:
        """Judge what the end of the connection means for the exchange that was running."""
        self._stamp = time.monotonic_ns()
        exchange, broken = self._exchange, exc or self._failure
        if exchange is not None:
            if broken is not None:
                self._end(Ending.RESET, str(broken))
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

    # Reading, by asyncio's transport or by a loop that lets the connection itself

    def reader(self, opened: socket.socket) -> Read:
        """Return what reads the connection's socket once and takes what is there."""
        receive, buffer = opened.recv_into, self._buffer

        def read() -> Took:
            try:
                size = receive(buffer)
            except (BlockingIOError, InterruptedError):
                return Took.BYTES
            except OSError as error:
                self._failure = error
                self.abort()
                return Took.BYTES
            if not size:
                return Took.NOTHING
            return Took.KNOWN if self._take(size) else Took.BYTES

        return read

    def _take(self, nbytes: int) -> bool:
        """Stamp the clock, then parse: parsing must not count into a latency.

        Returns whether the bytes were an event like one that was understood, so that nothing has ended.
        """
        self._stamp = stamp = time.monotonic_ns()
        exchange = self._exchange
        if exchange is None or self._parser is None:
            # Bytes nobody asked for: what follows on this connection cannot be trusted.
            self.abort()
            return False
        exchange.last_read = stamp
        stencil = exchange.stencil
        if stencil is not None and self._between:
            known = (stencil.chunk if self._chunked else stencil.body)(self._read, nbytes, stamp)
            if known:
                # Whole chunks leave the parser where it was: between two of them.
                exchange.body_bytes += known
                return True
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._end(Ending.BROKEN, str(error.__cause__ or error.__context__ or error))
            self.abort()
        if self._chunked:
            # A line that was read whole after the last chunk's end would have begun another.
            self._between = self._completed and self._read.endswith(b"\r\n", 0, nbytes)
        return False

    # httptools callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note the headers that decide how the body is read."""
        lowered = name.lower()
        if lowered == b"content-type" and self._exchange is not None:
            self._exchange.content_type = value.decode("latin-1").partition(";")[0].strip().lower()
        elif lowered == b"content-length":
            self._sized = True
        elif lowered == b"transfer-encoding":
            self._sized = self._chunked = True

    def on_headers_complete(self) -> None:
        """Stamp the response head."""
        # A body without a declared length has no frames: every byte of it is body.
        self._between, self._completed = not self._sized, False
        if self._exchange is not None and self._parser is not None:
            self._exchange.headers = self._stamp
            self._exchange.status = self._parser.get_status_code()

    def on_chunk_header(self) -> None:
        """Note that a chunk has begun, or the last line of all chunks was read."""
        self._completed = False

    def on_chunk_complete(self) -> None:
        """Note that a chunk has ended."""
        self._completed = True

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
        exchange.stencil = None  # what still comes is no part of this answer, whatever it looks like
        exchange.detail = "" if ending is Ending.COMPLETE else detail
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
