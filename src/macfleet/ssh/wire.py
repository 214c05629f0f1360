"""The TCP socket below a connection."""

from __future__ import annotations

import contextlib
import socket
from typing import Self

_HEARD = 256
_DEAD_AFTER = 45
"""Seconds without an acknowledgement after which the kernel gives a peer up."""


class Wire(socket.socket):
    """A connected socket that remembers how the peer began and whether it hung up.

    Attributes:
        heard: the first bytes received; a server that turns somebody away says why in clear text.
        hung_up: whether the peer closed or reset the connection.
    """

    heard: bytes = b""
    hung_up: bool = False

    @classmethod
    def connect_to(cls, host: str, port: int, timeout: float) -> Self:
        """Connect to the first address that answers.

        Args:
            host: name or address.
            port: TCP port.
            timeout: seconds for each address.

        Raises:
            OSError: no address answered; the error of the last one.
        """
        trouble: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            wire = cls(family, kind, protocol)
            try:
                wire.settimeout(timeout)
                wire.connect(address)
                wire._tune()
            except OSError as error:
                wire.close()
                trouble = error
            else:
                return wire
        raise trouble

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Receive as a socket does."""
        try:
            data = super().recv(size, flags)
        except ConnectionError:
            self.hung_up = True
            raise
        if not data:
            self.hung_up = True
        elif len(self.heard) < _HEARD:
            self.heard += data[: _HEARD - len(self.heard)]
        return data

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
