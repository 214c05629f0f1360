"""One connection a node for a whole command."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from macfleet.model.node import Node
from macfleet.ssh.askpass import Passphrases
from macfleet.ssh.lean import import_paramiko
from macfleet.ssh.route import Route, Routes, Say
from macfleet.ssh.stream import stream_to

if TYPE_CHECKING:
    from macfleet.model.ports import Clock, Transport
    from macfleet.ssh.connection import Connection
    from macfleet.ssh.opener import Opener
    from macfleet.ssh.private_keys import Passphrase
    from macfleet.ssh.wire import Wire


class SshTransports:
    """Opens and keeps connections; the `Transports` port. Threads may share it.

    The first streams are opened before what speaks SSH over them is imported: while the network carries a
    connection's first packets the controller has that to do.

    Args:
        known_hosts: the fleet's own list of host keys; a key that is not in it, and not pinned in the
            inventory, is refused.
        connect_limit: connections being opened at once.
        keep: connections open or being opened; beyond it the one that has been idle longest makes room.
            A macOS controller may open 256 files unless told otherwise.
        clock: waits between attempts; the system's when None.
        ssh_config: read instead of the user's and the system's files when given.
        passphrase: knows the passphrases of private keys.
        say: takes a warning for each setting of ssh_config that is not followed.
    """

    def __init__(
        self,
        known_hosts: Path,
        *,
        connect_limit: int = 64,
        keep: int = 112,
        clock: Clock | None = None,
        ssh_config: Path | None = None,
        passphrase: Passphrase | None = None,
        say: Say = lambda _: None,
    ) -> None:
        self._routes = Routes(ssh_config, say)
        self._known_hosts = known_hosts
        self._connect_limit = connect_limit
        self._clock = clock
        self._passphrase: Passphrase = passphrase if passphrase is not None else Passphrases()
        self._opener: Opener | None = None
        self._making = threading.Lock()
        self._ahead = 0
        self._keep = keep
        self._lock = threading.Lock()
        self._turns: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._open: dict[str, Connection] = {}
        self._opening = 0
        self._trouble: dict[str, Exception] = {}
        self._closed = False

    def to(self, node: Node) -> Transport:
        """Return the node's connection, opening it on first use and again after it broke.

        Raises:
            NodeUnreachable: nothing answers, the host key is not trusted, or the login is refused.
            MacfleetError: the jump specification cannot be followed.
        """
        return self.connection(node)

    def begin(self, nodes: Iterable[Node]) -> None:
        """Begin to open connections that will be asked for soon, and get ready to speak over them.

        Returns while they are on their way. What goes wrong is raised by whoever asks for one first.
        """
        # Each start waits until the thread runs, so it is another one's work.
        threading.Thread(target=self._begin_all, args=(tuple(nodes),), daemon=True).start()
        # By the caller: the threads would share the interpreter with all it imports next, and log in later.
        with contextlib.suppress(Exception):
            self._made_opener()

    def connection(self, node: Node) -> Connection:
        """Return the same as `to`, with what only an SSH connection knows."""
        with self._turn(node):
            trouble = self._trouble.pop(node.name, None)
            if trouble is not None:
                raise trouble
            return self._opened(node)

    def _turn(self, node: Node) -> threading.Lock:
        with self._lock:
            return self._turns[node.name]

    def _begin_all(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if self._closed:
                return
            threading.Thread(target=self._begin, args=(node,), daemon=True).start()

    def _begin(self, node: Node) -> None:
        with self._turn(node):
            try:
                fresh = self._opened(node, ahead=True)
            except Exception as error:  # noqa: BLE001 (raised where the connection is wanted)
                self._trouble[node.name] = error
                return
        if self._closed:
            fresh.close()

    def _opened(self, node: Node, *, ahead: bool = False) -> Connection:
        """Return the kept connection, or a new one; by whoever has the node's turn.

        One that is opened ahead of the first call is handed to it before its login is answered.
        """
        kept = self._open.get(node.name)
        if kept is not None and kept.alive:
            return kept
        if kept is not None:
            kept.close()
        route = self._routes.to(node)
        self._make_room()
        try:
            fresh = self._open_over(self._stream_ahead(route), node.name, route, ahead=ahead)
            with self._lock:
                self._open[node.name] = fresh
        finally:
            with self._lock:
                self._opening -= 1
        return fresh

    def _stream_ahead(self, route: Route) -> Wire | None:
        """Return an open stream, as long as there is no opener that would open and count it itself."""
        if self._opener is not None or len(route) > 1:
            return None
        with self._lock:
            self._ahead += 1
            if self._ahead > self._connect_limit:
                return None
        return stream_to(route[0])

    def _open_over(self, stream: Wire | None, node: str, route: Route, *, ahead: bool) -> Connection:
        try:
            opener = self._made_opener()
        except BaseException:
            if stream is not None:
                stream.close()
            raise
        return opener.open(node, route, stream, ahead=ahead)

    def _made_opener(self) -> Opener:
        with self._making:
            if self._opener is None:
                import_paramiko()
                from macfleet.ssh.opener import Opener  # noqa: PLC0415 (the first streams are open by now)

                self._opener = Opener(self._known_hosts, self._connect_limit, self._clock, self._passphrase)
                if self._closed:
                    self._opener.close()
            return self._opener

    def _make_room(self) -> None:
        """Close connections that nobody uses, the longest idle first, until one more may be opened."""
        with self._lock:
            self._opening += 1
            idle = ((kept.idle_since, name) for name, kept in self._open.items())
            oldest = sorted((since, name) for since, name in idle if since is not None)
            surplus = max(0, len(self._open) + self._opening - self._keep)
            gone = [self._open.pop(name) for _, name in oldest[:surplus]]
        for connection in gone:
            connection.close()

    def end_running(self) -> None:
        """End what runs on the nodes at this moment; the connections stay."""
        with self._lock:
            kept = tuple(self._open.values())
        _at_once(connection.end_running for connection in kept)

    def close(self) -> None:
        """End what still runs on the nodes and close all connections, all nodes at once."""
        with self._lock:
            self._closed = True
            kept, self._open = tuple(self._open.values()), {}
        _at_once(connection.close for connection in kept)
        with self._making:
            if self._opener is not None:
                self._opener.close()


def _at_once(tasks: Iterable[Callable[[], None]]) -> None:
    """Do all of them at the same time and wait for the last."""
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
