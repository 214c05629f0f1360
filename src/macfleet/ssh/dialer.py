"""Opens connections: limited, through shared jump hosts, trying again where that is harmless."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

import paramiko

from macfleet.model.diagnostic import NodeUnreachable
from macfleet.model.ports import Clock
from macfleet.ssh import trouble
from macfleet.ssh.ahead import Eager
from macfleet.ssh.handshake import ResetBeforeLogin, host_key_of, log_in
from macfleet.ssh.heartbeat import Heartbeat
from macfleet.ssh.known_hosts import HostKey
from macfleet.ssh.private_keys import PrivateKeys
from macfleet.ssh.route import Hop, Route, place_of
from macfleet.ssh.slots import is_refusal
from macfleet.ssh.stream import reason_of, stream_to
from macfleet.ssh.trust import Trust
from macfleet.ssh.wire import Relayed, Socket, Wire

_ATTEMPTS = 6
_JUMP_LIMIT = 8
_NARROW = 2
"""Connections at once to a server that turned one away: MaxStartups may be as small as that."""
_CHANNEL_TIMEOUT = 15.0

Outcome = TypeVar("Outcome")
LoggedIn = tuple[paramiko.SSHClient, Eager]


class Dialer:
    """Knows how many connections are being opened, and keeps the jump hosts' connections.

    Args:
        trust: judges host keys.
        connect_limit: connections being opened at once; through one jump host eight.
        clock: waits between attempts; the system's when None.
        private: reads private keys.
        heartbeat: watches the jump hosts' connections when given.
    """

    def __init__(
        self,
        trust: Trust,
        *,
        connect_limit: int,
        private: PrivateKeys,
        clock: Clock | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._trust = trust
        self._private = private
        self._heartbeat = heartbeat
        self._limit = threading.BoundedSemaphore(connect_limit)
        self._wait: Callable[[float], None] = clock.sleep if clock is not None else time.sleep
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._turns: dict[Route, threading.Lock] = defaultdict(threading.Lock)
        self._jump_limits: dict[Route, threading.BoundedSemaphore] = defaultdict(
            lambda: threading.BoundedSemaphore(_JUMP_LIMIT)
        )
        self._jumps: dict[Route, LoggedIn] = {}
        self._narrow: dict[Route, threading.BoundedSemaphore] = {}

    def log_in(self, route: Route, stream: Wire | None = None, *, ahead: bool = False) -> LoggedIn:
        """Return a logged-in connection to the last hop of a route.

        Args:
            route: the hops; one hop alone when a stream is given.
            stream: to that hop, when it is open already; the first attempt uses it.
            ahead: as for `macfleet.ssh.handshake.log_in`.

        Raises:
            NodeUnreachable: a hop does not answer, is not trusted or refuses the login.
        """
        streams = [] if stream is None else [stream]

        def greet(hop: Hop, sock: Socket) -> paramiko.SSHClient:
            return log_in(hop, sock, self._trust, self._private, ahead=ahead)

        client = self._attempt(route, greet, streams)
        transport = client.get_transport()
        if not isinstance(transport, Eager):
            raise NodeUnreachable(trouble.no_answer(route[-1].node, route[-1].name, "it hung up"))
        return client, transport

    def host_key(self, route: Route, kinds: Sequence[str]) -> HostKey:
        """Return the key the last hop of a route shows, logging in to the hops before it only.

        Raises:
            NodeUnreachable: a hop does not answer, or one before the last is not trusted.
        """
        return self._attempt(route, lambda hop, sock: host_key_of(hop, sock, kinds))

    def close(self) -> None:
        """Close the jump hosts' connections, the farthest first; nobody is asked again."""
        self._closed.set()
        with self._lock:
            jumps, self._jumps = dict(self._jumps), {}
        for route in sorted(jumps, key=len, reverse=True):
            jumps[route][0].close()

    def _attempt(
        self, route: Route, greet: Callable[[Hop, Socket], Outcome], streams: list[Wire] | None = None
    ) -> Outcome:
        """Open a socket and greet, again with growing, jittered waits while the server turns us away.

        What is in `streams` is used, and taken out, before another is opened.
        """
        hop = route[-1]
        # Before the limit is taken: waiting for a jump host while holding a place could stall everybody.
        jump = self._jump(route[:-1]) if len(route) > 1 else None
        # A loop of five lines: tenacity takes as long to import as all of this package.
        for attempt in range(_ATTEMPTS):
            try:
                return self._once(route, jump, greet, streams or [])
            except ResetBeforeLogin as error:
                last = error
            if self._closed.is_set():
                break
            if attempt + 1 < _ATTEMPTS:
                self._wait(_jittered(attempt))
        raise NodeUnreachable(trouble.turned_away(hop.node, hop.name, _ATTEMPTS, last.heard)) from last

    def _once(
        self,
        route: Route,
        jump: paramiko.Transport | None,
        greet: Callable[[Hop, Socket], Outcome],
        streams: list[Wire],
    ) -> Outcome:
        hop = route[-1]
        with self._lock:
            limit = self._jump_limits[place_of(route[:-1])] if jump is not None else self._limit
            narrow = self._narrow.get(place_of(route), contextlib.nullcontext())
        with narrow, limit:
            sock = streams.pop() if streams else _opened(hop, jump)
            try:
                return greet(hop, sock)
            except ResetBeforeLogin:
                sock.close()
                self._narrow_down(route)
                raise
            except BaseException:
                sock.close()
                raise

    def _narrow_down(self, route: Route) -> None:
        """From now on open few connections at once to a server that turned one away."""
        with self._lock:
            self._narrow.setdefault(place_of(route), threading.BoundedSemaphore(_NARROW))

    def _jump(self, route: Route) -> paramiko.Transport:
        """Return the shared connection to a jump host, opening it on first use."""
        with self._lock:
            turn = self._turns[place_of(route)]
        with turn:
            kept = self._jumps.get(place_of(route))
            if kept is None or not kept[1].is_active():
                kept = self.log_in(route)
                self._jumps[place_of(route)] = kept
                if self._heartbeat is not None:
                    self._heartbeat.watch(kept[1], sock_of(kept[1]), route[-1].options)
            return kept[1]


def _jittered(attempt: int) -> float:
    """Return the seconds to wait after attempt 0 and so on: up to twice as many each time, 5 at most."""
    # Logins begun ahead wait on threads of their own, which leave the process's random numbers alone.
    return secrets.SystemRandom().uniform(0, min(5.0, 0.25 * 2**attempt))


def sock_of(transport: paramiko.Transport) -> Socket:
    """Return the stream below a transport that this module opened."""
    sock: object = transport.sock
    if not isinstance(sock, Wire | Relayed):
        raise TypeError(f"{sock!r} was not opened here")
    return sock


def _opened(hop: Hop, jump: paramiko.Transport | None) -> Socket:
    """Return a stream to a hop.

    Raises:
        NodeUnreachable: nothing answers there.
    """
    if jump is None:
        return stream_to(hop)
    try:
        return Relayed(_through(hop, jump))
    except (OSError, EOFError, ValueError, paramiko.SSHException) as error:
        if is_refusal(error, jump):
            raise NodeUnreachable(trouble.no_forwarding(hop.node, hop.name, reason_of(error))) from error
        raise NodeUnreachable(trouble.no_answer(hop.node, hop.name, reason_of(error))) from error


def _through(hop: Hop, jump: paramiko.Transport) -> paramiko.Channel:
    return jump.open_channel(
        "direct-tcpip",
        (hop.host, hop.port),
        ("127.0.0.1", 0),
        timeout=max(_CHANNEL_TIMEOUT, hop.connect_timeout),
    )
