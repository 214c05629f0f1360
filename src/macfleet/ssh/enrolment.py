"""Host keys into the fleet's list, with fingerprints for people to compare."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.node import Node
from macfleet.model.ports import Clock
from macfleet.ssh import distrust
from macfleet.ssh.askpass import Passphrases
from macfleet.ssh.dialer import Dialer
from macfleet.ssh.known_hosts import HostKey, record
from macfleet.ssh.namesakes import Namesakes
from macfleet.ssh.private_keys import Passphrase, PrivateKeys
from macfleet.ssh.route import Hop, Route, Routes, Say
from macfleet.ssh.trust import Trust

_Judged: TypeAlias = "tuple[Enrolment, HostKey | None]"
"""One host's row, and its key when it is to be written."""
_KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


class EnrolmentOutcome(StrEnum):
    """What became of a host key."""

    NEW = "new"
    KNOWN = "known"
    CHANGED = "changed"
    REPLACED = "replaced"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


_LISTING = frozenset({EnrolmentOutcome.NEW, EnrolmentOutcome.CHANGED, EnrolmentOutcome.REPLACED})


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One host's row.

    Attributes:
        node: inventory name; a jump host carries the name of the node it leads to.
        host: name in known_hosts.
        key_type: such as ``ssh-ed25519``; empty when no key was seen.
        fingerprint: ``SHA256:…``; empty when no key was seen.
        outcome: `changed` and `refused` keys are not written.
        diagnostics: why not, when the outcome is no success.
        before: fingerprints of the keys that are listed for the host and are not this one.
    """

    node: str
    host: str
    key_type: str
    fingerprint: str
    outcome: EnrolmentOutcome
    diagnostics: tuple[Diagnostic, ...] = ()
    before: tuple[str, ...] = ()


def enrol(
    nodes: Iterable[Node],
    known_hosts: Path,
    replace: bool = False,  # noqa: FBT001, FBT002  (the word of the command line)
    *,
    others: Iterable[Node] = (),
    connect_limit: int = 16,
    clock: Clock | None = None,
    ssh_config: Path | None = None,
    passphrase: Passphrase | None = None,
    say: Say = lambda _: None,
) -> tuple[Enrolment, ...]:
    """Fetch each node's host key and write the new ones to the fleet's known_hosts.

    Jump hosts on the way are enrolled first. A key that differs from the pin is refused, one that
    differs from the enrolled key is written with `replace` only, or where it is the pinned one. Nodes of
    one name, as those of one private address behind different jump hosts, are refused when their keys
    differ: either could answer for the other. No node's trouble stops another.

    Args:
        nodes: whom to ask.
        known_hosts: the fleet's list.
        replace: take a key that changed.
        others: the rest of the fleet: nodes whose names in known_hosts must stay theirs.
        connect_limit: connections being opened at once.
        clock: waits between attempts; the system's when None.
        ssh_config: read instead of the user's and the system's files when given.
        passphrase: knows the passphrases of private keys.
        say: takes a warning for each setting of ssh_config that is not followed.

    Returns:
        One row a host, in the order of the nodes.

    Raises:
        MacfleetError: E0428, the list cannot be read or written.
    """
    chosen = tuple(nodes)
    routes = Routes(ssh_config, say)
    private = PrivateKeys(passphrase if passphrase is not None else Passphrases())
    plans = [_planned(routes, node) for node in chosen]
    rows: list[Enrolment] = [plan for plan in plans if isinstance(plan, Enrolment)]
    known_routes = [plan for plan in plans if isinstance(plan, tuple)]
    namesakes = Namesakes(Routes(ssh_config), (*chosen, *others))
    # Level by level: a host behind a jump host can be asked once the jump host is trusted.
    for depth in range(1, 1 + max(map(len, known_routes), default=0)):
        wave = _due(known_routes, depth)
        judged = _wave(wave, known_hosts, connect_limit, clock, private, namesakes, replace=replace)
        _write(judged, known_hosts)
        rows += [row for row, _ in judged]
    order = {node.name: place for place, node in enumerate(chosen)}
    return tuple(sorted(rows, key=lambda row: order[row.node]))


def _planned(routes: Routes, node: Node) -> Route | Enrolment:
    try:
        return routes.to(node)
    except MacfleetError as error:
        host = node.endpoint.host
        return Enrolment(node.name, host, "", "", EnrolmentOutcome.UNREACHABLE, error.diagnostics)


def _due(routes: Sequence[Route], depth: int) -> tuple[Route, ...]:
    """Return what is asked at one depth: every node that ends there, and each jump host once."""
    nodes = [route for route in routes if len(route) == depth]
    taken = {tuple(hop.name for hop in route) for route in nodes}
    jumps: dict[tuple[str, ...], Route] = {}
    for route in routes:
        names = tuple(hop.name for hop in route[:depth])
        if len(route) > depth and names not in taken:
            jumps.setdefault(names, route[:depth])
    return (*jumps.values(), *nodes)


def _wave(
    wave: Sequence[Route],
    path: Path,
    limit: int,
    clock: Clock | None,
    private: PrivateKeys,
    namesakes: Namesakes,
    *,
    replace: bool,
) -> list[_Judged]:
    known = Trust(path)
    dialer = Dialer(known, connect_limit=limit, clock=clock, private=private)
    try:
        with ThreadPoolExecutor(max_workers=max(1, min(limit, len(wave)))) as threads:
            judged = list(threads.map(lambda route: _judge(dialer, known, route, replace=replace), wave))
    finally:
        dialer.close()
    shown: dict[str, dict[str, str]] = defaultdict(dict)
    for row, _ in judged:
        shown[row.host][row.node] = row.fingerprint
    return [
        _apart(found, route, namesakes, shown[found[0].host])
        for route, found in zip(wave, judged, strict=True)
    ]


def _apart(judged: _Judged, route: Route, namesakes: Namesakes, shown: Mapping[str, str]) -> _Judged:
    """Refuse a key that another Mac of the same name does not have.

    Args:
        judged: what was found.
        route: the way there.
        namesakes: knows the others.
        shown: fingerprints by node, of those of this name that were asked just now.
    """
    row, _ = judged
    if row.outcome not in _LISTING or not (row.before or len(set(shown.values())) > 1):
        return judged
    # Of a node that was not asked nothing is known, but the key that is listed may be its own.
    clash = sorted(
        name
        for name in namesakes.of(route)
        if (shown[name] != row.fingerprint if shown.get(name) else bool(row.before))
    )
    if not clash:
        return judged
    if route[-1].pin:
        return dataclasses.replace(row, outcome=EnrolmentOutcome.KNOWN, before=()), None
    found = distrust.same_name(row.node, row.host, f"{row.fingerprint} ({row.key_type})", tuple(clash))
    return dataclasses.replace(row, outcome=EnrolmentOutcome.REFUSED, diagnostics=(found,)), None


def _write(judged: Sequence[_Judged], path: Path) -> None:
    """Write the keys that are to be written (raises MacfleetError E0428)."""
    written = {row.host: key for row, key in judged if key is not None}
    forgotten = [row.host for row, _ in judged if row.outcome is EnrolmentOutcome.REPLACED]
    if not written:
        return
    try:
        record(path, written, forgotten)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MacfleetError(distrust.list_unusable(str(path), "written", reason)) from error


def _judge(dialer: Dialer, known: Trust, route: Route, *, replace: bool) -> _Judged:
    hop = route[-1]
    enrolled = known.keys(hop)
    try:
        shown = _shown(dialer, route, enrolled)
    except MacfleetError as error:
        return Enrolment(hop.node, hop.name, "", "", EnrolmentOutcome.UNREACHABLE, error.diagnostics), None
    outcome, why = _outcome(known, hop, shown, enrolled, replace=replace)
    before = () if shown in enrolled else tuple(key.fingerprint for key in enrolled)
    row = Enrolment(hop.node, hop.name, shown.kind, shown.fingerprint, outcome, why, before)
    return row, shown if outcome in {EnrolmentOutcome.NEW, EnrolmentOutcome.REPLACED} else None


def _outcome(
    known: Trust, hop: Hop, shown: HostKey, enrolled: Sequence[HostKey], *, replace: bool
) -> tuple[EnrolmentOutcome, tuple[Diagnostic, ...]]:
    try:
        known.refuse_revoked(hop, shown)
    except NodeUnreachable as error:
        return EnrolmentOutcome.REFUSED, error.diagnostics
    if hop.pin and shown.fingerprint != hop.pin:
        return EnrolmentOutcome.REFUSED, (distrust.pin_mismatch(hop.node, hop.name, str(shown), hop.pin),)
    if shown in enrolled:
        return EnrolmentOutcome.KNOWN, ()
    if not enrolled:
        return EnrolmentOutcome.NEW, ()
    if replace or hop.pin:
        return EnrolmentOutcome.REPLACED, ()
    known_keys = tuple(str(key) for key in enrolled)
    return EnrolmentOutcome.CHANGED, (distrust.changed_key(hop.node, hop.name, str(shown), known_keys),)


def _shown(dialer: Dialer, route: Route, enrolled: Sequence[HostKey]) -> HostKey:
    """Return the key a host shows; where one is pinned, of the type that fits the pin if any does."""
    pin = route[-1].pin
    key = dialer.host_key(route, [known.kind for known in enrolled])
    if not pin or key.fingerprint == pin:
        return key
    for kind in _KINDS:
        if kind != key.kind:
            other = dialer.host_key(route, [kind])
            if other.fingerprint == pin:
                return other
    return key
