"""`images.yml`, which images a fleet uses, and `images.lock`, what they are pinned to."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import yaml

from macfleet.contract.images_border import ImageModel, ImagesModel, LockedModel, LockModel, RegistryModel
from macfleet.contract.images_policy import ImagePolicy
from macfleet.documents import Document, parse_yaml, validate
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import BASE_NAME, Blob, LockedImage, ResolvedImage
from macfleet.model.ports import Files
from macfleet.model.reference import DIGEST, Reference

IMAGES_FILE = "images.yml"
IMAGES_LOCK = "images.lock"
_BASE_DIGEST = "org.opencontainers.image.base.digest"
LOCK_HEAD = "# Written by `macfleet image pin`. Do not edit: change images.yml and pin again.\n"


@dataclass(frozen=True, slots=True)
class WantedImage:
    """An image as the user names it.

    Attributes:
        platforms: what to pin it for; empty means the platforms of the inventory's nodes.
        base_name, base_digest: base image as declared; empty means the image's labels say.
        trust: ``trusted``, ``flagged`` or ``untrusted``; trust_at: where that stands.
    """

    name: str
    reference: str
    platforms: tuple[str, ...]
    base_name: str
    base_digest: str
    where: Location
    trust: str = "trusted"
    trust_at: Location | None = None


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How the controller speaks to a registry; `password` is a secret reference, `mirrors` are in order."""

    host: str
    plain_http: bool
    user: str
    password: str
    realms: tuple[str, ...]
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SignatureRules:
    """Who signs images.

    Attributes:
        mode: ``ignore``, ``when_present`` or ``required``; without a key ``when_present`` asks nothing.
        keys: trusted public keys as PEM by name, as they are written; where: their places.
    """

    mode: str = "when_present"
    keys: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, Location] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WantedImages:
    """The whole of `images.yml`, sorted by name."""

    images: tuple[WantedImage, ...]
    registries: tuple[RegistrySettings, ...]
    policy: ImagePolicy = field(default_factory=ImagePolicy)
    signatures: SignatureRules = field(default_factory=SignatureRules)


def load_images(files: Files, path: str = IMAGES_FILE) -> WantedImages:
    """Read `images.yml`.

    Raises:
        MacfleetError: E0620 there is none, E0621 unknown keys and wrong values.
    """
    try:
        document = parse_yaml(files.read(path), path)
    except FileNotFoundError as error:
        raise MacfleetError(_no_images(path)) from error
    model = validate(document, ImagesModel, code="E0621", kind="images.yml")
    images = tuple(_wanted(document, name, model.images[name]) for name in sorted(model.images))
    registries = tuple(_settings(host, model.registries[host]) for host in sorted(model.registries))
    where = {name: document.at("signatures", "keys", name) for name in model.signatures.keys}
    signatures = SignatureRules(model.signatures.mode, model.signatures.keys, where)
    return WantedImages(images, registries, model.policy.policy(), signatures)


def load_images_lock(files: Files, path: str = IMAGES_LOCK) -> Mapping[str, LockedImage]:
    """Read `images.lock`: locked image by name.

    Raises:
        MacfleetError: E0622 there is none, E0623 it is damaged.
    """
    try:
        text = files.read(path)
    except FileNotFoundError as error:
        raise MacfleetError(_not_pinned(path)) from error
    return parse_images_lock(text, path)


def parse_images_lock(text: bytes, file: str = IMAGES_LOCK) -> Mapping[str, LockedImage]:
    """Read the text of `images.lock` (raises MacfleetError E0623)."""
    return locked_images(validate(parse_yaml(text, file), LockModel, code="E0623", kind=IMAGES_LOCK).images)


def locked_images(models: Mapping[str, LockedModel]) -> Mapping[str, LockedImage]:
    """Return the images of a lock as values, sorted by name."""
    return {name: _locked(name, models[name]) for name in sorted(models)}


def render_images_lock(images: Collection[LockedImage]) -> str:
    """Return the text of an `images.lock` that knows one release; equal images give equal bytes."""
    return render_lock(LOCK_HEAD, {"images": lock_rows(images)})


def render_lock(head: str, document: Mapping[str, object]) -> str:
    """Return the text of a lock of images, schema 1, below the comment `head`."""
    whole = {"schema": 1, **document}
    return head + yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=110)


def lock_rows(images: Collection[LockedImage]) -> dict[str, object]:
    """Return images as a lock writes them, by name, sorted."""
    return {image.name: _row(image) for image in sorted(images, key=lambda image: image.name)}


