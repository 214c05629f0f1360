"""paramiko's client without the waits that SSH does not ask for.

What surely follows is sent at once, to servers whose way of work is known: those of OpenSSH. Every override
says what of paramiko 5.1 it relies on.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping

import paramiko
from paramiko.auth_handler import AuthHandler
from paramiko.common import cMSG_CHANNEL_OPEN

from macfleet.model.diagnostic import MacfleetError
from macfleet.ssh.packets import Packets
from macfleet.ssh.wire import Socket

_KNOWN = "SSH-2.0-OpenSSH_"
_FIRST = 0
"""The number OpenSSH gives to the first channel of a connection."""
AHEAD = 256 * 1024
"""Bytes of stdin that are sent before the server says how many it takes."""
_PACKET = 32 * 1024
"""Bytes OpenSSH's server takes in one packet of a session."""
_SERVICE = "ssh-userauth"


class WrongGuess(Exception):
    """The server numbers its channels otherwise: nothing that was sent over `transport` has begun."""

    def __init__(self, transport: Eager) -> None:
        super().__init__()
        self.transport = transport


class Unanswered:
    """A login whose answer is on its way; threads may share it.

    Args:
        transport: the one that asked.
        judge: waits for the answer and returns when the login is granted (else raises MacfleetError).
    """

    def __init__(self, transport: Eager, judge: Callable[[], None]) -> None:
        self._transport, self._judge = transport, judge
        self._turn = threading.Lock()
        self._granted = False
        self._trouble: MacfleetError | None = None

    def granted(self, until: float) -> bool:
        """Wait for the answer until a time of the monotonic clock; return whether the login is granted.

        Raises:
            MacfleetError: it was refused, or not answered in good time; the same for everybody who asks.
        """
        with self._turn:
            if not self._granted and self._trouble is None:
                if not self._transport.hears_answer(until) and time.monotonic() >= until:
                    return False
                try:
                    self._judge()
                    self._granted = True
                except MacfleetError as error:
                    self._trouble = error
        if self._trouble is not None:
            raise self._trouble
        return True


