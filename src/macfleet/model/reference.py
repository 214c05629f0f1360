"""Image references: ``registry.example:5000/team/llama-server:b10434@sha256:…`` taken apart strictly."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed image reference.

    Attributes:
        registry: host, with port when one was written; ``docker.io`` for a name without a host.
        path: repository within the registry.
        tag: empty when none was written.
        digest: ``sha256:…``; empty when none was written.
    """

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Return the parts of a reference by the grammar of the distribution project.

        A first component is a host when it has a dot, a colon or a bracket or is ``localhost``; without
        one the registry is ``docker.io``, and a single component is put below ``library/``.

        Raises:
            ValueError: the text is not a reference; the message says which part and why.
        """
        name, at, digest = text.partition("@")
        if at and not DIGEST.fullmatch(digest):
            raise ValueError(f"{digest!r} is not a digest: sha256: and 64 lowercase hexadecimal digits")
        name, tag = _split_tag(name)
        registry, path = _split_registry(name)
        if not _HOST.fullmatch(registry):
            raise ValueError(f"{registry!r} is not a registry: a host name or address, perhaps with :port")
        if not _PATH.fullmatch(path):
            raise ValueError(
                f"{path!r} is not a repository: lowercase letters, digits and . _ - / between them"
            )
        if len(path) > _LONGEST_NAME:
            raise ValueError(f"the repository has {len(path)} characters; {_LONGEST_NAME} are allowed")
        return cls(registry, path, tag, digest)

    @property
    def repository(self) -> str:
        """Registry and path, without tag or digest."""
        return f"{self.registry}/{self.path}"

    @property
    def is_pinned(self) -> bool:
        """Whether a digest says which bytes are meant; a tag alone is mutable."""
        return bool(self.digest)

    def pinned_to(self, digest: str) -> Reference:
        """Return the reference of the same repository by digest alone."""
        return replace(self, tag="", digest=digest)

    def at(self, mirror: str) -> Reference:
        """Return the same at a mirror, ``host[:port]`` or ``host[:port]/folder``."""
        host, _, folder = mirror.partition("/")
        return replace(self, registry=host, path=f"{folder}/{self.path}" if folder else self.path)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def registry_place(text: str) -> str:
    """Return ``host[:port]`` or ``host[:port]/folder`` as written (raises ValueError for anything else)."""
    try:
        is_place = Reference.parse(f"{text}/x").registry == text.partition("/")[0]
    except ValueError:
        is_place = False
    if not is_place:
        raise ValueError(
            f"{text!r} is not a registry: a host in lowercase with a dot or a :port, then a folder"
        )
    return text


def _split_tag(name: str) -> tuple[str, str]:
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the last colon belongs to a port, or there is none
        return name, ""
    if "]" in tag or not _TAG.fullmatch(tag):
        raise ValueError(
            f"{tag!r} is not a tag: up to 128 letters, digits and _ . -, not starting with . or -"
        )
    return head, tag


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or any(mark in first for mark in ".:[")):
        return first.lower(), rest
    return "docker.io", name if slash else f"library/{name}"
