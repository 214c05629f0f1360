"""Host certificates, as OpenSSH's PROTOCOL.certkeys defines them."""

from __future__ import annotations

from dataclasses import dataclass

import paramiko
from paramiko.pkey import UnknownKeyType

from macfleet.ssh.algorithms import CERTIFIED
from macfleet.ssh.known_hosts import HostKey

_HOST = 2
_FIELDS = {"ssh-ed25519": 1, "ssh-rsa": 2}
"""Public fields of a key by type; ECDSA types have two: curve and point."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What an authority says about a host's key.

    Attributes:
        key: the host's key.
        authority: whose signature is below it.
        kind: 1 for users, 2 for hosts.
        principals: names it is good for; none means every name.
        after: valid from, in seconds since the epoch.
        before: valid until, in seconds since the epoch.
        critical: whether it has options that must be understood; hosts' have none.
        genuine: whether the signature holds.
        signed_with: algorithm of the signature.
    """

    key: HostKey
    authority: HostKey
    kind: int
    principals: tuple[str, ...]
    after: int
    before: int
    critical: bool
    genuine: bool
    signed_with: str

    def objection(self, name: str, now: float) -> str:
        """Return why it is not good for a host of this name now; empty when it is."""
        if not self.genuine:
            return "the signature is not that of the authority"
        if self.kind != _HOST:
            return "it is a user's certificate"
        if not self.after <= now < self.before:
            return "it is not valid yet" if now < self.after else "it has expired"
        if self.principals and name.lower() not in {each.lower() for each in self.principals}:
            return f"it is for {', '.join(self.principals)}, not for {name}"
        return "it has options nobody here understands" if self.critical else ""


def is_certified(shown: HostKey) -> bool:
    """Whether what a server showed is a certificate."""
    return shown.kind.endswith(CERTIFIED)


def read_certificate(shown: HostKey) -> Certificate:
    """Take a certificate apart (raises ValueError when it is none)."""
    message = paramiko.Message(shown.blob)
    kind = message.get_text().removesuffix(CERTIFIED)
    message.get_string()  # nonce
    plain = paramiko.Message()
    plain.add_string(kind)
    for _ in range(_FIELDS.get(kind, 2)):
        plain.add_string(message.get_string())
    message.get_int64()  # serial
    role = message.get_int()
    message.get_string()  # key id
    principals = _strings(message.get_string())
    after, before = message.get_int64(), message.get_int64()
    critical = message.get_string()
    message.get_string()  # extensions
    message.get_string()  # reserved
    authority = message.get_string()
    signed = shown.blob[: len(message.get_so_far())]
    signature = message.get_string()
    known_by = HostKey(paramiko.Message(authority).get_text(), authority)
    return Certificate(
        key=HostKey(kind, plain.asbytes()),
        authority=known_by,
        kind=role,
        principals=principals,
        after=after,
        before=before,
        critical=bool(critical),
        # paramiko's Message fills up what is missing with zeros: nothing may be missing, or left over.
        genuine=len(signed) + 4 + len(signature) == len(shown.blob) and _holds(known_by, signed, signature),
        signed_with=paramiko.Message(signature).get_text(),
    )


def _strings(packed: bytes) -> tuple[str, ...]:
    message, found = paramiko.Message(packed), []
    while message.get_remainder():
        found.append(message.get_text())
    return tuple(found)


def _holds(authority: HostKey, signed: bytes, signature: bytes) -> bool:
    try:
        key = paramiko.PKey.from_type_string(authority.kind, authority.blob)
        return bool(key.verify_ssh_sig(signed, paramiko.Message(signature)))
    except (UnknownKeyType, paramiko.SSHException, ValueError):
        return False
