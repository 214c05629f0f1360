"""Everything that opens a connection once its stream is there: what takes paramiko."""

from __future__ import annotations

from pathlib import Path

from macfleet.model.ports import Clock
from macfleet.ssh.connection import Connection, Watched
from macfleet.ssh.dialer import Dialer, sock_of
from macfleet.ssh.heartbeat import Heartbeat
from macfleet.ssh.private_keys import Passphrase, PrivateKeys
from macfleet.ssh.route import Route
from macfleet.ssh.trust import Trust
from macfleet.ssh.wire import Wire


class Opener:
    """Logs in to nodes and watches their connections; threads may share it.

    Args:
        known_hosts: the fleet's own list of host keys.
        connect_limit: connections being opened at once.
        clock: waits between attempts; the system's when None.
        passphrase: knows the passphrases of private keys.
    """

    def __init__(
        self, known_hosts: Path, connect_limit: int, clock: Clock | None, passphrase: Passphrase
    ) -> None:
        self._heartbeat = Heartbeat()
        self._unguessable: set[str] = set()
        self._dialer = Dialer(
            Trust(known_hosts),
            connect_limit=connect_limit,
            clock=clock,
            private=PrivateKeys(passphrase),
            heartbeat=self._heartbeat,
        )

    def open(self, node: str, route: Route, stream: Wire | None, *, ahead: bool) -> Connection:
        """Return a connection to a node, over `stream` where that is open already.

        With `ahead` it may wait for the answer to its login in the first call that needs it.

        Raises:
            NodeUnreachable: a hop does not answer, is not trusted or refuses the login.
        """
        client, transport, watch = self._logged_in(node, route, stream, ahead=ahead)

        def again() -> Watched:
            self._unguessable.add(node)
            return self._logged_in(node, route, None, ahead=False)

        return Connection(node, client, transport, watch=watch, again=again)

    def _logged_in(self, node: str, route: Route, stream: Wire | None, *, ahead: bool) -> Watched:
        may_guess = node not in self._unguessable
        client, transport = self._dialer.log_in(route, stream, ahead=ahead and may_guess)
        transport.may_guess = may_guess
        watch = self._heartbeat.watch(transport, sock_of(transport), route[-1].options)
        return client, transport, watch

    def close(self) -> None:
        """Close the jump hosts' connections and stop watching; nobody is asked again."""
        self._dialer.close()
        self._heartbeat.close()
