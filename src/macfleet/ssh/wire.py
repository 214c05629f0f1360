"""The stream of bytes below a connection: a TCP socket, or what another program or host passes on."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING, Self

if TYPE_CHECKING:
    import paramiko
    from typing_extensions import Buffer

VERSION = "SSH-2.0-macfleet"
"""Who we are, in the first line of a connection (RFC 4253, 4.2)."""
_HELLO = f"{VERSION}\r\n".encode()
_HEARD = 256
_AT_ONCE = 64 * 1024
"""Bytes asked of the system at once: paramiko asks twice a packet, for its length and the rest."""
_LAST_WORDS = 2.0
_DEAD_AFTER = 45
"""Seconds without an acknowledgement after which the kernel gives a peer up."""


class Wire(socket.socket):
    """A connected socket that remembers how the peer began and whether it hung up.

    Attributes:
        heard: the first bytes received; a server that turns somebody away says why in clear text.
        hung_up: whether the peer closed or reset the connection.
        last_heard: when the last bytes came, on the monotonic clock.
    """

    heard: bytes = b""
    hung_up: bool = False
    last_heard: float = 0.0
    _greeted: bool = False
    _left: memoryview = memoryview(b"")
    _ours: bool = False

    @classmethod
    def connect_to(
        cls, host: str, port: int, timeout: float, *, family: int = socket.AF_UNSPEC, source: str = ""
    ) -> Self:
        """Connect to the first address that answers.

        Args:
            host: name or address.
            port: TCP port.
            timeout: seconds for each address.
            family: of addresses, such as ``AF_INET6``.
            source: address of this machine to connect from; empty leaves it to the system.

        Raises:
            OSError: no address answered; the error of the last one.
        """
        trouble: OSError = OSError(f"{host} has no address")
        # As bytes a name that is ASCII costs no import of the tables for those that are not.
        name = host.encode() if host.isascii() else host
        found = socket.getaddrinfo(name, port, family=family, type=socket.SOCK_STREAM)
        for kind, style, protocol, _, address in found:
            wire = cls(kind, style, protocol)
            try:
                wire.settimeout(timeout)
                if source:
                    wire.bind((source, 0))
                wire.connect(address)
                wire._tune()
                wire.last_heard = time.monotonic()
            except OSError as error:
                wire.close()
                trouble = error
            else:
                return wire
        raise trouble

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive as a socket does, by one reader: what came with it is kept for the next call."""
        if not self._left:
            self._left = memoryview(self._received(max(size, _AT_ONCE), flags))
        data, self._left = self._left[:size], self._left[size:]
        return bytes(data)

    def _received(self, size: int, flags: int) -> bytes:
        try:
            data = super().recv(size, flags)
        except ConnectionError:
            self.hung_up = True
            raise
        if not data:
            self.hung_up = not self._ours
            return data
        self.last_heard = time.monotonic()
        if len(self.heard) < _HEARD:
            self.heard += data[: _HEARD - len(self.heard)]
        return data

    def close(self) -> None:
        """Close the stream; whoever waits for bytes hears at once that none will come."""
        self._ours = True
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)
        super().close()

    def greet(self) -> None:
        """Send the first line ahead of whoever speaks SSH over the stream, who sends it once more.

        A server begins to exchange keys when it has it: sent with the connection it costs no round trip.
        """
        with contextlib.suppress(OSError):  # what is wrong is met again by who sends next
            self._greeted = super().send(_HELLO) == len(_HELLO)

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """Send as a socket does; the first line only where it was not sent ahead."""
        if self._greeted:
            self._greeted = False
            if bytes(data) == _HELLO:
                return len(_HELLO)
        try:
            return super().send(data, flags)
        except ConnectionError:
            self.hung_up = True
            raise

    def takes_bytes(self) -> bool:
        """Whether a small packet can be sent without waiting."""
        try:
            return bool(select.select([], [self], [], 0)[1])
        except (OSError, ValueError):
            return False

    def _tune(self) -> None:
        """Send small packets at once, and notice a peer that is gone.

        paramiko sets none of this. Without TCP_NODELAY an exec on a LAN takes ten times as long.
        """
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # Names differ by system: TCP_USER_TIMEOUT is Linux (ms), TCP_KEEPALIVE is Darwin's TCP_KEEPIDLE.
        values = {
            "TCP_KEEPIDLE": 15,
            "TCP_KEEPALIVE": 15,
            "TCP_KEEPINTVL": 10,
            "TCP_KEEPCNT": 3,
            "TCP_USER_TIMEOUT": _DEAD_AFTER * 1000,
        }
        for name, value in values.items():
            option = getattr(socket, name, None)
            if option is not None:
                with contextlib.suppress(OSError):
                    self.setsockopt(socket.IPPROTO_TCP, option, value)


class Piped(Wire):
    """A stream through a program, such as ssh_config's ProxyCommand names.

    paramiko's own ProxyCommand waits for more after each piece and never sees the program end
    (`paramiko/proxy.py` of 5.1, `recv`); behind a pair of sockets the program is like any other peer.
    """

    _process: subprocess.Popen[bytes]
    _said: IO[bytes]
    _ending: threading.Lock
    _complaint: str = ""

    @classmethod
    def through(cls, command: str) -> Self:
        """Start a command as ssh does, in a shell and in a session of its own (raises OSError)."""
        ours, theirs = socket.socketpair()
        said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the stream)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=said,
                start_new_session=True,
            )
        except OSError:
            ours.close()
            said.close()
            raise
        finally:
            theirs.close()
        wire = cls(fileno=ours.detach())
        wire._process, wire._said, wire._ending = process, said, threading.Lock()
        wire.last_heard = time.monotonic()
        return wire

    def complaint(self) -> str:
        """Return what the program wrote on stderr, after the stream was closed."""
        with self._ending:
            return self._complaint

    def close(self) -> None:
        """Close the stream and end the program; several threads may, paramiko's among them."""
        super().close()
        with self._ending:
            if self._said.closed:
                return
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(_LAST_WORDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._said.seek(0)
            self._complaint = self._said.read(_HEARD).decode("utf-8", "replace").strip()
            self._said.close()


class Relayed:
    """A stream through a jump host, with what `Wire` knows of its peer.

    Has the methods that paramiko calls on a socket (`Transport` and `Packetizer` of paramiko 5.1).
    """

    def __init__(self, inner: paramiko.Channel) -> None:
        self._inner = inner
        self._ours = False
        self.heard = b""
        self.hung_up = False
        self.last_heard = time.monotonic()

    @property
    def _closed(self) -> bool:
        """What `Transport.stop_thread` looks at (paramiko 5.1)."""
        return self._inner.closed

    def recv(self, size: int) -> bytes:
        """Receive as a socket does; raises TimeoutError when nothing comes in time."""
        data = self._inner.recv(size)
        if not data:
            self.hung_up = not self._ours
            return data
        self.last_heard = time.monotonic()
        if len(self.heard) < _HEARD:
            self.heard += data[: _HEARD - len(self.heard)]
        return data

    def send(self, data: bytes) -> int:
        """Send as a socket does."""
        return self._inner.send(data)

    def settimeout(self, seconds: float) -> None:
        """Set how long `recv` waits."""
        self._inner.settimeout(seconds)

    def close(self) -> None:
        """Close the stream."""
        self._ours = True
        self._inner.close()

    def takes_bytes(self) -> bool:
        """Whether a small packet can be sent without waiting."""
        return self._inner.send_ready()


Socket = Wire | Relayed
