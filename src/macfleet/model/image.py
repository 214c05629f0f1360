"""Container images by digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

BASE_NAME = "org.opencontainers.image.base.name"
"""Label that names an image's base."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A content-addressed blob: ``sha256:…`` digest and size in bytes."""

    digest: str
    size: int
    media_type: str = ""


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """What a reference means for one platform.

    Attributes:
        reference: as the user wrote it, tag or digest.
        repository: registry and repository without tag or digest.
        index: digest of the image index; equal to `manifest` for a single-platform image.
        manifest: digest of the platform's manifest: what a node is told to run.
        config: digest of the config blob: the image id of a classic store.
        platform: ``os/architecture`` of the config, such as ``linux/arm64``.
        layers: compressed layers in order; diff_ids: digests of the uncompressed layers.
        labels: the config's labels.
        offered: every platform the index offers, sorted.
    """

    reference: str
    repository: str
    index: str
    manifest: str
    config: str
    platform: str
    layers: tuple[Blob, ...]
    diff_ids: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    offered: tuple[str, ...] = ()
    created: str = ""

    @property
    def pinned(self) -> str:
        """The reference by manifest digest."""
        return f"{self.repository}@{self.manifest}"


@dataclass(frozen=True, slots=True)
class LockedImage:
    """One entry of ``images.lock``: a name used in inventory and Compose files, and what it is pinned to.

    Attributes:
        name: what roles call it, such as ``engine``.
        platforms: resolved image by platform.
        resolved_at: RFC 3339 time of the resolution.
    """

    name: str
    reference: str
    index: str
    platforms: Mapping[str, ResolvedImage]
    base_name: str = ""
    base_digest: str = ""
    resolved_at: str = ""

    @property
    def is_based(self) -> bool:
        """Whether its base image is known: by name and digest, or by a name somebody declared."""
        labelled = {each.labels.get(BASE_NAME) for each in self.platforms.values()}
        return bool(self.base_name) and (bool(self.base_digest) or self.base_name not in labelled)
