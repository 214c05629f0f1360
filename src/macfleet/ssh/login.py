"""Logging in with keys: from files, from an agent, with certificates and passphrases."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.agent import AgentKey
from paramiko.auth_strategy import AuthSource, AuthStrategy
from paramiko.pkey import PublicBlob

from macfleet.ssh.agent import agent_keys
from macfleet.ssh.ahead import Eager
from macfleet.ssh.algorithms import too_small
from macfleet.ssh.certificate import read_certificate
from macfleet.ssh.known_hosts import HostKey
from macfleet.ssh.private_keys import KeyUnusable, PrivateKeys
from macfleet.ssh.route import Hop

_USUAL = ("id_ed25519", "id_ecdsa", "id_rsa")


class LoginRefused(Exception):
    """No key was accepted.

    Attributes:
        tried: what was offered, in order.
        unusable: identities that could not be offered, each with the reason.
        ended: whether the server hung up before everything was tried.
    """

    def __init__(self, tried: Sequence[str], unusable: Sequence[tuple[str, str]], *, ended: bool) -> None:
        super().__init__(", ".join(tried))
        self.tried = tuple(tried)
        self.unusable = tuple(unusable)
        self.ended = ended


@dataclass(frozen=True, slots=True)
class _Offer:
    label: str
    key: paramiko.PKey


class Login(AuthStrategy):
    """Offers keys until one is accepted.

    First the identities in their order, from the agent where it holds them, each with its certificates
    before the bare key; then, unless ssh_config says IdentitiesOnly, what else the agent holds; last the
    usual files of ``~/.ssh``, when nobody names an identity.

    Args:
        hop: who is called.
        keys: reads private keys.
        ahead: leave without the answer where the only key there is was offered: see `unanswered`.

    Attributes:
        unanswered: whether a request is on its way whose answer nobody waited for; `answer` does.
    """

    def __init__(self, hop: Hop, keys: PrivateKeys, *, ahead: bool = False) -> None:
        super().__init__(ssh_config=None)  # type: ignore[arg-type]  # it is only kept there
        self._hop = hop
        self._keys = keys
        self._ahead = ahead
        self._tried: list[str] = []
        self._unusable: list[tuple[str, str]] = []
        self.unanswered = False

    def get_sources(self) -> Iterator[AuthSource]:
        """Return nothing: `authenticate` does not go through paramiko's list, which cannot end early."""
        return iter(())

    def authenticate(self, transport: paramiko.Transport) -> None:  # type: ignore[override]
        """Log in.

        Raises:
            LoginRefused: no key is accepted, or the server hung up.
            TimeoutError: the server does not answer.
        """
        if not isinstance(transport, Eager):
            raise TypeError(f"{transport!r} was not opened here")
        with agent_keys(self._hop.options.agent) as held:
            for offer in self._offers(held):
                self._tried.append(offer.label)
                with self._next_where_refused(transport):
                    is_sent = transport.begin_login(self._hop.user, offer.key)
                    self.unanswered = is_sent and self._ahead and self._is_only(offer, held)
                    if self.unanswered or transport.login_answered():
                        return
        raise self._refused()

    def answer(self, transport: Eager) -> None:
        """Wait for the answer to a login that is unanswered; raises the same as `authenticate`."""
        with self._next_where_refused(transport):
            if transport.login_answered():
                return
        raise self._refused()

    @contextlib.contextmanager
    def _next_where_refused(self, transport: Eager) -> Iterator[None]:
        try:
            yield
        except paramiko.BadAuthenticationType:
            raise self._refused() from None
        except paramiko.SSHException:
            if not transport.is_active():
                raise self._refused(ended=len(self._tried) > 1) from None

    def _refused(self, *, ended: bool = False) -> LoginRefused:
        return LoginRefused(self._tried, self._unusable, ended=ended)

    def _is_only(self, offer: _Offer, held: Sequence[AgentKey]) -> bool:
        """Whether there is surely nothing to offer after this; not where that takes reading a key."""
        others = () if self._hop.options.identities_only else held
        return (
            len(self._hop.identities) + len(self._usual()) <= 1
            and not (self._hop.identities and _is_certified(offer.key))
            and all(key.asbytes() == offer.key.asbytes() for key in others)
        )

    def _offers(self, held: Sequence[AgentKey]) -> Iterator[_Offer]:
        hop = self._hop
        plain = {key.asbytes(): key for key in held if not _is_certified(key)}
        configured = [self._keys.certificate(each) for each in hop.options.certificates]
        offered: set[bytes] = set()
        for path in hop.identities:
            yield from self._identity(path, plain, configured, offered)
        if not hop.options.identities_only:
            for key in held:
                seen = not _is_certified(key) and key.asbytes() in offered
                if not seen and not too_small(key, hop.options.rsa_bits):
                    yield _Offer(f"agent key {key.comment or key.get_name()}", key)
        for path in self._usual():
            yield from self._identity(path, plain, configured, offered)

    def _usual(self) -> list[str]:
        if not self._hop.search:
            return []
        paths = [Path("~/.ssh").expanduser() / name for name in _USUAL]
        return [str(path) for path in paths if path.exists()]

    def _identity(
        self,
        path: str,
        held: dict[bytes, AgentKey],
        configured: Sequence[PublicBlob | None],
        offered: set[bytes],
    ) -> Iterator[_Offer]:
        public = self._keys.public_half(path)
        key: paramiko.PKey | None = held.get(public) if public is not None else None
        if key is None:
            try:
                key = self._keys.load(path)
            except KeyUnusable as error:
                self._unusable.append((path, str(error)))
        if key is None or key.asbytes() in offered:
            return
        if too_small(key, self._hop.options.rsa_bits):
            self._unusable.append((path, f"it has {key.get_bits()} bits, less than RequiredRSASize"))
            return
        offered.add(key.asbytes())
        beside = self._keys.certificate(f"{path.removesuffix('.pub')}-cert.pub")
        for certificate in (*configured, beside):
            if certificate is not None and _certifies(certificate, key):
                key.public_blob = certificate
                yield _Offer(f"{path} with a certificate", key)
        key.public_blob = None
        yield _Offer(path, key)


def _is_certified(key: paramiko.PKey) -> bool:
    return key.public_blob is not None


def _certifies(certificate: PublicBlob, key: paramiko.PKey) -> bool:
    try:
        return read_certificate(HostKey(certificate.key_type, certificate.key_blob)).key.blob == key.asbytes()
    except (ValueError, IndexError):
        return False
