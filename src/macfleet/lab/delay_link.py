"""One connection through the delay proxy: two ends, and a lane for either direction."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macfleet.lab.delay import DelayProxy

_IN_FLIGHT = 16 * 2**20
"""Bytes on their way in one direction before the sender is made to wait."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What passed through one port of the proxy.

    Attributes:
        connections: connections accepted.
        round_trips: from SYN to the last byte the client received, of the connection that needed most.
            A client that sends late may be charged with one that it did not wait for, never the reverse.
        up: bytes delivered to the target; down: bytes delivered to the client.
    """

    connections: int = 0
    round_trips: int = 0
    up: int = 0
    down: int = 0


class Counts:
    """What passed through one port, while it passes."""

    def __init__(self) -> None:
        self.connections = self.halves = self.up = self.down = 0

    def take(self) -> Passage:
        """Return what passed since the last call, and begin to count anew."""
        found = Passage(self.connections, -(-self.halves // 2), self.up, self.down)
        self.connections = self.halves = self.up = self.down = 0
        return found


class Link:
    """One connection: the client's end, the target's end and a lane for either direction.

    Half round trips are counted as causes: what an end sends may depend on whatever reached it before.
    """

    def __init__(self, proxy: DelayProxy, target: int, counts: Counts) -> None:
        self._proxy = proxy
        self._target = target
        self._counts = counts
        # The client knows of the connection after one round trip, the server half a one later.
        self.near, self.far = _End(self, knows=2), _End(self, knows=3)
        self.near.lane = _Lane(proxy.loop, proxy.rtt / 2, self.near, self.far)
        self.far.lane = _Lane(proxy.loop, proxy.rtt / 2, self.far, self.near)
        self._dialling: asyncio.Task[None] | None = None

    def made(self, end: _End, transport: asyncio.Transport) -> None:
        """An end is connected: the client's has the target called when its packet would be there."""
        if end is self.far:
            self.near.lane.pour()
            return
        self._counts.connections += 1
        self._proxy.links.add(self)
        self._proxy.most_open = max(self._proxy.most_open, len(self._proxy.links))
        transport.pause_reading()
        self._proxy.loop.call_later(self._proxy.rtt, end.read_on)
        self._proxy.loop.call_later(1.5 * self._proxy.rtt, self._dial)

    def arrived(self, end: _End, size: int, halves: int) -> None:
        """Count bytes that reach an end `halves` half round trips after the client's SYN."""
        end.knows = max(end.knows, halves)
        if end is self.far:
            self._counts.up += size
        else:
            self._counts.down += size
            self._counts.halves = max(self._counts.halves, end.knows)

    def ended(self) -> None:
        """End of file came through a lane; the last of both ends the link."""
        if self.near.lane.ended and self.far.lane.ended:
            self.cut()

    def cut(self) -> None:
        """Close both ends."""
        self._proxy.links.discard(self)
        for end in (self.near, self.far):
            if end.transport is not None:
                end.transport.close()

    def _dial(self) -> None:
        if self in self._proxy.links:
            self._dialling = self._proxy.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._proxy.loop.create_connection(lambda: self.far, "127.0.0.1", self._target)
        except OSError:
            self.cut()


class _End(asyncio.Protocol):
    """One end of a link; `lane` leads to the other one, `knows` counts half round trips."""

    lane: _Lane

    def __init__(self, link: Link, *, knows: int) -> None:
        self._link = link
        self.knows = knows
        self.transport: asyncio.Transport | None = None
        self.ready = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a TCP connection has a stream transport")
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport, self.ready = transport, True
        self._link.made(self, transport)

    def data_received(self, data: bytes) -> None:
        self.lane.push(data)

    def eof_received(self) -> bool:
        self.lane.push(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport, self.ready = None, False
        if exc is not None:
            self._link.cut()
        elif not self.lane.closing:
            self.lane.push(b"")

    def pause_writing(self) -> None:
        self.ready = False

    def resume_writing(self) -> None:
        self.ready = True
        other = self._link.far if self is self._link.near else self._link.near
        other.lane.pour()

    def take(self, data: bytes, halves: int) -> None:
        """Receive what the other end sent; no bytes are its end of file."""
        if self.transport is not None and not self.transport.is_closing():
            if data:
                self._link.arrived(self, len(data), halves)
                self.transport.write(data)
            else:
                self._end(self.transport)
        if not data:
            self._link.ended()

    def _end(self, transport: asyncio.Transport) -> None:
        """Pass the end of file on; an end whose peer has reset the connection meanwhile has none to give."""
        try:
            transport.write_eof()
        except OSError:
            self._link.cut()

    def read_on(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()


class _Lane:
    """One direction: a queue of what is on its way, poured out when its time has come."""

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: float, source: _End, sink: _End) -> None:
        self._loop = loop
        self._delay = delay
        self._source = source
        self._sink = sink
        self._queue: deque[tuple[float, bytes, int]] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self.closing = self.ended = False

    def push(self, data: bytes) -> None:
        """Put bytes on their way; no bytes end the lane."""
        self.closing = self.closing or not data
        self._queue.append((self._loop.time() + self._delay, data, self._source.knows + 1))
        self._bytes += len(data)
        if self._bytes > _IN_FLIGHT and self._source.transport is not None:
            self._source.transport.pause_reading()
        if self._timer is None:
            self.pour()

    def pour(self) -> None:
        """Hand over what has arrived, in order, as long as the sink takes it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        full = self._bytes > _IN_FLIGHT
        # Looked at once: what fell due between two looks would neither be handed over nor be waited for.
        now = self._loop.time()
        while self._queue and self._queue[0][0] <= now and self._takes():
            _, data, halves = self._queue.popleft()
            self._bytes -= len(data)
            self.ended = self.ended or not data
            self._sink.take(data, halves)
        if full and self._bytes <= _IN_FLIGHT:
            self._source.read_on()
        if self._queue and self._queue[0][0] > now:
            self._timer = self._loop.call_at(self._queue[0][0], self.pour)

    def _takes(self) -> bool:
        """Whether the sink takes more now: it is connected and not full, or gone for good."""
        return self._sink.ready or self._sink.lane.closing