def lock_image(wanted: WantedImage, resolved: Mapping[str, ResolvedImage], resolved_at: str) -> LockedImage:
    """Return the entry that pins an image, from what its reference means on each platform.

    Raises:
        MacfleetError: E0624, the platforms came from different indices: the tag moved meanwhile.
    """
    indices = sorted({image.index for image in resolved.values()})
    if len(indices) != 1:
        raise MacfleetError(_moved(wanted, indices))
    labels = next(iter(resolved.values())).labels
    built_on = labels.get(_BASE_DIGEST, "")
    return LockedImage(
        name=wanted.name,
        reference=wanted.reference,
        index=indices[0],
        platforms={platform: resolved[platform] for platform in sorted(resolved)},
        base_name=wanted.base_name or labels.get(BASE_NAME, ""),
        base_digest=wanted.base_digest or (built_on if DIGEST.fullmatch(built_on) else ""),
        resolved_at=resolved_at,
    )


def check_images(
    wanted: WantedImages, locked: Mapping[str, LockedImage], platforms: Collection[str]
) -> tuple[Diagnostic, ...]:
    """Return where `images.lock` does not hold what `images.yml` names for these platforms."""
    found = []
    for image in wanted.images:
        lock = locked.get(image.name)
        if lock is None:
            found.append(_stale(image, f'image "{image.name}" is not pinned'))
        elif lock.reference != image.reference:
            summary = (
                f'image "{image.name}" is pinned as {lock.reference}, images.yml names {image.reference}'
            )
            found.append(_stale(image, summary))
        else:
            lacking = sorted(set(image.platforms or platforms) - set(lock.platforms))
            found += [_stale(image, f'image "{image.name}" is not pinned for {each}') for each in lacking]
    return tuple(found)


def _wanted(document: Document, name: str, model: ImageModel) -> WantedImage:
    base = model.base
    return WantedImage(
        name,
        model.reference,
        model.platforms,
        base.name if base else "",
        base.digest if base else "",
        document.at("images", name),
        model.trust,
        document.at("images", name, "trust"),
    )


def _settings(host: str, model: RegistryModel) -> RegistrySettings:
    return RegistrySettings(host, model.plain_http, model.user, model.password, model.realms, model.mirrors)


def _locked(name: str, model: LockedModel) -> LockedImage:
    platforms = {
        platform: ResolvedImage(
            reference=model.reference,
            repository=model.repository,
            index=model.index,
            manifest=each.manifest,
            config=each.config,
            platform=platform,
            layers=tuple(Blob(layer.digest, layer.size, layer.media_type) for layer in each.layers),
            diff_ids=each.diff_ids,
            labels=each.labels,
            offered=model.offered,
            created=each.created,
        )
        for platform, each in sorted(model.platforms.items())
    }
    base = model.base
    base_name, base_digest = (base.name, base.digest) if base else ("", "")
    return LockedImage(
        name, model.reference, model.index, platforms, base_name, base_digest, model.resolved_at
    )


def _row(image: LockedImage) -> dict[str, object]:
    any_platform = next(iter(image.platforms.values()))
    base = (
        {"base": {"name": image.base_name, "digest": image.base_digest}}
        if image.base_name or image.base_digest
        else {}
    )
    return {
        "reference": image.reference,
        "repository": any_platform.repository,
        "index": image.index,
        **base,
        "resolved_at": image.resolved_at,
        "offered": list(any_platform.offered),
        "platforms": {name: _platform_row(image.platforms[name]) for name in sorted(image.platforms)},
    }


def _platform_row(image: ResolvedImage) -> dict[str, object]:
    return {
        "manifest": image.manifest,
        "config": image.config,
        "created": image.created,
        "layers": [
            {"digest": layer.digest, "size": layer.size, "media_type": layer.media_type}
            for layer in image.layers
        ],
        "diff_ids": list(image.diff_ids),
        "labels": dict(sorted(image.labels.items())),
    }


def _no_images(path: str) -> Diagnostic:
    return Diagnostic(
        "E0620",
        "no file says which images this fleet uses",
        mend="Write images.yml: images: {engine: {reference: registry.example/llama-server:b10434}}",
        where=Location(path),
    )


def _not_pinned(path: str) -> Diagnostic:
    return Diagnostic(
        "E0622",
        "no image is pinned",
        why="Nodes run images by digest: the same bytes everywhere, and a moved tag changes nothing.",
        mend="macfleet image pin",
        where=Location(path),
    )


def _stale(image: WantedImage, summary: str) -> Diagnostic:
    return Diagnostic(
        "E0625",
        summary,
        why=f"{image.reference} is a mutable tag: it may mean other bytes tomorrow, so nodes get only what "
        "images.lock pins by digest."
        if not Reference.parse(image.reference).is_pinned
        else "images.lock says which bytes a name means; it must cover every image and platform in use.",
        mend="Pin it: macfleet image pin",
        where=image.where,
    )


def _moved(wanted: WantedImage, indices: Collection[str]) -> Diagnostic:
    return Diagnostic(
        "E0624",
        f"{wanted.reference} means different images on different platforms: {', '.join(indices)}",
        why="All platforms of a pin must come from one index; this tag moved while it was resolved.",
        mend="macfleet image pin",
        where=wanted.where,
        exit_code=ExitCode.HELD,
    )
