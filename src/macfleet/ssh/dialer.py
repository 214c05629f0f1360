"""Opens connections: limited, through shared jump hosts, trying again where that is harmless."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

import paramiko
import tenacity

from macfleet.model.diagnostic import NodeUnreachable
from macfleet.model.ports import Clock
from macfleet.ssh import trouble
from macfleet.ssh.handshake import KeyCheck, ResetBeforeLogin, Socket, host_key_of, log_in
from macfleet.ssh.known_hosts import HostKey, KnownHosts
from macfleet.ssh.route import Hop, Route, place_of
from macfleet.ssh.wire import Wire

_ATTEMPTS = 6
_JUMP_LIMIT = 8
_CHANNEL_TIMEOUT = 15.0

Outcome = TypeVar("Outcome")
LoggedIn = tuple[paramiko.SSHClient, paramiko.Transport]


class Dialer:
    """Knows how many connections are being opened, and keeps the jump hosts' connections.

    Args:
        known: which key types to ask each host for.
        check: refuses a host key by raising NodeUnreachable.
        connect_limit: connections being opened at once; through one jump host eight.
        clock: waits between attempts; the system's when None.
    """

    def __init__(
        self, known: KnownHosts, check: KeyCheck, *, connect_limit: int, clock: Clock | None = None
    ) -> None:
        self._known = known
        self._check = check
        self._limit = threading.BoundedSemaphore(connect_limit)
        self._wait: Callable[[float], None] = clock.sleep if clock is not None else time.sleep
        self._lock = threading.Lock()
        self._turns: dict[Route, threading.Lock] = defaultdict(threading.Lock)
        self._jump_limits: dict[Route, threading.BoundedSemaphore] = defaultdict(
            lambda: threading.BoundedSemaphore(_JUMP_LIMIT)
        )
        self._jumps: dict[Route, LoggedIn] = {}

    def log_in(self, route: Route) -> LoggedIn:
        """Return a logged-in connection to the last hop of a route.

        Raises:
            NodeUnreachable: a hop does not answer, is not trusted or refuses the login.
        """
        client = self._attempt(route, lambda hop, sock: log_in(hop, sock, self._known, self._check))
        transport = client.get_transport()
        if transport is None:
            raise NodeUnreachable(trouble.no_answer(route[-1].node, route[-1].name, "it hung up"))
        return client, transport

    def host_key(self, route: Route, kinds: Sequence[str]) -> HostKey:
        """Return the key the last hop of a route shows, logging in to the hops before it only.

        Raises:
            NodeUnreachable: a hop does not answer, or one before the last is not trusted.
        """
        return self._attempt(route, lambda hop, sock: host_key_of(hop, sock, kinds))

    def close(self) -> None:
        """Close the jump hosts' connections, the farthest first."""
        with self._lock:
            jumps, self._jumps = dict(self._jumps), {}
        for route in sorted(jumps, key=len, reverse=True):
            jumps[route][0].close()

    def _attempt(self, route: Route, greet: Callable[[Hop, Socket], Outcome]) -> Outcome:
        """Open a socket and greet, again with growing, jittered waits while the server turns us away."""
        hop = route[-1]
        # Before the limit is taken: waiting for a jump host while holding a place could stall everybody.
        jump = self._jump(route[:-1]) if len(route) > 1 else None
        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_random_exponential(multiplier=0.25, max=5),
            retry=tenacity.retry_if_exception_type(ResetBeforeLogin),
            sleep=self._wait,
            reraise=True,
        )
        try:
            outcome: Outcome = attempts(self._once, route, jump, greet)
            return outcome  # noqa: TRY300  (tenacity's call is untyped)
        except ResetBeforeLogin as error:
            raise NodeUnreachable(trouble.turned_away(hop.node, hop.name, _ATTEMPTS, error.heard)) from error

    def _once(
        self, route: Route, jump: paramiko.Transport | None, greet: Callable[[Hop, Socket], Outcome]
    ) -> Outcome:
        hop = route[-1]
        with self._lock:
            limit = self._jump_limits[place_of(route[:-1])] if jump is not None else self._limit
        with limit:
            sock = _opened(hop, jump)
            try:
                return greet(hop, sock)
            except BaseException:
                sock.close()
                raise

    def _jump(self, route: Route) -> paramiko.Transport:
        """Return the shared connection to a jump host, opening it on first use."""
        with self._lock:
            turn = self._turns[place_of(route)]
        with turn:
            kept = self._jumps.get(place_of(route))
            if kept is None or not kept[1].is_active():
                kept = self.log_in(route)
                self._jumps[place_of(route)] = kept
            return kept[1]


def _opened(hop: Hop, jump: paramiko.Transport | None) -> Socket:
    """Return a stream to a hop.

    Raises:
        NodeUnreachable: nothing answers there.
    """
    try:
        if jump is not None:
            return jump.open_channel(
                "direct-tcpip", (hop.host, hop.port), ("127.0.0.1", 0), timeout=_CHANNEL_TIMEOUT
            )
        if hop.proxy_command:
            return paramiko.ProxyCommand(hop.proxy_command)
        return Wire.connect_to(hop.host, hop.port, hop.connect_timeout)
    except (OSError, EOFError, paramiko.SSHException) as error:
        reason = str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        raise NodeUnreachable(trouble.no_answer(hop.node, hop.name, reason)) from error
