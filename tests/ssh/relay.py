"""A TCP relay before a server: counts what passes, can be cut, and can fall silent without closing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress


class Relay:
    """Relays every connection to 127.0.0.1:`target`.

    The first callers are turned away with what `turn_away` says.

    Attributes:
        up: bytes that went from clients to the server.
        connections: how many were accepted.
    """

    def __init__(self, target: int, turn_away: Iterable[bytes] = ()) -> None:
        self._target = target
        self._turn_away = list(turn_away)
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._flows = threading.Event()
        self._flows.set()
        self._cut_after: int | None = None
        self._due: tuple[int, Callable[[], None]] | None = None
        self.up = 0
        self.connections = 0
        self._run(self._accept)

    def fall_silent(self) -> None:
        """Pass nothing on any more, in neither direction, and keep every connection open."""
        self._flows.clear()

    def speak_again(self) -> None:
        """Pass on again what comes, and what was held back."""
        self._flows.set()

    def cut_after(self, count: int) -> None:
        """Cut every connection once so many bytes went up in all."""
        self._cut_after = count

    def when(self, count: int, do: Callable[[], None]) -> None:
        """Do something once so many bytes went up in all, and pass nothing on from then."""
        self._due = (count, do)

    def cut(self) -> None:
        """Cut every connection now."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._flows.set()
        self._door.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(10)
        for end in (self._door, *self._open):
            end.close()

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._door.accept()
            except OSError:
                return
            self.connections += 1
            if self._turn_away:
                with caller:
                    caller.recv(64)
                    caller.sendall(self._turn_away.pop(0))
                continue
            inner = socket.create_connection(("127.0.0.1", self._target))
            self._open += [caller, inner]
            self._run(self._pour, caller, inner, True)
            self._run(self._pour, inner, caller, False)

    def _pour(self, source: socket.socket, target: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                if up:
                    self.up += len(data)
                    if self._cut_after is not None and self.up > self._cut_after:
                        self._cut_after = None
                        self.cut()
                        return
                    if self._due is not None and self.up > self._due[0]:
                        do, self._due = self._due[1], None
                        do()
                        return
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def relay(target: int, turn_away: Iterable[bytes] = ()) -> Iterator[Relay]:
    made = Relay(target, turn_away)
    try:
        yield made
    finally:
        made.close()
