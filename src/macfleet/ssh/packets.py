"""paramiko's packets with fewer threads, wake-ups and calls of the system."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from paramiko.packet import Packetizer

from macfleet.ssh.wire import Socket

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Packets(Packetizer):
    """Reads and writes the packets of one connection.

    - A deadline for the key exchange is a time to compare with, not a thread that waits for it and is told at
      every packet that it need not (paramiko 5.1, packet.py:263 to 299).
    - What is said in one breath leaves in one piece, see `hold`.
    """

    def __init__(self, sock: Socket) -> None:
        super().__init__(sock)  # type: ignore[arg-type]  # what paramiko calls on it is there
        self._until: float | None = None
        self._turn = threading.Lock()
        self._held: list[bytes] | None = None

    def start_handshake(self, timeout: float) -> None:
        """From now on, `timeout` seconds are left to exchange keys."""
        if self._until is None:
            self._until = time.monotonic() + timeout

    def handshake_timed_out(self) -> bool:
        """Whether the keys were not exchanged in time."""
        return self._until is not None and time.monotonic() > self._until

    def complete_handshake(self) -> None:
        """Note that the other side answers; no deadline counts any more."""
        self._until = float("inf")

    def hold(self) -> None:
        """Keep what is written from now on, whoever writes it, until `let_go`."""
        with self._turn:
            if self._held is None:
                self._held = []

    def let_go(self) -> None:
        """Write what was kept, in order (raises EOFError when the connection is gone)."""
        with self._turn:
            held, self._held = self._held, None
            if held:
                super().write_all(b"".join(held))

    def write_all(self, out: Buffer) -> None:
        """Write bytes, or keep them (raises EOFError when the connection is gone)."""
        with self._turn:
            if self._held is None:
                super().write_all(out)
            else:
                self._held.append(bytes(out))
