"""Logging in with keys: from files, from an agent, with certificates and passphrases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.agent import AgentKey
from paramiko.auth_strategy import AuthSource, AuthStrategy
from paramiko.pkey import PublicBlob

from macfleet.ssh.agent import agent_keys
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
    """

    def __init__(self, hop: Hop, keys: PrivateKeys) -> None:
        super().__init__(ssh_config=None)  # type: ignore[arg-type]  # it is only kept there
        self._hop = hop
        self._keys = keys
        self._unusable: list[tuple[str, str]] = []

    def get_sources(self) -> Iterator[AuthSource]:
        """Return nothing: `authenticate` does not go through paramiko's list, which cannot end early."""
        return iter(())

    def authenticate(self, transport: paramiko.Transport) -> None:  # type: ignore[override]
        """Log in (raises LoginRefused when no key is accepted, and SSHException when the server goes)."""
        tried: list[str] = []
        with agent_keys(self._hop.options.agent) as held:
            for offer in self._offers(held):
                tried.append(offer.label)
                try:
                    left = transport.auth_publickey(self._hop.user, offer.key)
                except paramiko.BadAuthenticationType:
                    break
                except paramiko.SSHException:
                    if transport.is_active():
                        continue
                    raise LoginRefused(tried, self._unusable, ended=len(tried) > 1) from None
                if not left:
                    return
        raise LoginRefused(tried, self._unusable, ended=False)

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
        if hop.search:
            for name in _USUAL:
                path = str(Path("~/.ssh").expanduser() / name)
                if Path(path).exists():
                    yield from self._identity(path, plain, configured, offered)

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
