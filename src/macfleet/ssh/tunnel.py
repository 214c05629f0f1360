"""Local ports that lead to a node's loopback."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

import paramiko

_PIECE = 32 * 1024
_OPEN_TIMEOUT = 15.0


@contextlib.contextmanager
def forward(transport: paramiko.Transport, port: int) -> Iterator[int]:
    """Listen on a free port of 127.0.0.1 and forward each connection to the node's 127.0.0.1:`port`.

    A connection that the node refuses is closed at once; the listener stays. All connections end with
    the context.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tunnel = _Tunnel(transport, port, listener)
        tunnel.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            tunnel.stop()


class _Tunnel(threading.Thread):
    """Accepts connections; each gets a thread for either direction, so that neither waits for the other."""

    def __init__(self, transport: paramiko.Transport, port: int, listener: socket.socket) -> None:
        super().__init__(name=f"macfleet-tunnel-{port}", daemon=True)
        self._transport = transport
        self._port = port
        self._listener = listener
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        # Closing a socket does not wake who waits in accept on every system; a byte on a pair does.
        self._woken, self._waker = socket.socketpair()

    def run(self) -> None:
        """Accept until stopped."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    return
                local, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(local,), daemon=True).start()

    def stop(self) -> None:
        """Stop accepting, cut what is open and wait for the accepting thread."""
        self._waker.send(b"x")
        self.join()
        with self._lock:
            left = tuple(self._open)
        for local in left:
            with contextlib.suppress(OSError):
                local.shutdown(socket.SHUT_RDWR)
        self._woken.close()
        self._waker.close()

    def _serve(self, local: socket.socket) -> None:
        with local, self._noted(local):
            local.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                channel = self._transport.open_channel(
                    "direct-tcpip", ("127.0.0.1", self._port), local.getpeername(), timeout=_OPEN_TIMEOUT
                )
            except (paramiko.SSHException, EOFError, OSError):
                return
            with channel:
                back = threading.Thread(target=_from_node, args=(channel, local), daemon=True)
                back.start()
                _to_node(local, channel)
                back.join()

    @contextlib.contextmanager
    def _noted(self, local: socket.socket) -> Iterator[None]:
        with self._lock:
            self._open.add(local)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(local)


def _to_node(local: socket.socket, channel: paramiko.Channel) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while data := local.recv(_PIECE):
            channel.sendall(data)
        channel.shutdown_write()


def _from_node(channel: paramiko.Channel, local: socket.socket) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        while data := channel.recv(_PIECE):
            local.sendall(data)
    with contextlib.suppress(OSError):
        # The node closed its half; if it closed all, reading from the client has no sense either.
        local.shutdown(socket.SHUT_RDWR if channel.closed else socket.SHUT_WR)