class Eager(paramiko.Transport):
    """A client's transport that waits for fewer answers.

    - The first login request follows its service request at once. A server reads both in order; one that
      refuses the service hangs up, as it would have done anyway (RFC 4253, 10).
    - The first session's requests follow its opening at once, and that the login request: see `open_ahead`.

    Attributes:
        may_guess: whether `open_ahead` may assume a number; set it to False before the first session.
        guessed_wrong: whether the server opened the session under another number: what was sent for it
            reached no session, so nothing of it has begun.
        refusal: why the server did not open the session that `open_ahead` returned.
        userauth: whether the server has accepted the service of logging in.
        unanswered: the login that nobody has waited for so far, when there is one.
    """

    packetizer: Packets
    # Seconds between looks whether the connection was closed here (`Transport.__init__` takes it): a `Wire`
    # says so itself, and ten looks a second at each of twenty idle connections took 1.2 % of a core.
    _active_check_timeout = 1.0
    may_guess = True
    guessed_wrong = False
    refusal: paramiko.ChannelException | None = None
    userauth = False
    unanswered: Unanswered | None = None
    _ahead: paramiko.Channel | None = None

    def __init__(self, sock: Socket, *, window: int, disabled: Mapping[str, Iterable[str]]) -> None:
        self._answer = threading.Event()
        super().__init__(
            sock,  # type: ignore[arg-type]  # what paramiko calls on it is there
            default_window_size=window,
            disabled_algorithms=disabled,
            packetizer_class=Packets,
        )

    @property
    def known(self) -> bool:
        """Whether the server says that it is OpenSSH's."""
        return self.remote_version.startswith(_KNOWN)

    def begin_login(self, username: str, key: paramiko.PKey) -> bool:
        """Ask to log in as `paramiko.Transport.auth_publickey` does (5.1, transport.py:1558).

        Returns whether the request is on its way, so that what is sent from now on comes behind it: not
        where an answer of the server has to come first. Wait for the outcome with `login_answered`.
        """
        if not self.is_active() or not self.initial_kex_done:
            raise paramiko.SSHException("No existing session")
        handler = _Login(self)
        self.auth_handler = handler
        self._answer.clear()
        self._asked = time.monotonic()
        handler.auth_publickey(username, key, self._answer)
        if not self.is_active():  # it ended before it knew whom to tell
            self._answer.set()
        return handler.is_sent

    def hears_answer(self, until: float) -> bool:
        """Wait until a time of the monotonic clock; return whether there is an answer to the login by then.

        The end of the connection is one. paramiko looks ten times a second, which this need not.
        """
        return self._answer.wait(max(0.0, min(until, self._asked + self.auth_timeout) - time.monotonic()))

    def login_answered(self) -> bool:
        """Wait for the answer to `begin_login`; return whether the server lets us in.

        Raises:
            TimeoutError: no answer came in `auth_timeout` seconds.
            SSHException: the connection ended, the key is refused, or keys are (BadAuthenticationType).
        """
        if not self.hears_answer(math.inf):
            raise TimeoutError(f"no answer to the login within {self.auth_timeout:g} s")
        handler = self.auth_handler
        if handler is None or handler.is_authenticated():
            return True
        return not handler.wait_for_response(self._answer)

    def run(self) -> None:
        """Serve the connection; at its end close a session that was taken for open just then, too.

        paramiko closes the channels it knows before it says that it has ended (transport.py:2165 to 2168),
        and wakes who waits for a login only where it was not closed here.
        """
        super().run()
        self._answer.set()
        with self.lock:
            ahead = self._ahead
        if ahead is not None:
            ahead._unlink()  # type: ignore[attr-defined]  # noqa: SLF001

    def open_ahead(self, size: int) -> paramiko.Channel | None:
        """Return a session that is taken for open before the server's answer, or None where that is no use.

        It is asked for together with what is sent next: `Packets.hold` is in force when this returns. A login
        may be unanswered as long as its request is on its way: the server reads what follows when it has
        granted that. Where it does not, nothing of what follows begins.

        The number of the server's end is a guess: OpenSSH gives 0 to the first channel of a connection. It
        opens the session before it reads the next packet, so what is sent at once finds it. Behind an exec
        request it takes 2 MiB of stdin, though it says so later; what is more than it takes it drops.

        Args:
            size: bytes of all that goes to stdin; up to `AHEAD` they may be sent at once, behind the exec
                request, and above it none.

        A session that is not opened closes; then `refusal` or `guessed_wrong` say why. OpenSSH's server
        hangs up on a packet for a session that is not there (``channel_lookup`` fails).
        """
        with self.lock:
            # `_channel_counter` is the number of the next channel (transport.py:1797, `_next_channel`).
            if self._channel_counter != _FIRST or not (self.known and self.may_guess and self.is_active()):  # type: ignore[attr-defined]
                return None
            number: int = self._next_channel()  # type: ignore[attr-defined]
            channel = paramiko.Channel(number)
            # What `open_channel` writes down for its own (transport.py:1041 to 1046).
            self._channels.put(number, channel)  # type: ignore[attr-defined]
            self.channel_events[number] = threading.Event()
            self.channels_seen[number] = True
            channel._set_transport(self)  # type: ignore[attr-defined]  # noqa: SLF001
            channel._set_window(self.default_window_size, self.default_max_packet_size)  # type: ignore[attr-defined]  # noqa: SLF001
            channel._set_remote_channel(_FIRST, size if size <= AHEAD else 0, _PACKET)  # type: ignore[attr-defined]  # noqa: SLF001
            self._ahead = channel
        self.packetizer.hold()
        request = paramiko.Message()
        request.add_byte(cMSG_CHANNEL_OPEN)
        request.add_string("session")
        request.add_int(number)
        request.add_int(self.default_window_size)
        request.add_int(self.default_max_packet_size)
        try:
            self._send_user_message(request)  # type: ignore[attr-defined]
        except BaseException:
            self.packetizer.let_go()
            raise
        return channel

    def lend_window(self, channel: paramiko.Channel, size: int) -> None:
        """Let `size` bytes of stdin follow the exec request at once on a session that is open.

        OpenSSH's server opens it with a window of 0, and widens that when it has started the command, before
        it reads the next packet.
        """
        if self.known and size <= AHEAD and channel.out_window_size == 0:
            channel.out_window_size = size

    def _parse_channel_open_success(self, m: paramiko.Message) -> None:
        """Hang up where the guess was wrong; where it was right all is known but that nobody waits.

        paramiko would take back the window that may be in use by now (transport.py:2847); what the server
        says it takes is added: nothing with OpenSSH, which widens the window later.
        """
        ours, theirs = m.get_int(), m.get_int()
        if self._ahead is None or self._ahead.chanid != ours:
            m.rewind()
            super()._parse_channel_open_success(m)  # type: ignore[misc]
        elif theirs == _FIRST:
            self._ahead._window_adjust(m)  # type: ignore[attr-defined]  # noqa: SLF001 (the next number is it)
            self._ahead = None
            del self.channel_events[ours]
        else:
            self.guessed_wrong = True
            raise paramiko.SSHException(f"the server's first channel has the number {theirs}")

    def _parse_channel_open_failure(self, m: paramiko.Message) -> None:
        """Close a session that was taken for open; paramiko only forgets it (transport.py:2874)."""
        ours = m.get_int()
        m.rewind()
        super()._parse_channel_open_failure(m)  # type: ignore[misc]
        if self._ahead is not None and self._ahead.chanid == ours:
            refusal = self.saved_exception
            self.refusal = refusal if isinstance(refusal, paramiko.ChannelException) else None
            self._ahead._unlink()  # type: ignore[attr-defined]  # noqa: SLF001

    def _parse_debug(self, m: paramiko.Message) -> None:
        """Pass over what sshd tells about a key; paramiko formats it letter by letter, for a log."""


class _Login(AuthHandler):
    """Sends a login request behind the service request, or alone where the service was granted before.

    Relies on `AuthHandler._request_auth` and `_parse_service_accept` of paramiko 5.1 (auth_handler.py:151
    and 327): the one sends the service request, the other, called with the server's answer, the login.
    """

    transport: Eager
    is_sent = False

    def _request_auth(self) -> None:
        self.transport.packetizer.hold()
        try:
            self._request_both()
        finally:
            self.transport.packetizer.let_go()

    def _request_both(self) -> None:
        if not self.transport.userauth:
            super()._request_auth()  # type: ignore[misc]
        if self.transport.userauth or self._is_certain():
            self.is_sent = True
            granted = paramiko.Message()
            granted.add_string(_SERVICE)
            granted.rewind()
            super()._parse_service_accept(granted)  # type: ignore[misc]

    def _is_certain(self) -> bool:
        """Whether the request can be written before the server has said which signatures it takes.

        Only RSA keys have a choice; the server's list comes behind its keys, maybe after this was called.
        """
        key = self.private_key
        if key is None or not self.transport.known:
            return False
        kind, _ = self._get_key_type_and_bits(key)  # type: ignore[attr-defined]
        return "rsa" not in kind or "server-sig-algs" in self.transport.server_extensions  # type: ignore[attr-defined]

    def _parse_service_accept(self, m: paramiko.Message) -> None:
        self.transport.userauth = m.get_text() == _SERVICE
        m.rewind()
        if not self.is_sent:
            super()._parse_service_accept(m)  # type: ignore[misc]
