"""Why a host key is not trusted, or the list of them cannot be used, as diagnostics with their mend."""

from __future__ import annotations

from macfleet.model.diagnostic import Diagnostic
from macfleet.model.exit_codes import ExitCode
from macfleet.model.shell import quote


def unknown_key(node: str, place: str, shown: str, known_hosts: str) -> Diagnostic:
    """The server's host key is in nobody's list."""
    return Diagnostic(
        code="E0402",
        summary=f"unknown host key of {place}: {shown}",
        why=f"{known_hosts} has no key of this host, and macfleet never trusts one unasked.",
        mend=f"Compare the fingerprint with the Mac's own, then `macfleet enrol {quote(node)}`.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def changed_key(node: str, place: str, shown: str, known: tuple[str, ...]) -> Diagnostic:
    """The server shows another key than the one that was enrolled."""
    return Diagnostic(
        code="E0403",
        summary=f"the host key of {place} changed: it shows {shown}, enrolled was {', '.join(known)}",
        why="The Mac was installed anew, or somebody answers in its place. Nothing was sent to it.",
        mend=f"If the Mac was re-imaged: `macfleet enrol {quote(node)} --replace`.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def pin_mismatch(node: str, place: str, shown: str, pin: str) -> Diagnostic:
    """The server shows another key than the one the inventory pins."""
    return Diagnostic(
        code="E0404",
        summary=f"the host key of {place} is not the pinned one: it shows {shown}, pinned is {pin}",
        why="The inventory pins the host key of this node; no other key is accepted or enrolled.",
        mend="If the Mac was re-imaged, put the new fingerprint into the inventory's `host_key`.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def revoked(node: str, place: str, shown: str) -> Diagnostic:
    """The server shows a key that somebody ruled out."""
    return Diagnostic(
        code="E0419",
        summary=f"the host key of {place} is revoked: {shown}",
        why="A @revoked line of known_hosts rules it out. Nothing was sent to the host.",
        mend=f"Give the host a new key, then `macfleet enrol {quote(node)} --replace`.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def bad_certificate(node: str, place: str, reason: str) -> Diagnostic:
    """The server shows a certificate of a known authority that is not good for it."""
    return Diagnostic(
        code="E0420",
        summary=f"the host certificate of {place} is not good: {reason}",
        why="A @cert-authority line of known_hosts names its authority. Nothing was sent to the host.",
        mend="Look at it with `ssh-keygen -L -f`, and sign the host's key again.",
        node=node,
        exit_code=ExitCode.UNREACHABLE,
    )


def same_name(node: str, place: str, shown: str, others: tuple[str, ...]) -> Diagnostic:
    """Several nodes have one name in known_hosts, and different keys."""
    return Diagnostic(
        code="E0429",
        summary=f"{place} is the name of {', '.join((node, *others))} in known_hosts, and their keys differ: "
        f"{node} shows {shown}",
        why="Taken as it is, either Mac could answer in the other's place. Nothing was written.",
        mend="Pin each key as `host_key` in the inventory, or give each node a HostKeyAlias in ssh_config.",
        node=node,
        exit_code=ExitCode.USAGE,
    )


def list_unusable(path: str, what: str, reason: str) -> Diagnostic:
    """The fleet's own list cannot be read or written."""
    return Diagnostic(
        code="E0428",
        summary=f"the list of host keys cannot be {what}: {path}: {reason}",
        why="Without it no host key can be judged, and none is trusted unasked.",
        mend=f"Look at who owns it: `ls -ld {quote(path)}`. `macfleet enrol -l all` writes it anew.",
        exit_code=ExitCode.USAGE,
    )
