"""`images.yml` and `images.lock` as they are written."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from macfleet.contract.images_policy import FleetPolicyModel
from macfleet.documents import Border
from macfleet.model.reference import DIGEST, Reference, registry_place

Digest = Annotated[str, Field(pattern=f"^{DIGEST.pattern}$")]
Platform = Annotated[str, Field(pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$")]
_NAME = r"^[a-z][a-z0-9_-]{0,63}$"
ImageName = Annotated[str, Field(pattern=_NAME)]


class BaseModel(Border):
    """The image an image was built from, where its labels do not say."""

    name: str
    digest: Annotated[str, Field(pattern=f"^({DIGEST.pattern})?$")] = ""


class ImageModel(Border):
    """One image a fleet uses."""

    reference: Annotated[str, Field(description="registry/name:tag, pinned by `macfleet image pin`")]
    platforms: Annotated[
        tuple[Platform, ...], Field(description="default: those of the inventory's nodes")
    ] = ()
    base: BaseModel | None = None
    trust: Annotated[
        Literal["trusted", "flagged", "untrusted"],
        Field(description="`flagged` and `untrusted` images go only to nodes whose `trust` says so"),
    ] = "trusted"

    @field_validator("reference")
    @classmethod
    def _names_something(cls, value: str) -> str:
        parsed = Reference.parse(value)
        if not parsed.tag and not parsed.digest:
            raise ValueError("it names neither a tag nor a digest")
        return value


class RegistryModel(Border):
    """How the controller speaks to one registry; nodes have `registries` of their own in the inventory."""

    plain_http: Annotated[bool, Field(strict=True, description="without TLS; for registries on a LAN")] = (
        False
    )
    user: str = ""
    password: Annotated[str, Field(description="secret reference such as env:NAME")] = ""
    realms: Annotated[tuple[str, ...], Field(description="further hosts that may see the login")] = ()
    mirrors: Annotated[
        tuple[Annotated[str, AfterValidator(registry_place)], ...],
        Field(
            description="asked first for what a digest names, in this order: host:port or host:port/folder"
        ),
    ] = ()


class SignaturesModel(Border):
    """Who signs images: cosign signatures made with a key, checked when an image is pinned and verified."""

    mode: Annotated[
        Literal["ignore", "when_present", "required"],
        Field(description="`when_present`: one that is there must hold; `required`: one must be there"),
    ] = "when_present"
    keys: Annotated[
        dict[str, str],
        Field(default_factory=dict, description="trusted public keys by name, PEM (Ed25519 or ECDSA)"),
    ]


class ImagesModel(Border):
    """The whole of `images.yml`."""

    images: dict[str, ImageModel]
    registries: Annotated[dict[str, RegistryModel], Field(default_factory=dict)]
    signatures: Annotated[SignaturesModel, Field(default_factory=SignaturesModel)]
    policy: Annotated[
        FleetPolicyModel, Field(default_factory=FleetPolicyModel, description="asked by stage 2")
    ]

    @field_validator("images")
    @classmethod
    def _usable_names(cls, value: dict[str, ImageModel]) -> dict[str, ImageModel]:
        for name in value:
            if not re.fullmatch(_NAME, name):
                raise ValueError(f'"{name}" cannot name an image: lowercase letters, digits and _ -')
        return value


class BlobModel(Border):
    """A layer."""

    digest: Digest
    size: Annotated[int, Field(strict=True, ge=0)]
    media_type: str = ""


class PlatformModel(Border):
    """What an image is on one platform."""

    manifest: Digest
    config: Digest
    created: str = ""
    layers: tuple[BlobModel, ...]
    diff_ids: tuple[Digest, ...]
    labels: Annotated[dict[str, str], Field(default_factory=dict)]


class LockedModel(Border):
    """One pinned image."""

    reference: str
    repository: str
    index: Digest
    base: BaseModel | None = None
    resolved_at: str
    offered: tuple[str, ...] = ()
    platforms: dict[Platform, PlatformModel]


class BroughtModel(Border):
    """Who brought a release to an environment, from which one, when and why."""

    source: str
    who: str
    at: str
    why: str = ""


class EarlierModel(Border):
    """A release that a newer one took the place of."""

    brought: BroughtModel | None = None
    images: dict[ImageName, LockedModel]


class LockModel(Border):
    """The whole of `images.lock`, and of an environment's own lock."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    brought: BroughtModel | None = None
    images: dict[ImageName, LockedModel]
    earlier: tuple[EarlierModel, ...] = ()
    returned: Annotated[dict[str, str], Field(default_factory=dict)]
