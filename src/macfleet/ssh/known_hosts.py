"""The fleet's own list of host keys, in OpenSSH's known_hosts format."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostKey:
    """A server's public key.

    Attributes:
        kind: key type such as ``ssh-ed25519``.
        blob: the key in SSH wire format.
    """

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """The ``SHA256:…`` form OpenSSH prints."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.kind.removeprefix('ssh-')})"


class KnownHosts:
    """The entries of one known_hosts file as it was when read."""

    def __init__(self, text: str) -> None:
        self._plain: dict[str, list[HostKey]] = {}
        self._hashed: list[tuple[str, HostKey]] = []
        for line in text.splitlines():
            self._take(line)

    @classmethod
    def read(cls, path: Path) -> KnownHosts:
        """Read a file; a missing one knows nobody."""
        return cls(path.read_text(errors="replace") if path.exists() else "")

    def keys(self, name: str) -> tuple[HostKey, ...]:
        """Return every key enrolled for a host name as `host_name` writes it."""
        hashed = (key for pattern, key in self._hashed if _hash_matches(pattern, name))
        return (*self._plain.get(name, ()), *hashed)

    def _take(self, line: str) -> None:
        parsed = _parsed(line)
        if parsed is None:
            return
        names, key = parsed
        for name in names:
            if name.startswith("|"):
                self._hashed.append((name, key))
            else:
                self._plain.setdefault(name, []).append(key)


def host_name(host: str, port: int) -> str:
    """Return how known_hosts names a host on a port."""
    return host if port == 22 else f"[{host}]:{port}"


def record(path: Path, entries: Mapping[str, HostKey], forget: Iterable[str] = ()) -> None:
    """Add keys to a known_hosts file, replacing it in one step.

    Args:
        path: the file; created with its folder when missing.
        entries: new key by host name.
        forget: host names whose old keys are dropped; every other line stays as it is.
    """
    gone = frozenset(forget)
    old = path.read_text(errors="replace").splitlines() if path.exists() else []
    kept = [line for line in (_without(line, gone) for line in old) if line is not None]
    new = [
        f"{name} {key.kind} {base64.b64encode(key.blob).decode()}" for name, key in sorted(entries.items())
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".known_hosts-")
    with os.fdopen(handle, "w") as file:
        file.writelines(f"{line}\n" for line in (*kept, *new))
        file.flush()
        os.fsync(file.fileno())
    Path(draft).replace(path)


def _parsed(line: str) -> tuple[list[str], HostKey] | None:
    """Return names and key of a line; None for comments, markers and what OpenSSH would not read."""
    fields = line.split()
    if len(fields) < 3 or line.lstrip().startswith(("#", "@")):
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except ValueError:
        return None
    return fields[0].split(","), HostKey(fields[1], blob)


def _without(line: str, gone: frozenset[str]) -> str | None:
    parsed = _parsed(line)
    if parsed is None or not gone:
        return line
    left = [name for name in parsed[0] if not any(_names(name, host) for host in gone)]
    if not left:
        return None
    return " ".join([",".join(left), *line.split()[1:]]) if len(left) < len(parsed[0]) else line


def _names(pattern: str, host: str) -> bool:
    return pattern == host or _hash_matches(pattern, host)


def _hash_matches(pattern: str, name: str) -> bool:
    """Whether a hashed entry ``|1|salt|hash`` (HMAC-SHA1 of the name) means this host."""
    parts = pattern.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, digest = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except ValueError:
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), hashlib.sha1).digest(), digest)
