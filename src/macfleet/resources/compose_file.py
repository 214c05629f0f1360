"""What a rendered Compose file says, as far as running it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

LABEL = "macfleet.configuration"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there


@dataclass(frozen=True, slots=True)
class ComposeService:
    """One service: its image as written, and the host paths it binds."""

    name: str
    image: str
    binds: tuple[str, ...] = ()
    builds: bool = False


def parse_compose(content: bytes) -> tuple[ComposeService, ...]:
    """Return the services of a Compose file, sorted by name.

    Raises:
        ValueError: not YAML, or not of the shape of a Compose file.
    """
    services = _document(content).get("services")
    if not isinstance(services, Mapping) or not services:
        raise ValueError("the Compose file has no services")
    found = []
    for name, body in services.items():
        if not isinstance(body, Mapping):
            raise ValueError(f"service {name} is not a mapping")  # noqa: TRY004  (parsers raise ValueError)
        binds = tuple(sorted(filter(None, map(_bind, body.get("volumes") or ()))))
        found.append(ComposeService(str(name), str(body.get("image") or ""), binds, "build" in body))
    return tuple(sorted(found, key=lambda service: service.name))


def configuration_digest(content: bytes, read_at_start: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of what containers run with: the file's meaning and the files they read at start.

    Comments and layout do not count, so editing them restarts nothing.
    """
    parts = [_document(content), {path: _hash(text) for path, text in sorted(read_at_start.items())}]
    return _hash(json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str).encode())


def stamp(services: tuple[str, ...], digest: str) -> bytes:
    """Return a Compose file to be merged over the real one: it labels each container with the digest."""
    labelled = {name: {"labels": {LABEL: digest}} for name in services}
    return yaml.safe_dump({"services": labelled}, sort_keys=True).encode()


def _document(content: bytes) -> dict[str, Any]:
    try:
        loaded = yaml.load(content, Loader=_LOADER)  # noqa: S506  (both are safe loaders)
    except yaml.YAMLError as error:
        raise ValueError(f"the Compose file is not YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError("the Compose file is not a mapping")  # noqa: TRY004  (parsers raise ValueError)
    return loaded


def _bind(volume: object) -> str:
    if isinstance(volume, str):
        source = volume.split(":", 1)[0]
        return source if source.startswith("/") else ""
    if isinstance(volume, Mapping) and volume.get("type") == "bind":
        return str(volume.get("source") or "")
    return ""


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
