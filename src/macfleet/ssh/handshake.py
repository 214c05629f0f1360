"""From a socket to a logged-in connection whose host key was checked before anything else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import paramiko

from macfleet.model.diagnostic import NodeUnreachable
from macfleet.ssh import trouble
from macfleet.ssh.known_hosts import HostKey, KnownHosts
from macfleet.ssh.route import Hop
from macfleet.ssh.wire import Wire

Socket = Wire | paramiko.Channel | paramiko.ProxyCommand
KeyCheck = Callable[[Hop, HostKey], None]

_WINDOW = 16 * 2**20
"""Receive window: 2 MiB would cap a download at 35 MB/s where the round trip is 50 ms."""
_BANNER_TIMEOUT = 15.0
_KEX_TIMEOUT = 20.0
_AUTH_TIMEOUT = 20.0
_CHANNEL_TIMEOUT = 15.0
_KEEPALIVE = 15
_CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
# paramiko prints tracebacks of its threads when nobody listens to its logger; diagnostics say it better.
_SILENCE = logging.NullHandler()


class ResetBeforeLogin(Exception):
    """The server hung up before authentication; trying again later is harmless."""

    def __init__(self, heard: str) -> None:
        super().__init__(heard)
        self.heard = heard


def log_in(hop: Hop, sock: Socket, known: KnownHosts, check: KeyCheck) -> paramiko.SSHClient:
    """Exchange keys, check the host key, then authenticate.

    Args:
        hop: who is called.
        sock: a connected socket, or a channel through the hop before.
        known: says which key types to ask for first.
        check: raises NodeUnreachable when the host key is not to be trusted.

    Raises:
        NodeUnreachable: the host key or the login was refused, or the protocol failed.
        ResetBeforeLogin: the server hung up before authentication.
    """
    logging.getLogger("paramiko").addHandler(_SILENCE)
    _need_identities(hop)
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(_Policy(hop, check))
    kinds = tuple(key.kind for key in known.keys(hop.name))
    try:
        client.connect(
            hop.host,
            port=hop.port,
            username=hop.user,
            key_filename=list(hop.identities),  # type: ignore[arg-type]  # a list is documented
            look_for_keys=hop.search,
            allow_agent=True,
            compress=False,
            timeout=_KEX_TIMEOUT,
            banner_timeout=_BANNER_TIMEOUT,
            auth_timeout=_AUTH_TIMEOUT,
            channel_timeout=_CHANNEL_TIMEOUT,
            sock=sock,
            transport_factory=lambda *args, **kwargs: _transport(*args, kinds=kinds, **kwargs),
        )
        _transport_of(client).set_keepalive(_KEEPALIVE)
    except NodeUnreachable:
        client.close()
        raise
    except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
        begun = _begun(client)
        client.close()
        raise _explained(hop, sock, error, begun=begun) from error
    return client


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
    transport = _transport(sock, kinds=kinds)
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

    def __init__(self, hop: Hop, check: KeyCheck) -> None:
        self._hop = hop
        self._check = check

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:  # noqa: ARG002
        """Judge the key the server showed."""
        self._check(self._hop, _shown(key))


def _transport(
    sock: Socket, *, kinds: Sequence[str], disabled_algorithms: object = None
) -> paramiko.Transport:
    """Return a transport that prefers what is fast and offers nothing weak.

    A Diffie-Hellman group exchange costs ten times the CPU of curve25519; GCM is twice as fast as CTR.
    """
    del disabled_algorithms  # paramiko passes it; the options below are complete
    transport = paramiko.Transport(sock, default_window_size=_WINDOW)
    options = transport.get_security_options()
    options.ciphers = _CIPHERS
    options.kex = [name for name in options.kex if not name.startswith("diffie-hellman")]
    options.digests = [name for name in options.digests if name.startswith("hmac-sha2")]
    options.key_types = sorted(
        options.key_types, key=lambda name: not any(_same(name, kind) for kind in kinds)
    )
    return transport


def _same(algorithm: str, kind: str) -> bool:
    return algorithm == kind or (kind == "ssh-rsa" and algorithm.startswith("rsa-sha2"))


def _shown(key: paramiko.PKey) -> HostKey:
    return HostKey(key.get_name(), key.asbytes())


def _transport_of(client: paramiko.SSHClient) -> paramiko.Transport:
    transport = client.get_transport()
    if transport is None:
        raise paramiko.SSHException("the connection is gone")
    return transport


def _begun(client: paramiko.SSHClient) -> bool:
    """Whether authentication began: from then on nothing is tried again."""
    transport = client.get_transport()
    return transport is not None and transport.auth_handler is not None


def _need_identities(hop: Hop) -> None:
    for identity in hop.identities:
        if not hop.search and not Path(identity).is_file() and len(hop.identities) == 1:
            raise NodeUnreachable(trouble.identity_unusable(hop.node, identity, "there is no such file"))


def _explained(hop: Hop, sock: Socket, error: Exception, *, begun: bool) -> Exception:
    """Return what to raise for a failed handshake."""
    if isinstance(error, paramiko.PasswordRequiredException):
        reason = "it needs a passphrase and the agent does not hold it"
        return NodeUnreachable(trouble.identity_unusable(hop.node, ", ".join(hop.identities), reason))
    if begun and isinstance(error, paramiko.SSHException):
        tried = ", ".join((*hop.identities, "keys of the agent", *(["~/.ssh"] if hop.search else [])))
        return NodeUnreachable(trouble.login_refused(hop.node, hop.name, hop.user, tried))
    heard = sock.heard if isinstance(sock, Wire) else b""
    said = "" if heard.startswith(b"SSH-") else heard.decode("ascii", "replace").strip()
    if said.startswith("Not allowed at this time"):
        return NodeUnreachable(trouble.penalised(hop.node, hop.name))
    if not begun and _hung_up(sock):
        return ResetBeforeLogin("".join(letter for letter in said if letter.isprintable())[:80])
    reason = str(error) or type(error).__name__
    return NodeUnreachable(trouble.no_answer(hop.node, hop.name, reason))


def _hung_up(sock: Socket) -> bool:
    if isinstance(sock, Wire):
        return sock.hung_up
    return isinstance(sock, paramiko.Channel) and bool(sock.eof_received or sock.closed)
