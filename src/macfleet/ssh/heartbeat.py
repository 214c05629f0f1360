"""Connections whose peer fell silent are closed before anything's deadline."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

import paramiko
from paramiko.common import cMSG_GLOBAL_REQUEST

from macfleet.ssh.options import Options
from macfleet.ssh.wire import Socket

_INTERVAL = 15
_COUNT = 2
_LONGEST = 600
_TICK = 0.5
_BROKEN = (EOFError, OSError, paramiko.SSHException)


@dataclass(slots=True, eq=False)
class Watch:
    """One connection under observation.

    Attributes:
        interval: seconds without a byte from the peer until it is asked, and between questions.
        limit: seconds without a byte after which it is given up.
        silent: how long it had been silent when it was given up; 0 before.
    """

    transport: paramiko.Transport
    sock: Socket
    interval: float
    limit: float
    asked: float = field(default=0.0)
    silent: float = field(default=0.0)


class Heartbeat:
    """Asks silent peers for a sign of life, and closes connections that give none.

    The kernel's keepalive sees a dead network, but not a peer that is stopped: its kernel goes on
    acknowledging. paramiko's own keepalive asks for no answer (paramiko 5.1, `set_keepalive`).
    One thread serves all connections; it begins with the first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, transport: paramiko.Transport, sock: Socket, options: Options) -> Watch:
        """Observe a connection until it ends; ServerAliveInterval and ServerAliveCountMax are followed.

        An interval of 0, which switches ssh's questions off, means the default: no wait is endless here.
        """
        interval = options.alive_interval or _INTERVAL
        count = options.alive_count if options.alive_interval else _COUNT
        seen = Watch(transport, sock, interval, min(interval * (count + 1), _LONGEST))
        with self._lock:
            self._watches.add(seen)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="macfleet-heartbeat", daemon=True)
                self._thread.start()
        return seen

    def close(self) -> None:
        """Stop observing."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_TICK):
            with self._lock:
                self._watches = {each for each in self._watches if each.transport.is_active()}
                watches = tuple(self._watches)
            for each in watches:
                _look(each, time.monotonic())


def _look(watch: Watch, now: float) -> None:
    silence = now - watch.sock.last_heard
    if silence >= watch.limit:
        watch.silent = silence
        # In a thread of its own: closing waits for paramiko's, and others are watched meanwhile.
        threading.Thread(target=watch.transport.close, daemon=True).start()
    elif silence >= watch.interval and now - watch.asked >= watch.interval:
        watch.asked = now
        _ask(watch)


def _ask(watch: Watch) -> None:
    """Send a request that the peer must answer; any answer will do, and a full line is not waited for."""
    if not watch.sock.takes_bytes() or not watch.transport.clear_to_send.is_set():
        return
    question = paramiko.Message()
    question.add_byte(cMSG_GLOBAL_REQUEST)
    question.add_string("keepalive@openssh.com")
    question.add_boolean(True)
    with contextlib.suppress(*_BROKEN):
        # paramiko's global_request waits for the answer, or asks for none.
        watch.transport._send_user_message(question)  # type: ignore[attr-defined]  # noqa: SLF001
