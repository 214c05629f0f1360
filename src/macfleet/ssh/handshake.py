"""From a socket to a logged-in connection whose host key was checked before anything else."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import paramiko

from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.ssh import trouble
from macfleet.ssh.ahead import Eager, Unanswered
from macfleet.ssh.algorithms import USER_KEYS, chosen, host_key_algorithms, set_up, too_small
from macfleet.ssh.known_hosts import HostKey
from macfleet.ssh.login import Login, LoginRefused
from macfleet.ssh.private_keys import PrivateKeys
from macfleet.ssh.route import Hop
from macfleet.ssh.trust import Trust
from macfleet.ssh.wire import VERSION, Piped, Socket

_WINDOW = 16 * 2**20
"""Receive window: 2 MiB would cap a download at 35 MB/s where the round trip is 50 ms."""
_BANNER_TIMEOUT = 15.0
_KEX_TIMEOUT = 20.0
_AUTH_TIMEOUT = 20.0
_CHANNEL_TIMEOUT = 15.0
# paramiko prints tracebacks of its threads when nobody listens to its logger; diagnostics say it better.
_SILENCE = logging.NullHandler()


class ResetBeforeLogin(Exception):
    """The server hung up before authentication; trying again later is harmless."""

    def __init__(self, heard: str) -> None:
        super().__init__(heard)
        self.heard = heard


def log_in(
    hop: Hop, sock: Socket, trust: Trust, private: PrivateKeys, *, ahead: bool = False
) -> paramiko.SSHClient:
    """Exchange keys, check the host key, then authenticate.

    Args:
        hop: who is called.
        sock: a connected socket, or a stream through the hop before.
        trust: judges the host key, and says which key types to ask for first.
        private: reads private keys.
        ahead: leave the answer to the login to `Eager.unanswered` where the server can read on meanwhile.

    Raises:
        NodeUnreachable: the host key or the login was refused, or the protocol failed.
        ResetBeforeLogin: the server hung up before authentication.
        MacfleetError: E0414, ssh_config leaves no algorithm.
    """
    logging.getLogger("paramiko").addHandler(_SILENCE)
    _need_identities(hop)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_Policy(hop, trust))
    kinds = tuple(key.kind for key in trust.keys(hop))
    keys = host_key_algorithms(kinds, certified=bool(trust.authorities(hop)) and not hop.pin)
    login = Login(hop, private, ahead=ahead)
    with _explaining(hop, sock, client):
        client.connect(
            hop.host,
            port=hop.port,
            username=hop.user,
            compress=False,
            timeout=_KEX_TIMEOUT,
            banner_timeout=_BANNER_TIMEOUT,
            auth_timeout=_AUTH_TIMEOUT,
            channel_timeout=_CHANNEL_TIMEOUT,
            sock=sock,  # type: ignore[arg-type]  # what paramiko calls on it is there
            transport_factory=lambda sock, **_: _transport(hop, sock, keys),
            auth_strategy=login,
        )
    transport = client.get_transport()
    if login.unanswered and isinstance(transport, Eager):
        transport.unanswered = Unanswered(transport, lambda: _hear(hop, sock, client, transport, login))
    return client


def _hear(hop: Hop, sock: Socket, client: paramiko.SSHClient, transport: Eager, login: Login) -> None:
    with _explaining(hop, sock, client):
        login.answer(transport)


@contextlib.contextmanager
def _explaining(hop: Hop, sock: Socket, client: paramiko.SSHClient) -> Iterator[None]:
    """Close what fails, and say what failed."""
    try:
        yield
    except MacfleetError:
        client.close()
        raise
    except LoginRefused as refused:
        client.close()
        raise NodeUnreachable(_refused(hop, refused)) from refused
    except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
        begun = _begun(client)
        client.close()
        raise _explained(hop, sock, error, begun=begun) from error


def host_key_of(hop: Hop, sock: Socket, kinds: Sequence[str]) -> HostKey:
    """Return the key a server shows, without logging in.

    Args:
        hop: who is called.
        sock: a connected socket, or a channel through the hop before.
        kinds: key types to ask for first.

    Raises:
        NodeUnreachable: the protocol failed.
        ResetBeforeLogin: the server hung up.
    """
    logging.getLogger("paramiko").addHandler(_SILENCE)
    transport = _transport(hop, sock, host_key_algorithms(tuple(kinds), certified=False))
    try:
        transport.banner_timeout = _BANNER_TIMEOUT
        transport.start_client(timeout=_KEX_TIMEOUT)
        return _shown(transport.get_remote_server_key())
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise _explained(hop, sock, error, begun=False) from error
    finally:
        transport.close()


class _Policy(paramiko.MissingHostKeyPolicy):
    """Sends every host key through our own check: no known_hosts is ever given to paramiko."""

    def __init__(self, hop: Hop, trust: Trust) -> None:
        self._hop = hop
        self._trust = trust

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """Judge the key the server showed."""
        if too_small(key, self._hop.options.rsa_bits):
            reason = f"its RSA host key has {key.get_bits()} bits, less than RequiredRSASize"
            raise NodeUnreachable(trouble.no_answer(self._hop.node, self._hop.name, reason))
        self._trust.check(self._hop, _shown(key))


def _transport(hop: Hop, sock: Socket, keys: tuple[str, ...]) -> Eager:
    """Return a transport that offers what macfleet and ssh_config both want."""
    written = dict(hop.options.algorithms)
    accepted = written.pop("pubkeyacceptedalgorithms", "")
    try:
        refused = set(USER_KEYS) - set(chosen(accepted, USER_KEYS))
        transport = Eager(
            sock,
            window=_WINDOW,
            disabled={"pubkeys": sorted(refused)},
        )
        transport.local_version = VERSION  # the line that a stream sends ahead
        set_up(transport, keys, written)
    except ValueError as error:
        raise MacfleetError(trouble.bad_config(hop.node, str(error))) from error
    return transport


def _shown(key: paramiko.PKey) -> HostKey:
    certificate = key.public_blob
    if certificate is not None:
        return HostKey(certificate.key_type, certificate.key_blob)
    return HostKey(key.get_name(), key.asbytes())


def _begun(client: paramiko.SSHClient) -> bool:
    """Whether authentication began: from then on nothing is tried again."""
    transport = client.get_transport()
    return transport is not None and transport.auth_handler is not None


def _need_identities(hop: Hop) -> None:
    if len(hop.identities) != 1 or hop.search:
        return
    if hop.identities == hop.options.identities and not hop.options.identities_only:
        return  # as with ssh, the agent may hold a key that will do
    identity = hop.identities[0]
    if not Path(identity).is_file() and not Path(f"{identity}.pub").is_file():
        raise NodeUnreachable(trouble.identity_unusable(hop.node, identity, "there is no such file"))


def _refused(hop: Hop, refused: LoginRefused) -> Diagnostic:
    """Return why no key was accepted: the identity that could not be used, if it was the only hope."""
    if refused.unusable and not refused.tried:
        (identity, reason), *_ = refused.unusable
        return trouble.identity_unusable(hop.node, identity, reason)
    tried = [*refused.tried, *(f"{identity} not, {reason}" for identity, reason in refused.unusable)]
    return trouble.login_refused(
        hop.node, hop.name, hop.user, "; ".join(tried) or "nothing, there is no key", ended=refused.ended
    )


def _explained(hop: Hop, sock: Socket, error: Exception, *, begun: bool) -> Exception:
    """Return what to raise for a failed handshake."""
    if begun and isinstance(error, paramiko.SSHException):
        return NodeUnreachable(trouble.login_refused(hop.node, hop.name, hop.user, str(error), ended=True))
    if isinstance(sock, Piped) and sock.hung_up:
        sock.close()
        if complaint := sock.complaint():
            return NodeUnreachable(trouble.proxy_failed(hop.node, hop.name, hop.proxy_command, complaint))
    heard = sock.heard
    said = "" if heard.startswith(b"SSH-") else heard.decode("ascii", "replace").strip()
    if said.startswith("Not allowed at this time"):
        return NodeUnreachable(trouble.penalised(hop.node, hop.name))
    if not begun and sock.hung_up:
        return ResetBeforeLogin("".join(letter for letter in said if letter.isprintable())[:80])
    reason = str(error) or type(error).__name__
    if reason == "No existing session":  # paramiko's words for a key exchange that did not end in time
        reason = f"no key exchange within {_KEX_TIMEOUT:g} s"
    return NodeUnreachable(trouble.no_answer(hop.node, hop.name, reason))
