"""One connection a node for a whole command."""

from __future__ import annotations

import threading
from collections import defaultdict
from pathlib import Path

from macfleet.model.diagnostic import NodeUnreachable
from macfleet.model.node import Node
from macfleet.model.ports import Clock, Transport
from macfleet.ssh import trouble
from macfleet.ssh.connection import Connection
from macfleet.ssh.dialer import Dialer
from macfleet.ssh.known_hosts import HostKey, KnownHosts
from macfleet.ssh.route import Hop, Routes


class SshTransports:
    """Opens and keeps connections; the `Transports` port. Threads may share it.

    Args:
        known_hosts: the fleet's own list of host keys; a key that is not in it, and not pinned in the
            inventory, is refused.
        connect_limit: connections being opened at once.
        clock: waits between attempts; the system's when None.
        ssh_config: read instead of the user's and the system's files when given.
    """

    def __init__(
        self,
        known_hosts: Path,
        *,
        connect_limit: int = 16,
        clock: Clock | None = None,
        ssh_config: Path | None = None,
    ) -> None:
        self._path = known_hosts
        self._known = KnownHosts.read(known_hosts)
        self._routes = Routes(ssh_config)
        self._dialer = Dialer(self._known, self._check, connect_limit=connect_limit, clock=clock)
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._open: dict[str, Connection] = {}

    def to(self, node: Node) -> Transport:
        """Return the node's connection, opening it on first use and again after it broke.

        Raises:
            NodeUnreachable: nothing answers, the host key is not trusted, or the login is refused.
            MacfleetError: the jump specification cannot be followed.
        """
        return self.connection(node)

    def connection(self, node: Node) -> Connection:
        """Return the same as `to`, with what only an SSH connection knows."""
        with self._lock:
            turn = self._turns[node.name]
        with turn:
            kept = self._open.get(node.name)
            if kept is not None and kept.alive:
                return kept
            if kept is not None:
                kept.close()
            client, transport = self._dialer.log_in(self._routes.to(node))
            fresh = Connection(node.name, client, transport)
            self._open[node.name] = fresh
            return fresh

    def close(self) -> None:
        """End what still runs on the nodes and close all connections, all nodes at once."""
        with self._lock:
            kept, self._open = tuple(self._open.values()), {}
        closers = [threading.Thread(target=connection.close) for connection in kept]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join()
        self._dialer.close()

    def _check(self, hop: Hop, shown: HostKey) -> None:
        """Refuse a host key that is neither enrolled nor pinned."""
        enrolled = self._known.keys(hop.name)
        if hop.pin and shown.fingerprint != hop.pin:
            raise NodeUnreachable(trouble.pin_mismatch(hop.node, hop.name, str(shown), hop.pin))
        if shown in enrolled:
            return
        if enrolled:
            known = tuple(str(key) for key in enrolled)
            raise NodeUnreachable(trouble.changed_key(hop.node, hop.name, str(shown), known))
        if not hop.pin:
            raise NodeUnreachable(trouble.unknown_key(hop.node, hop.name, str(shown), str(self._path)))
