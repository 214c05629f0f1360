"""Package URLs, as far as statements about vulnerabilities and bills of materials need them."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.facts.scan import Finding

_PLAIN = frozenset((string.ascii_letters + string.digits + ".-_~").encode())
_ENCODED = re.compile("(?:%[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True)
class PackageUrl:
    """The parts of ``pkg:TYPE/NAMESPACE/NAME@VERSION?QUALIFIERS`` that name something, decoded.

    Attributes:
        path: namespace and name, such as ``debian/openssl``, in lower case.
    """

    type: str
    path: str
    version: str = ""
    qualifiers: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name without its namespace."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class ImageNames:
    """What an image can be called.

    Attributes:
        repository: registry and repository, without tag.
        digests: ``sha256:…`` of its index, its platform's manifest and its config.
    """

    repository: str
    digests: frozenset[str]


def parse_purl(text: str) -> PackageUrl | None:
    """Return a package URL's parts; None for text that is none."""
    if not text.startswith("pkg:"):
        return None
    rest, _, query = text.removeprefix("pkg:").lstrip("/").partition("#")[0].partition("?")
    kind, _, path = rest.partition("/")
    # A scope such as @angular is written %40angular, so the last @ is that of the version.
    named, mark, version = path.rpartition("@")
    named = named if mark else version
    if not kind or not named.strip("/"):
        return None
    plain = decoded(named).strip("/").lower()
    pairs = (pair.partition("=") for pair in query.split("&") if "=" in pair)
    qualifiers = {key.lower(): decoded(value) for key, _, value in pairs}
    return PackageUrl(kind.lower(), plain, decoded(version) if mark else "", qualifiers)


def purl(kind: str, path: str, version: str, qualifiers: Mapping[str, str]) -> str:
    """Return the canonical text of a package URL; empty qualifiers are left out."""
    given = sorted((key, value) for key, value in qualifiers.items() if value)
    asked = "&".join(f"{key}={_encoded(value, '/:')}" for key, value in given)
    return f"pkg:{kind}/{_encoded(path, '/')}@{_encoded(version, ':')}" + (f"?{asked}" if asked else "")


def decoded(text: str) -> str:
    """Return text with ``%41`` and the like as what they stand for, in UTF-8."""
    return _ENCODED.sub(lambda run: bytes.fromhex(run[0].replace("%", "")).decode("utf-8", "replace"), text)


def names_package(text: str, finding: Finding) -> bool:
    """Whether a package URL names a finding's package; one without a version names every version.

    A finding without a package URL of its own is compared by name and version.
    """
    named = parse_purl(text)
    if named is None or (named.version and named.version != finding.version and not _same(named, finding)):
        return False
    own = parse_purl(finding.purl)
    if own is None:
        return named.name == finding.package.lower() or named.path == finding.package.lower()
    return (named.type, named.path) == (own.type, own.path)


def names_image(text: str, image: ImageNames) -> bool:
    """Whether a digest or a package URL of type ``oci`` names an image.

    Without a digest it must name the repository (``repository_url``): a name alone is anybody's.
    """
    if text in image.digests:
        return True
    named = parse_purl(text)
    if named is None or named.type != "oci":
        return False
    if named.version:
        return named.version in image.digests
    return named.qualifiers.get("repository_url", "") == image.repository


def _same(named: PackageUrl, finding: Finding) -> bool:
    """Whether the versions in two package URLs are the same, where a scanner shows another form of it."""
    own = parse_purl(finding.purl)
    return own is not None and own.version == named.version


def _encoded(text: str, kept: str) -> str:
    plain = _PLAIN | frozenset(kept.encode())
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in text.encode())
