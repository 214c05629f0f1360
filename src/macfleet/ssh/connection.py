"""A kept connection to one node: runs scripts, ends them, forwards ports."""

from __future__ import annotations

import contextlib
import functools
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import paramiko

from macfleet.model.diagnostic import DeadlineExceeded, MacfleetError, NodeUnreachable
from macfleet.model.ports import Completed
from macfleet.ssh import trouble
from macfleet.ssh.ahead import Eager, WrongGuess
from macfleet.ssh.conversation import (
    Conversation,
    ConversationBroken,
    ConversationLate,
    ConversationRefused,
    OutputTooLarge,
    close_channel,
)
from macfleet.ssh.endings import end_groups
from macfleet.ssh.heartbeat import Watch
from macfleet.ssh.slots import Slots, is_refusal
from macfleet.ssh.tunnel import forward
from macfleet.ssh.wrapping import as_command, on_stdin, shell_on_stdin

_SESSIONS = 8
"""Scripts at once on one connection: sshd allows ten sessions, ending a script takes one more."""
_REFUSALS = 2 * _SESSIONS
"""Times a script asks for a session in vain; each time one place fewer is left, so one finds its place."""
_OPEN_TIMEOUT = 15.0
_PATIENCE = 1.0
"""Seconds to wait for a script that is to be ended to say which process group it is."""
OUTPUT_LIMIT = 64 * 2**20
_BROKEN = (EOFError, OSError, paramiko.SSHException)

Watched = tuple[paramiko.SSHClient, Eager, Watch]
Session = tuple[Eager, paramiko.Channel]


