"""Which host keys are trusted: the pin of the inventory, the fleet's list, and files ssh_config names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from macfleet.model.diagnostic import MacfleetError, NodeUnreachable
from macfleet.ssh import distrust, trouble
from macfleet.ssh.algorithms import USER_KEYS, chosen
from macfleet.ssh.certificate import Certificate, is_certified, read_certificate
from macfleet.ssh.known_hosts import HostKey, KnownHosts
from macfleet.ssh.route import Hop


class Trust:
    """Judges host keys; threads may share it.

    A pin decides alone. Else a certificate of an authority that is known for the host is good, and a key
    that is listed for it; a revoked one never is.

    Args:
        fleet: the fleet's own list.
        now: seconds since the epoch, for certificates; the system's clock when None.

    Raises:
        MacfleetError: E0428, the fleet's list cannot be read.
    """

    def __init__(self, fleet: Path, now: Callable[[], float] | None = None) -> None:
        self._fleet = fleet
        self._now: Callable[[], float] = now if now is not None else time.time
        self._lists = {str(fleet): _own(fleet)}
        self._lock = threading.Lock()

    def keys(self, hop: Hop) -> tuple[HostKey, ...]:
        """Return the keys that are listed for a host."""
        return tuple(key for each in self._lists_for(hop) for key in each.keys(hop.name))

    def authorities(self, hop: Hop) -> tuple[HostKey, ...]:
        """Return the authorities whose certificates count for a host."""
        return tuple(key for each in self._lists_for(hop) for key in each.authorities(hop.name))

    def check(self, hop: Hop, shown: HostKey) -> None:
        """Raise NodeUnreachable unless what the server showed is trusted."""
        certificate = _certificate(hop, shown)
        key = certificate.key if certificate is not None else shown
        self.refuse_revoked(hop, shown)
        if hop.pin:
            if key.fingerprint != hop.pin:
                raise NodeUnreachable(distrust.pin_mismatch(hop.node, hop.name, str(key), hop.pin))
            return
        if certificate is not None and certificate.authority in self.authorities(hop):
            objection = self._objection(hop, certificate)
            if objection:
                raise NodeUnreachable(distrust.bad_certificate(hop.node, hop.name, objection))
            return
        listed = self.keys(hop)
        if key not in listed and listed:
            known = tuple(str(each) for each in listed)
            raise NodeUnreachable(distrust.changed_key(hop.node, hop.name, str(key), known))
        if key not in listed:
            raise NodeUnreachable(distrust.unknown_key(hop.node, hop.name, str(key), str(self._fleet)))

    def _objection(self, hop: Hop, certificate: Certificate) -> str:
        wanted = dict(hop.options.algorithms).get("casignaturealgorithms", "")
        if certificate.signed_with not in chosen(wanted, USER_KEYS):
            return f"it is signed with {certificate.signed_with}"
        return certificate.objection(hop.options.alias or hop.host, self._now())

    def refuse_revoked(self, hop: Hop, shown: HostKey) -> None:
        """Raise NodeUnreachable when a key, or the authority behind it, is revoked for the host."""
        certificate = _certificate(hop, shown)
        keys = (shown,) if certificate is None else (certificate.key, certificate.authority)
        for key in keys:
            if any(each.is_revoked(hop.name, key) for each in self._lists_for(hop)):
                raise NodeUnreachable(distrust.revoked(hop.node, hop.name, str(key)))

    def _lists_for(self, hop: Hop) -> tuple[KnownHosts, ...]:
        with self._lock:
            for name in hop.options.known_hosts:
                if name not in self._lists:
                    self._lists[name] = _read(hop, name)
            return tuple(self._lists[name] for name in (str(self._fleet), *hop.options.known_hosts))


def _own(fleet: Path) -> KnownHosts:
    try:
        return KnownHosts.read(fleet)
    except OSError as error:
        reason = error.strerror or str(error)
        raise MacfleetError(distrust.list_unusable(str(fleet), "read", reason)) from error


def _read(hop: Hop, name: str) -> KnownHosts:
    try:
        return KnownHosts.read(Path(name))
    except OSError as error:
        raise MacfleetError(trouble.bad_config(hop.node, f"{name}: {error.strerror}")) from error


def _certificate(hop: Hop, shown: HostKey) -> Certificate | None:
    if not is_certified(shown):
        return None
    try:
        return read_certificate(shown)
    except (ValueError, IndexError) as error:
        reason = f"it cannot be read: {error}"
        raise NodeUnreachable(distrust.bad_certificate(hop.node, hop.name, reason)) from error
