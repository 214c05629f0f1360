"""The packages that databases of dpkg and apk list as installed, and the system they belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SOURCE = re.compile(r"(\S+)(?: \((.+)\))?")
SYSTEM_FILES = ("etc/os-release", "usr/lib/os-release")
"""Files that name the system of an image; the first is mostly a link to the second."""


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """An installed package.

    Attributes:
        kind: ``deb`` or ``apk``.
        source: name of the source package, empty where it is the same.
    """

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""


def is_dpkg(path: str) -> bool:
    """Whether a path of an image is a database of dpkg; distroless images have one a package."""
    return path == "var/lib/dpkg/status" or (
        path.startswith("var/lib/dpkg/status.d/") and not path.endswith(".md5sums")
    )


def is_apk(path: str) -> bool:
    """Whether a path of an image is the database of apk."""
    return path in ("lib/apk/db/installed", "usr/lib/apk/db/installed")


def packages_in(path: str, text: bytes) -> tuple[Package, ...]:
    """Return the packages a database lists as installed, sorted; none for other files."""
    lines = text.decode("utf-8", "replace")
    if is_dpkg(path):
        return tuple(sorted(filter(None, map(_deb, _stanzas(lines, ": ")))))
    if is_apk(path):
        return tuple(sorted(filter(None, map(_apk, _stanzas(lines, ":")))))
    return ()


def system_of(text: bytes) -> str:
    """Return what os-release says of the system: id and version, such as ``debian 12``; empty for neither."""
    pairs = (line.partition("=") for line in text.decode("utf-8", "replace").splitlines())
    said = {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
    return f"{said.get('ID', '')} {said.get('VERSION_ID', '')}".strip()


def _stanzas(text: str, mark: str) -> Iterator[Mapping[str, str]]:
    for stanza in re.split(r"\n\s*\n", text):
        pairs = (line.partition(mark) for line in stanza.splitlines() if not line.startswith((" ", "\t")))
        fields = {key: value.strip() for key, found, value in pairs if found}
        if fields:
            yield fields


def _deb(fields: Mapping[str, str]) -> Package | None:
    """Return a package of dpkg; None for one that was removed. Databases of one package say no status."""
    if not fields.get("Package") or fields.get("Status", "installed").split()[-1:] != ["installed"]:
        return None
    source = _SOURCE.fullmatch(fields.get("Source", ""))
    named = source[1] if source and source[1] != fields["Package"] else ""
    return Package("deb", fields["Package"], fields.get("Version", ""), fields.get("Architecture", ""), named)


def _apk(fields: Mapping[str, str]) -> Package | None:
    if not fields.get("P"):
        return None
    origin = fields.get("o", "")
    named = origin if origin != fields["P"] else ""
    return Package("apk", fields["P"], fields.get("V", ""), fields.get("A", ""), named)
