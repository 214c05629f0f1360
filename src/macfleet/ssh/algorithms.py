"""Which ciphers, key exchanges, MACs and key types are offered, and what ssh_config makes of them."""

from __future__ import annotations

import paramiko

from macfleet.ssh.config_text import matches

CIPHERS = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
"""GCM first: twice as fast as CTR, and paramiko 5.1 lists it last."""
CERTIFIED = "-cert-v01@openssh.com"
_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
USER_KEYS = _KEYS
"""Algorithms a user's key or an authority's may sign with."""


def chosen(written: str, ours: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a list of ssh_config leaves of the algorithms macfleet offers, in its order.

    ``+`` adds, ``-`` takes away by pattern, ``^`` puts first, as with ssh; an algorithm macfleet does not
    offer is never added: what is missing here is weak, or unknown to paramiko.

    Raises:
        ValueError: none is left.
    """
    sign, names = (written[:1], written[1:]) if written[:1] in "+-^" and written else ("", written)
    wanted = names.split(",") if names else []
    if sign == "-":
        left = tuple(each for each in ours if not any(matches(pattern, each) for pattern in wanted))
    elif sign == "+" or not written:
        left = ours
    else:
        first = tuple(each for each in wanted if each in ours)
        left = (*first, *(each for each in ours if sign == "^" and each not in first))
    if not left:
        raise ValueError(f'of "{written}" macfleet offers none; it offers {", ".join(ours)}')
    return left


def host_key_algorithms(kinds: tuple[str, ...], *, certified: bool) -> tuple[str, ...]:
    """Return the host key algorithms in order of preference.

    Args:
        kinds: types of the keys that are known, which are asked for first.
        certified: whether an authority is known for the host: then certificates come before all.
    """
    known = sorted(_KEYS, key=lambda name: not any(_same(name, kind) for kind in kinds))
    return (*(f"{name}{CERTIFIED}" for name in _KEYS if certified), *known)


def set_up(transport: paramiko.Transport, keys: tuple[str, ...], written: dict[str, str]) -> None:
    """Tell a transport what to offer: nothing weak, and nothing slow where there is a choice.

    A Diffie-Hellman group exchange costs ten times the CPU of curve25519.

    Args:
        transport: not started yet.
        keys: host key algorithms in order of preference.
        written: lists of ssh_config by keyword.

    Raises:
        ValueError: a list of ssh_config leaves nothing.
    """
    options = transport.get_security_options()
    options.ciphers = chosen(written.get("ciphers", ""), CIPHERS)
    kex = tuple(name for name in options.kex if not name.startswith("diffie-hellman"))
    options.kex = chosen(_with_alias(written.get("kexalgorithms", "")), kex)
    macs = tuple(name for name in options.digests if name.startswith("hmac-sha2"))
    options.digests = chosen(written.get("macs", ""), macs)
    options.key_types = chosen(written.get("hostkeyalgorithms", ""), keys)


def too_small(key: paramiko.PKey, bits: int) -> bool:
    """Whether a key is an RSA key below a size."""
    return "rsa" in key.get_name() and key.get_bits() < bits


def _with_alias(written: str) -> str:
    # One algorithm under two names; paramiko 5.1 knows the older one.
    return written.replace("curve25519-sha256@libssh.org", "curve25519-sha256").replace(
        "curve25519-sha256", "curve25519-sha256@libssh.org"
    )


def _same(algorithm: str, kind: str) -> bool:
    return algorithm == kind or (kind == "ssh-rsa" and algorithm.startswith("rsa-sha2"))
