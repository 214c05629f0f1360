"""An SSH server by hand: says who it likes to be, holds answers back, refuses and numbers as it is told."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Mapping
from pathlib import Path

import paramiko
from paramiko.common import MSG_CHANNEL_OPEN_SUCCESS, MSG_SERVICE_ACCEPT, MSG_USERAUTH_SUCCESS
from paramiko.packet import Packetizer

from macfleet.model.node import Endpoint, Node
from macfleet.ssh.known_hosts import HostKey

OPENSSH = "SSH-2.0-OpenSSH_9.9"


class Peer:
    """Listens on loopback; every script gets its own stdin back.

    Attributes:
        version: the first line it says.
        hold: answers, by type, that leave only when a message of the other type has come.
        first_channel: number of a connection's first channel.
        signatures: algorithms it takes for a login; all of paramiko's when empty.
        refuses: whether it opens no session.
        took: types of the messages that came, one list a connection.
        early: types of answers whose successor had come before they were sent.
        stdins: what the scripts were given.
    """

    def __init__(self, identity: Path) -> None:
        self.version = OPENSSH
        self.hold: Mapping[int, int] = {}
        self.first_channel = 0
        self.signatures: tuple[str, ...] = ()
        self.refuses = False
        self.took: list[list[int]] = []
        self.early: list[int] = []
        self.stdins: list[bytes] = []
        self._identity = identity
        self._key = paramiko.ECDSAKey.generate()
        self._door = socket.create_server(("127.0.0.1", 0))
        self._open: list[_Session] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def node(self, **endpoint: object) -> Node:
        known: dict[str, object] = {"identity_file": str(self._identity), "user": "ops"}
        known["host_key"] = HostKey(self._key.get_name(), self._key.asbytes()).fingerprint
        port = int(self._door.getsockname()[1])
        return Node("mac-01", Endpoint("127.0.0.1", port=port, **(known | endpoint)))

    def hang_up(self) -> None:
        """End every connection."""
        for session in self._open:
            session.close()

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.hang_up()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._door.accept()
            except OSError:
                return
            self.took.append([])
            session = _Session(self, sock, self.took[-1])
            session.local_version = self.version
            session._preferred_pubkeys = self.signatures or session._preferred_pubkeys
            session._channel_counter = self.first_channel
            session.channels_seen[0] = True  # what comes for a channel that is not there is passed over
            session.add_server_key(self._key)
            self._open.append(session)
            session.start_server(threading.Event(), _Host(self, paramiko.PKey.from_path(self._identity)))


class _Session(paramiko.Transport):
    """One connection of a peer."""

    def __init__(self, peer: Peer, sock: socket.socket, took: list[int]) -> None:
        super().__init__(sock)
        self.packetizer = _Packets(peer, sock, took)


class _Packets(Packetizer):
    """Notes what comes, and lets answers go when they may."""

    def __init__(self, peer: Peer, sock: socket.socket, took: list[int]) -> None:
        super().__init__(sock)
        self._peer, self._sock, self._took = peer, sock, took
        self._held: list[paramiko.Message] = []
        self._until = 0

    def read_message(self) -> tuple[int, paramiko.Message]:
        kind, message = super().read_message()
        self._took.append(kind)
        if self._held and kind == self._until:
            held, self._held = self._held, []
            for each in held:
                super().send_message(each)
        return kind, message

    def send_message(self, data: paramiko.Message) -> None:
        kind = data.asbytes()[0]
        until = self._peer.hold.get(kind)
        if until is not None and until not in self._took:
            self._until = until
            self._held.append(data)
        elif self._held:
            self._held.append(data)
        else:
            # Whoever waits for these has nothing on its way; half a second is long for loopback.
            waited_for = kind in (MSG_SERVICE_ACCEPT, MSG_USERAUTH_SUCCESS, MSG_CHANNEL_OPEN_SUCCESS)
            if waited_for and select.select([self._sock], [], [], 0.5)[0]:
                self._peer.early.append(kind)
            super().send_message(data)


class _Host(paramiko.ServerInterface):
    def __init__(self, peer: Peer, key: paramiko.PKey) -> None:
        self._peer, self._key = peer, key

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = key.asbytes() == self._key.asbytes()
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        if self._peer.refuses:
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._echo, args=(channel,), daemon=True).start()
        return True

    def _echo(self, channel: paramiko.Channel) -> None:
        given = channel.makefile("rb").read()
        self._peer.stdins.append(given)
        channel.sendall(given)
        channel.send_exit_status(0)
        channel.close()
