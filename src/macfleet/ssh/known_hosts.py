"""The fleet's own list of host keys, in OpenSSH's known_hosts format."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import hmac
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from macfleet.ssh.config_text import matches_list

_MARKERS = frozenset({"@cert-authority", "@revoked"})


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
    """The entries of one known_hosts file as it was when read; host names count in lower case."""

    def __init__(self, text: str) -> None:
        self._plain: dict[str, list[HostKey]] = {}
        self._others: list[_Entry] = []
        for line in text.split("\n"):
            self._take(line)

    @classmethod
    def read(cls, path: Path) -> KnownHosts:
        """Read a file; a missing one knows nobody (raises OSError for one that cannot be read)."""
        try:
            return cls(_text(path))
        except (FileNotFoundError, NotADirectoryError):
            return cls("")

    def keys(self, name: str) -> tuple[HostKey, ...]:
        """Return every key enrolled for a host name as `host_name` writes it."""
        return (*self._plain.get(name.lower(), ()), *self._marked("", name))

    def authorities(self, name: str) -> tuple[HostKey, ...]:
        """Return every key whose certificates count for a host name (``@cert-authority``)."""
        return self._marked("@cert-authority", name)

    def is_revoked(self, name: str, key: HostKey) -> bool:
        """Whether a key must not be taken for a host name (``@revoked``)."""
        return key in self._marked("@revoked", name)

    def _marked(self, marker: str, name: str) -> tuple[HostKey, ...]:
        return tuple(each.key for each in self._others if each.marker == marker and each.means(name))

    def _take(self, line: str) -> None:
        entry = _parsed(line)
        if entry is None:
            return
        if entry.marker or any(sign in entry.names for sign in "|*?!"):
            self._others.append(entry)
            return
        for name in entry.names.lower().split(","):
            self._plain.setdefault(name, []).append(entry.key)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line: a marker or none, names as written, a key."""

    marker: str
    names: str
    key: HostKey

    def means(self, name: str) -> bool:
        if self.names.startswith("|"):
            return _hash_matches(self.names, name)
        return matches_list(self.names.lower(), name.lower())


def host_name(host: str, port: int) -> str:
    """Return how known_hosts names a host on a port."""
    host = host.lower()
    return host if port == 22 else f"[{host}]:{port}"


def record(path: Path, entries: Mapping[str, HostKey], forget: Iterable[str] = ()) -> None:
    """Add keys to a known_hosts file, replacing it in one step; one process at a time.

    Args:
        path: the file; created with its folder when missing. Where it is a link, what it leads to.
        entries: new key by host name.
        forget: host names whose old keys are dropped; every other line stays as it is.

    Raises:
        OSError: the file or its folder cannot be written.
    """
    gone = frozenset(forget)
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        old = _text(path).split("\n") if path.exists() else []
        kept = [line for line in (_without(line, gone) for line in old) if line is not None]
        known = KnownHosts("\n".join(kept))
        new = [
            f"{name} {key.kind} {base64.b64encode(key.blob).decode()}"
            for name, key in sorted(entries.items())
            if key not in known.keys(name)  # another enrolment was faster
        ]
        while kept and not kept[-1]:
            kept.pop()
        _put(path, "".join(f"{line}\n" for line in (*kept, *new)))


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other enrolments out: what two of them add at once must both be there."""
    with path.with_name(f".{path.name}.lock").open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def _put(path: Path, text: str) -> None:
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".known_hosts-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            if path.exists():  # colleagues who could read it still can
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _text(path: Path) -> str:
    # Bytes that are no text stay as they are when the file is written again, and so do ends of lines.
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def _parsed(line: str) -> _Entry | None:
    """Return what a line says; None for comments and what OpenSSH would not read."""
    fields = line.split()
    marker = fields.pop(0) if fields and fields[0] in _MARKERS else ""
    if len(fields) < 3 or fields[0].startswith(("#", "@")):
        return None
    try:
        blob = base64.b64decode(fields[2], validate=True)
    except ValueError:
        return None
    return _Entry(marker, fields[0], HostKey(fields[1], blob))


def _without(line: str, gone: frozenset[str]) -> str | None:
    """Return a line without the names that are gone; None when nobody is left on it."""
    entry = _parsed(line)
    if entry is None or entry.marker or not gone:
        return line
    names = entry.names.split(",")
    left = [name for name in names if not any(_names(name, host) for host in gone)]
    if not left:
        return None
    return " ".join([",".join(left), *line.split()[1:]]) if len(left) < len(names) else line


def _names(pattern: str, host: str) -> bool:
    return pattern.lower() == host.lower() or _hash_matches(pattern, host)


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
