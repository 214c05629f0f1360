"""Reads manifests, indices and configs of OCI and Docker; pure, trusts nothing it is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import BaseModel, Field, ValidationError

from macfleet.model.image import Blob
from macfleet.model.reference import DIGEST

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEX_TYPES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFEST_TYPES = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One image of an index; attestations are left out before this."""

    blob: Blob
    platform: str


@dataclass(frozen=True, slots=True)
class Index:
    """A list of images by platform; nested indices have an empty platform."""

    entries: tuple[IndexEntry, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One platform's image: its config and its layers in order."""

    config: Blob
    layers: tuple[Blob, ...]
    media_type: str


@dataclass(frozen=True, slots=True)
class Config:
    """What the config blob says of the image."""

    platform: str
    diff_ids: tuple[str, ...]
    labels: Mapping[str, str]
    created: str


def digest_of(data: bytes) -> str:
    """Return the ``sha256:…`` digest of bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def normal_platform(os: str, architecture: str, variant: str = "") -> str:
    """Return ``os/architecture`` or ``os/architecture/variant``; arm64's only variant v8 is left out."""
    if variant and not (architecture == "arm64" and variant == "v8"):
        return f"{os}/{architecture}/{variant}"
    return f"{os}/{architecture}"


def parse_manifest(data: bytes, content_type: str) -> Index | Manifest:
    """Read a manifest or an index.

    Raises:
        ValueError: not JSON, of another media type, or ambiguous: the body disagrees with its type.
    """
    document = _model(_Manifest, data)
    declared = content_type.partition(";")[0].strip()
    media_type = document.media_type or declared
    if document.media_type and declared and declared != document.media_type:
        raise ValueError(f"it is sent as {declared} but calls itself {document.media_type}")
    if document.manifests is not None and (document.layers is not None or document.config is not None):
        raise ValueError("it is index and manifest at once, which different readers understand differently")
    if media_type in INDEX_TYPES and document.manifests is not None:
        return Index(tuple(_entry(each) for each in document.manifests if not _is_attestation(each)))
    if media_type in MANIFEST_TYPES and document.config is not None and document.layers is not None:
        layers = tuple(_blob(each) for each in document.layers)
        return Manifest(_blob(document.config), layers, media_type)
    raise ValueError(
        f"media type {media_type or 'missing'} is not an image index or manifest of OCI or Docker"
    )


def parse_config(data: bytes) -> Config:
    """Read an image's config.

    Raises:
        ValueError: not JSON, or without platform or layer digests.
    """
    document = _model(_Config, data)
    platform = normal_platform(document.os, document.architecture, document.variant)
    labels = document.config.labels if document.config else None
    return Config(platform, tuple(document.rootfs.diff_ids), labels or {}, document.created or "")


class _Foreign(BaseModel):
    """Documents others wrote: keys we do not know are theirs to have."""


_Digest = Annotated[str, Field(pattern=f"^{DIGEST.pattern}$")]


class _Platform(_Foreign):
    os: str = ""
    architecture: str = ""
    variant: str = ""


class _Descriptor(_Foreign):
    media_type: Annotated[str, Field(alias="mediaType")] = ""
    digest: _Digest
    size: Annotated[int, Field(strict=True, ge=0)]
    platform: _Platform | None = None
    annotations: dict[str, str] | None = None


class _Manifest(_Foreign):
    schema_version: Annotated[int, Field(alias="schemaVersion", ge=2, le=2)]
    media_type: Annotated[str, Field(alias="mediaType")] = ""
    manifests: list[_Descriptor] | None = None
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None


class _Rootfs(_Foreign):
    diff_ids: list[_Digest]


class _Run(_Foreign):
    labels: Annotated[dict[str, str] | None, Field(alias="Labels")] = None


class _Config(_Foreign):
    os: Annotated[str, Field(min_length=1)]
    architecture: Annotated[str, Field(min_length=1)]
    variant: str = ""
    created: str | None = None
    rootfs: _Rootfs
    config: _Run | None = None


Document = TypeVar("Document", bound=BaseModel)


def _model(model: type[Document], data: bytes) -> Document:
    try:
        return model.model_validate(json.loads(data))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place or 'document'}: {first['msg']}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {error}") from error


def _blob(descriptor: _Descriptor) -> Blob:
    return Blob(descriptor.digest, descriptor.size, descriptor.media_type)


def _entry(descriptor: _Descriptor) -> IndexEntry:
    platform = descriptor.platform
    if platform is None or descriptor.media_type in INDEX_TYPES:
        return IndexEntry(_blob(descriptor), "")
    return IndexEntry(
        _blob(descriptor), normal_platform(platform.os, platform.architecture, platform.variant)
    )


def _is_attestation(descriptor: _Descriptor) -> bool:
    """Build tools put provenance beside images, as entries of platform unknown/unknown."""
    notes = descriptor.annotations or {}
    platform = descriptor.platform
    return "vnd.docker.reference.type" in notes or (platform is not None and platform.os == "unknown")