class Connection:
    """The `Transport` port over one paramiko connection; threads may share it.

    Args:
        node: inventory name.
        client: logged in.
        transport: the client's.
        output_limit: bytes kept of each stream of a script; more is an error, never a cut answer.
        watch: knows whether the peer was given up for its silence.
        again: logs in once more, for a server that numbers its sessions in another way than was guessed.

    Attributes:
        execs: sessions opened so far, each one exec.
    """

    def __init__(
        self,
        node: str,
        client: paramiko.SSHClient,
        transport: Eager,
        *,
        output_limit: int = OUTPUT_LIMIT,
        watch: Watch | None = None,
        again: Callable[[], Watched] | None = None,
    ) -> None:
        self._node = node
        self._watch = watch
        self._output_limit = output_limit
        self._client = client
        self._transport = transport
        self._again = again
        self._redialling = threading.Lock()
        self._slots = Slots(_SESSIONS)
        self._lock = threading.Lock()
        self._running: set[Conversation] = set()
        self._closed = False
        self._uses = 0
        self._idle_since = time.monotonic()
        self.execs = 0

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, or will once somebody runs a script."""
        return not self._closed and (self._transport.is_active() or self._transport.guessed_wrong)

    @property
    def idle_since(self) -> float | None:
        """When the last script or tunnel ended, on the monotonic clock; None while one is there."""
        with self._lock:
            return None if self._uses else self._idle_since

    def run(
        self,
        script: str,
        *,
        deadline: float,
        stdin: Iterable[bytes] | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run POSIX sh in one exec; the contract is that of `Transport.run`.

        Whatever ends the call early, the deadline, an interrupt or a sink that raises, also ends the
        script's process group on the node.
        """
        nonce = f"macfleet-{secrets.token_hex(8)}"
        with self._in_use():
            if stdin is None:
                command, pieces = shell_on_stdin(nonce), (on_stdin(script, nonce),)
                return self._converse(command, pieces, nonce, deadline, sink)
            return self._converse(as_command(script, nonce), stdin, nonce, deadline, sink)

    @contextlib.contextmanager
    def tunnel(self, port: int) -> Iterator[int]:
        """Forward a free local port to `port` of the node's loopback; yields the local port."""
        with self._in_use():
            self._logged_in(self._transport, math.inf)
            with forward(self._transport, port) as local:
                yield local

    def end_running(self) -> None:
        """End the process groups of scripts that run now; whoever waits for one sees it killed."""
        with self._lock:
            running = tuple(self._running)
        for talk in running:
            talk.announced.wait(_PATIENCE)
        self._end(running)

    def close(self) -> None:
        """End what still runs on the node and close the connection; safe to call twice."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            self.end_running()
        self._client.close()

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        with self._lock:
            self._uses += 1
        try:
            yield
        finally:
            with self._lock:
                self._uses -= 1
                self._idle_since = time.monotonic()

    def _converse(
        self,
        command: str,
        pieces: Iterable[bytes],
        nonce: str,
        deadline: float,
        sink: Callable[[bytes], None] | None,
    ) -> Completed:
        until = time.monotonic() + deadline
        talk = functools.partial(self._talk, command, pieces, nonce, until, deadline, sink)
        try:
            return talk()
        except WrongGuess as wrong:
            self._dial_again(wrong.transport)
        return talk()

    def _dial_again(self, before: Eager) -> None:
        """Log in once more unless somebody has: nothing has run on the connection before."""
        with self._redialling:
            if self._transport is before and self._again is not None:
                self._client.close()
                self._client, self._transport, self._watch = self._again()
            if self._closed:
                self._client.close()

    def _talk(
        self,
        command: str,
        pieces: Iterable[bytes],
        nonce: str,
        until: float,
        deadline: float,
        sink: Callable[[bytes], None] | None,
    ) -> Completed:
        # Only stdin that is there as a whole can be sent a second time.
        stdin = sum(map(len, pieces)) if isinstance(pieces, tuple) else None
        with self._session(until, deadline, stdin) as (transport, channel):
            talk = Conversation(channel, nonce, self._output_limit, sink)
            with self._watched(talk, transport, deadline):
                transport.packetizer.hold()
                talk.start(command, pieces)
                transport.packetizer.let_go()
                self._logged_in(transport, until)
                exit_status, stdout, stderr = talk.finish(until)
        return Completed(exit_status, stdout, stderr)

    @contextlib.contextmanager
    def _watched(self, talk: Conversation, transport: Eager, deadline: float) -> Iterator[None]:
        """Translate what goes wrong, and end the remote script whenever we stop listening early."""
        with self._lock:
            self._running.add(talk)
        try:
            yield
        except (ConversationBroken, ConversationRefused, EOFError, paramiko.SSHException) as error:
            raise self._not_done(transport, error) from error
        except ConversationLate as error:
            raise DeadlineExceeded(trouble.too_late(self._node, deadline, self._give_up(talk))) from error
        except OutputTooLarge as error:
            self._give_up(talk)
            raise MacfleetError(trouble.too_much(self._node, self._output_limit)) from error
        except BaseException:
            self._give_up(talk)
            raise
        finally:
            with self._lock:
                self._running.discard(talk)
            talk.abandon()

    @contextlib.contextmanager
    def _session(self, until: float, deadline: float, stdin: int | None) -> Iterator[Session]:
        transport, channel = self._wait_for_session(until, deadline, stdin)
        try:
            yield transport, channel
        finally:
            close_channel(channel)
            with contextlib.suppress(*_BROKEN):
                transport.packetizer.let_go()
            self._slots.give_back()

    def _wait_for_session(self, until: float, deadline: float, stdin: int | None) -> Session:
        """Return a session, waiting for others to end where the server opens no more."""
        refusals = 0
        while self._slots.take(until):
            transport, left = self._transport, until - time.monotonic()
            try:
                channel = self._open(transport, max(0.1, min(_OPEN_TIMEOUT, left)), stdin)
            except _BROKEN as error:
                if not is_refusal(error, transport):
                    self._slots.give_back()
                    raise self._lost(transport, "a session was opened", error) from error
                refusals += 1
                if not self._slots.give_back_refused() or refusals > _REFUSALS:
                    raise NodeUnreachable(trouble.session_refused(self._node, str(error))) from error
            except BaseException:
                self._slots.give_back()
                raise
            else:
                self._slots.opened()
                return transport, channel
        raise DeadlineExceeded(trouble.too_late(self._node, deadline, "It never started."))

    def _open(self, transport: Eager, limit: float, stdin: int | None = None) -> paramiko.Channel:
        channel = transport.open_ahead(stdin) if stdin is not None else None
        if channel is None:
            self._logged_in(transport, math.inf)
            channel = transport.open_session(timeout=limit)
            transport.lend_window(channel, stdin or 0)
        with self._lock:
            self.execs += 1
        return channel

    def _logged_in(self, transport: Eager, until: float) -> None:
        """Wait for a login's answer (raises NodeUnreachable when it was refused, and ConversationLate)."""
        if transport.unanswered is not None and not transport.unanswered.granted(until):
            raise ConversationLate

    def _give_up(self, talk: Conversation) -> str:
        """End the script of a conversation that this thread stops reading; say what came of it."""
        with contextlib.suppress(OutputTooLarge):
            talk.hear_group(_PATIENCE)
        return self._end((talk,))

    def _end(self, talks: Iterable[Conversation]) -> str:
        return end_groups(talks, lambda: self._open(self._transport, _OPEN_TIMEOUT), _OPEN_TIMEOUT)

    def _not_done(self, transport: Eager, error: BaseException) -> Exception:
        if transport.refusal is not None:
            return NodeUnreachable(trouble.session_refused(self._node, str(transport.refusal)))
        if isinstance(error, ConversationRefused) and not transport.guessed_wrong:
            return NodeUnreachable(trouble.session_refused(self._node, "the exec request failed"))
        return self._lost(transport, "a script ran", error)

    def _lost(self, transport: Eager, doing: str, error: BaseException) -> Exception:
        if transport.guessed_wrong and self._again is not None:
            return WrongGuess(transport)
        if transport.unanswered is not None:
            try:
                transport.unanswered.granted(math.inf)
            except MacfleetError as refused:
                return refused
        if self._watch is not None and self._watch.silent:
            return NodeUnreachable(trouble.fell_silent(self._node, doing, self._watch.silent))
        # What broke under a writer is broken for whoever asks next, too: the reader has to see it first.
        transport.join(_PATIENCE)
        cause = transport.get_exception() or error
        reason = "it was closed here" if self._closed else str(cause) or type(cause).__name__
        return NodeUnreachable(trouble.connection_lost(self._node, doing, reason))
