"""One script on one channel: bytes in, both streams out, an exit status, all before a deadline."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import paramiko
from paramiko.common import cMSG_CHANNEL_REQUEST

from macfleet.ssh.wrapping import after_noise, announcement

SLICE = 256 * 1024
"""Bytes handed to paramiko at once: its own slicing of larger pieces is quadratic in their size."""
READ = 16 * 2**20
"""Bytes read at once: all there is, since paramiko moves what is left over at every read."""
KILLED = 255
"""What `ssh` too reports for a script that a signal ended."""

Sink = Callable[[bytes], None]


class ConversationLate(Exception):
    """The deadline came before the end."""


class ConversationBroken(Exception):
    """The channel closed without an exit status because the connection is gone."""


class ConversationRefused(Exception):
    """The server did not run the command."""


class OutputTooLarge(Exception):
    """One stream exceeded its limit."""


class Conversation:
    """A running script.

    Args:
        channel: an open session that has run nothing yet.
        nonce: marks the line on stderr that announces the process group.
        limit: bytes kept of each stream.
        sink: takes stdout piece by piece; without it stdout is collected.

    Attributes:
        group: the remote process group, once announced.
        announced: set when the group is known; until then nothing of the script has run.
    """

    def __init__(self, channel: paramiko.Channel, nonce: str, limit: int, sink: Sink | None = None) -> None:
        self._channel = channel
        self._nonce = nonce
        self._limit = limit
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._noise = bytearray()
        self._begun = False
        self._sink: Sink = sink if sink is not None else self._collect
        self._wake = _Wake()
        self._feeder: _Feeder | None = None
        self.group: int | None = None
        self.announced = threading.Event()

    def start(self, command: str, pieces: Iterable[bytes]) -> None:
        """Ask for the command and begin to send its stdin, without waiting for either.

        Not waiting for the server's nod saves one round trip: a refusal closes the channel and is
        noticed by `finish`.
        """
        channel = self._channel
        channel.in_buffer.set_event(self._wake)
        channel.in_stderr_buffer.set_event(self._wake)
        request = paramiko.Message()
        request.add_byte(cMSG_CHANNEL_REQUEST)
        request.add_int(channel.remote_chanid)
        request.add_string("exec")
        request.add_boolean(True)
        request.add_string(command)
        # paramiko's own exec_command waits a round trip for the reply.
        channel.get_transport()._send_user_message(request)  # type: ignore[attr-defined]  # noqa: SLF001
        self._feed(pieces)

    def finish(self, until: float) -> tuple[int, bytes, bytes]:
        """Read both streams to their end and return exit status, stdout and stderr.

        Args:
            until: when to give up, on the monotonic clock.

        Raises:
            ConversationLate: it is later than `until`.
            ConversationBroken: the connection is gone.
            ConversationRefused: the server did not run the command.
            OutputTooLarge: a stream exceeded its limit.
        """
        ended = False
        while not ended:
            # The end is looked at before the last read: what arrived ahead of it is then in the buffers.
            ended = bool(self._channel.eof_received) or self._channel.closed
            self._drain()
            if not ended:
                self._sleep(until)
        self._check_feeder()
        if not self._begun and self._noise:
            self._sink(bytes(self._noise))  # no script began: what stood in its place is the answer
        if not self._channel.status_event.wait(max(0.0, until - time.monotonic())):
            raise ConversationLate
        return self._exit(), bytes(self._stdout), self._errors()

    def kill(self, seconds: float) -> bool:
        """Let the server kill the script's process group; return whether it ended in time.

        The ``signal`` request of RFC 4254 6.9; OpenSSH heeds it from 7.9 on, and answers nothing.
        """
        request = paramiko.Message()
        request.add_byte(cMSG_CHANNEL_REQUEST)
        request.add_int(self._channel.remote_chanid)
        request.add_string("signal")
        request.add_boolean(False)
        request.add_string("KILL")
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._channel.get_transport()._send_user_message(request)  # type: ignore[attr-defined]  # noqa: SLF001
        until = time.monotonic() + seconds
        while not self._channel.closed and time.monotonic() < until:
            # What is still on its way must be taken, or the end behind it never comes.
            with contextlib.suppress(OutputTooLarge):
                self._drain()
            self._wake.wait(0.1)
            self._wake.rearm()
        return bool(self._channel.closed)

    def abandon(self) -> None:
        """Close the channel; wakes whoever sends."""
        close_channel(self._channel)

    def hear_group(self, seconds: float) -> None:
        """Listen on for the announcement of the process group, after reading was given up early.

        The server may send what the script wrote first on stderr after what it wrote next on stdout.
        """
        until = time.monotonic() + seconds
        while not self.announced.is_set() and not self._channel.closed and time.monotonic() < until:
            self._drain_stderr()
            if not self.announced.is_set():
                self._wake.wait(0.1)
                self._wake.rearm()

    def _feed(self, pieces: Iterable[bytes]) -> None:
        """Send stdin: at once when it fits the window, so that nothing can block; else on a thread."""
        first = tuple(pieces) if isinstance(pieces, tuple) else None
        if first is not None and sum(map(len, first)) <= min(self._channel.out_window_size, SLICE):
            send_all(self._channel, first)
            return
        self._feeder = _Feeder(self._channel, pieces, self._wake)
        self._feeder.start()

    def _sleep(self, until: float) -> None:
        self._check_feeder()
        remaining = until - time.monotonic()
        if remaining <= 0 or not self._wake.wait(remaining):
            raise ConversationLate
        self._wake.rearm()

    def _drain(self) -> None:
        channel = self._channel
        self._drain_stderr()
        while channel.recv_ready():
            self._hear(channel.recv(READ))

    def _hear(self, data: bytes) -> None:
        """Take a piece of stdout, leaving out what the login shell wrote before the script began."""
        if self._begun:
            self._sink(data)
            return
        self._noise += data
        own = after_noise(self._nonce, bytes(self._noise))
        if own is not None:
            self._begun = True
            self._noise.clear()
            if own:
                self._sink(own)
        elif len(self._noise) > self._limit:
            raise OutputTooLarge

    def _drain_stderr(self) -> None:
        while self._channel.recv_stderr_ready():
            self._stderr += self._channel.recv_stderr(READ)
            self._learn_group()
            if len(self._stderr) > self._limit:
                raise OutputTooLarge

    def _learn_group(self) -> None:
        if not self.announced.is_set():
            said = announcement(self._nonce, bytes(self._stderr[:65536]))
            if said is not None:
                self.group = said[0]
                self.announced.set()

    def _collect(self, data: bytes) -> None:
        self._stdout += data
        if len(self._stdout) > self._limit:
            raise OutputTooLarge

    def _check_feeder(self) -> None:
        if self._feeder is not None and self._feeder.error is not None:
            raise self._feeder.error

    def _exit(self) -> int:
        if self._channel.exit_status >= 0:
            return self._channel.exit_status
        if not self._channel.get_transport().is_active():
            raise ConversationBroken
        if not self._channel.event_ready:
            raise ConversationRefused
        return KILLED

    def _errors(self) -> bytes:
        said = announcement(self._nonce, bytes(self._stderr))
        return bytes(self._stderr) if said is None else said[1]


class _Wake(threading.Event):
    """Set when either stream has something; the streams' own clearing is ignored.

    A stream clears its event when it was read empty, which would hide what the other one just got.
    """

    def clear(self) -> None:
        """Do nothing: a stream does not know about the other."""

    def rearm(self) -> None:
        """Clear, by the only reader and before it reads."""
        super().clear()


class _Feeder(threading.Thread):
    """Sends stdin while the conversation reads; keeps what the source of the bytes raised."""

    def __init__(self, channel: paramiko.Channel, pieces: Iterable[bytes], wake: _Wake) -> None:
        super().__init__(name="macfleet-stdin", daemon=True)
        self._channel = channel
        self._pieces = iter(pieces)
        self._wake = wake
        self.error: BaseException | None = None

    def run(self) -> None:
        """Send everything, then the end of file."""
        try:
            send_all(self._channel, self._pieces)
        except BaseException as error:  # noqa: BLE001  (handed to the reader, who raises it)
            self.error = error
            self._wake.set()


def send_all(channel: paramiko.Channel, pieces: Iterable[bytes]) -> None:
    """Send pieces and the end of file; stops quietly when the other side stopped reading."""
    for view in _slices(pieces):
        rest = view
        while rest:
            try:
                sent = channel.send(rest)  # type: ignore[arg-type]  # takes any buffer
            except OSError:
                return
            if sent == 0:
                return
            rest = rest[sent:]
    try:
        channel.shutdown_write()
    except (OSError, EOFError, paramiko.SSHException):
        return


def close_channel(channel: paramiko.Channel) -> None:
    """Close a channel, whether or not its connection can still be told."""
    # paramiko sends the goodbye and raises EOFError when the connection broke that very moment; what broke it
    # is the error to speak of, not this one.
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        channel.close()


def _slices(pieces: Iterable[bytes]) -> Iterator[memoryview]:
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), SLICE):
            yield view[start : start + SLICE]
