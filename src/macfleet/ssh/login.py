"""Logging in with keys: from files, from an agent, with certificates and passphrases."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko.agent import AgentKey
from paramiko.auth_strategy import AuthSource, AuthStrategy
from paramiko.pkey import PublicBlob

from macfleet.model.secret import Secret
from macfleet.ssh.agent import agent_keys
from macfleet.ssh.certificate import read_certificate
from macfleet.ssh.known_hosts import HostKey
from macfleet.ssh.route import Hop

Passphrase = Callable[[str], Secret | None]
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


@dataclass(slots=True)
class _Files:
    """Private keys and certificates read from files; remembers what could not be used."""

    passphrase: Passphrase
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def key(self, path: str) -> paramiko.PKey | None:
        """Return a private key; None, and the reason remembered, when it cannot be used."""
        try:
            return paramiko.PKey.from_path(path)
        except TypeError:
            return self._with_passphrase(path)
        except FileNotFoundError:
            self._cannot(path, "there is no such file")
        except OSError as error:
            self._cannot(path, error.strerror or str(error))
        except (ValueError, paramiko.SSHException):
            self._cannot(path, "it is no private key")
        return None

    def _with_passphrase(self, path: str) -> paramiko.PKey | None:
        phrase = self.passphrase(path)
        if phrase is None:
            self._cannot(path, "it needs a passphrase and the agent does not hold it")
            return None
        try:
            # paramiko says str; cryptography, below it, takes bytes only.
            return paramiko.PKey.from_path(path, phrase.reveal().encode())  # type: ignore[arg-type]
        except (TypeError, ValueError, OSError, paramiko.SSHException):
            self._cannot(path, "the passphrase is not the right one")
            return None

    def certificates(self, paths: Sequence[str]) -> list[PublicBlob]:
        """Return the certificates of files; those that cannot be read are passed over, as ssh does."""
        found = []
        for path in paths:
            with contextlib.suppress(OSError, ValueError):
                found.append(PublicBlob.from_string(Path(path).read_text(encoding="utf-8")))
        return found

    def _cannot(self, path: str, reason: str) -> None:
        self.unusable.append((path, reason))


class Login(AuthStrategy):
    """Offers keys until one is accepted.

    First the identities in their order, from the agent where it holds them, each with its certificates
    before the bare key; then, unless ssh_config says IdentitiesOnly, what else the agent holds; last the
    usual files of ``~/.ssh``, when nobody names an identity.
    """

    def __init__(self, hop: Hop, passphrase: Passphrase) -> None:
        super().__init__(ssh_config=None)  # type: ignore[arg-type]  # it is only kept there
        self._hop = hop
        self._files = _Files(passphrase)

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
                    raise LoginRefused(tried, self._files.unusable, ended=len(tried) > 1) from None
                if not left:
                    return
        raise LoginRefused(tried, self._files.unusable, ended=False)

    def _offers(self, held: Sequence[AgentKey]) -> Iterator[_Offer]:
        hop = self._hop
        plain = {key.asbytes(): key for key in held if not _is_certified(key)}
        configured = self._files.certificates(hop.options.certificates)
        offered: set[bytes] = set()
        for path in hop.identities:
            yield from self._identity(path, plain, configured, offered)
        if not hop.options.identities_only:
            for key in held:
                if _is_certified(key) or key.asbytes() not in offered:
                    yield _Offer(f"agent key {key.comment or key.get_name()}", key)
        if hop.search:
            for name in _USUAL:
                path = str(Path("~/.ssh").expanduser() / name)
                if Path(path).exists():
                    yield from self._identity(path, plain, configured, offered)

    def _identity(
        self, path: str, held: dict[bytes, AgentKey], configured: Sequence[PublicBlob], offered: set[bytes]
    ) -> Iterator[_Offer]:
        public = _public_half(path)
        key: paramiko.PKey | None = held.get(public) if public is not None else None
        if key is None:
            key = self._files.key(path)
        if key is None or key.asbytes() in offered:
            return
        offered.add(key.asbytes())
        beside = self._files.certificates([f"{path.removesuffix('.pub')}-cert.pub"])
        for certificate in (*configured, *beside):
            if _certifies(certificate, key):
                key.public_blob = certificate
                yield _Offer(f"{path} with a certificate", key)
        key.public_blob = None
        yield _Offer(path, key)


def no_passphrase(_: str) -> Secret | None:
    """Know no passphrase."""
    return None


def _is_certified(key: paramiko.PKey) -> bool:
    return key.public_blob is not None


def _public_half(path: str) -> bytes | None:
    """Return the public key beside a private one, or in the file itself when it is a public key."""
    try:
        text = Path(f"{path.removesuffix('.pub')}.pub").read_text(encoding="utf-8")
        return base64.b64decode(text.split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _certifies(certificate: PublicBlob, key: paramiko.PKey) -> bool:
    try:
        return read_certificate(HostKey(certificate.key_type, certificate.key_blob)).key.blob == key.asbytes()
    except (ValueError, IndexError):
        return False
