"""`macfleet image`: what references mean, what they are pinned to, and whether that still holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

import click

from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.image_inspect import inspect
from macfleet.cli.image_lock import existing_lock, platforms_used, resolve_locked, resolver_of
from macfleet.cli.image_prune import prune
from macfleet.cli.image_push import push
from macfleet.cli.image_smoke import smoke
from macfleet.cli.sbom import sbom
from macfleet.cli.scan import scan
from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.contract.images import WantedImage, WantedImages
    from macfleet.model.image import LockedImage, ResolvedImage
    from macfleet.model.json import JsonObject
    from macfleet.registry import RegistryResolver


@click.group()
def image() -> None:
    """Resolve, pin, push, verify and prune images by digest.

    Example: macfleet image pin
    """


@image.command(short_help="What a reference means now, by digest.")
@click.argument("reference")
@click.option("--platform", default="linux/arm64", show_default=True, metavar="OS/ARCHITECTURE")
@fleet_command
def resolve(fleet: FleetContext, reference: str, platform: str) -> None:
    """What a reference means now: index, platform manifest, config and layers.

    Example: macfleet image resolve registry.example/llama-server:b10434
    """
    with resolver_of(fleet) as resolver:
        found = resolver.resolve(reference, platform)
    _say(fleet, {"kind": "image", **_document(found)}, _lines(found))


@image.command(short_help="Pin the images of images.yml: images.lock.")
@fleet_command
def pin(fleet: FleetContext) -> None:
    """Resolve every image of images.yml for every platform in use and write images.lock.

    Example: macfleet image pin
    """
    from macfleet.contract.images import IMAGES_LOCK, load_images
    from macfleet.contract.releases import load_releases, pinned, render_releases

    wanted = load_images(fleet.files)
    with resolver_of(fleet) as resolver:
        locked = _collected(wanted, lambda each: resolve_locked(fleet, resolver, each))
    before = existing_lock(fleet)
    kept = [_unmoved(before.get(each.name), each) for each in locked]
    path = fleet.root / IMAGES_LOCK
    write_whole(path, render_releases(pinned(load_releases(fleet.files), kept)))
    rows = [_change(before.get(each.name), each) for each in kept]
    document: JsonObject = {"kind": "image.pin", "images": {each.name: _pins(each) for each in kept}}
    _say(fleet, document, [*rows, f"{len(kept)} images pinned: {IMAGES_LOCK}"])


@image.command(short_help="Whether images.lock is still true.")
@fleet_command
def verify(fleet: FleetContext) -> None:
    """Whether images.lock covers images.yml and its registries still have every pinned image.

    Signatures are checked again too, where images.yml trusts a key.

    Example: macfleet image verify
    """
    from macfleet.cli.image_signatures import signature_problems
    from macfleet.contract.images import check_images, load_images, load_images_lock

    wanted = load_images(fleet.files)
    locked = load_images_lock(fleet.files)
    problems = list(check_images(wanted, locked, platforms_used(fleet)))
    rows: list[str] = []
    with resolver_of(fleet) as resolver:
        for each in locked.values():
            for platform in each.platforms.values():
                found = _differences(resolver, each, platform)
                found += signature_problems(resolver, wanted.signatures, each.name, platform)
                problems += found
                mark = "✗" if found else "✓"
                rows.append(f"{mark} {each.name}  {platform.platform}  {platform.pinned}")
    if problems:
        raise MacfleetError(problems)
    document: JsonObject = {
        "kind": "image.verify",
        "images": {each.name: _pins(each) for each in locked.values()},
    }
    _say(fleet, document, rows)


def _unmoved(before: LockedImage | None, now: LockedImage) -> LockedImage:
    """Keep the old entry, with its time, when it pins the same bytes: a lock changes only for a reason."""
    if before is None:
        return now
    same = (before.reference, before.index, before.base_name, before.base_digest) == (
        now.reference,
        now.index,
        now.base_name,
        now.base_digest,
    )
    return before if same and set(before.platforms) == set(now.platforms) else now


def _differences(
    resolver: RegistryResolver, locked: LockedImage, platform: ResolvedImage
) -> list[Diagnostic]:
    try:
        found = resolver.resolve(platform.pinned, platform.platform)
    except MacfleetError as error:
        return list(error.diagnostics)
    if (found.config, found.layers, found.diff_ids) == (platform.config, platform.layers, platform.diff_ids):
        return []
    return [
        Diagnostic(
            "E0627",
            f'images.lock is not true about "{locked.name}" on {platform.platform}',
            why="Config or layers differ from what the pinned manifest names: the lock was edited.",
            mend="macfleet image pin",
            exit_code=ExitCode.USAGE,
        )
    ]


Pinned = TypeVar("Pinned")


def _collected(wanted: WantedImages, work: Callable[[WantedImage], Pinned]) -> list[Pinned]:
    """Do the work for every image and report all that failed, not the first."""
    done: list[Pinned] = []
    problems: list[Diagnostic] = []
    for each in wanted.images:
        try:
            done.append(work(each))
        except MacfleetError as error:
            problems += error.diagnostics
    if problems:
        raise MacfleetError(problems)
    return done


def _change(before: LockedImage | None, now: LockedImage) -> str:
    platforms = ", ".join(now.platforms)
    if before is None:
        return f"+ {now.name}  {now.reference}  {_short(now.index)}  {platforms}"
    if before.index != now.index:
        return f"~ {now.name}  {now.reference}  {_short(before.index)} → {_short(now.index)}  {platforms}"
    if before.reference != now.reference:
        return f"~ {now.name}  {before.reference} → {now.reference}  {_short(now.index)}  {platforms}"
    return f"· {now.name}  {now.reference}  {_short(now.index)}  {platforms}"


def _short(digest: str) -> str:
    return f"{digest[:19]}…"


def _pins(locked: LockedImage) -> JsonObject:
    return {
        "reference": locked.reference,
        "index": locked.index,
        "resolved_at": locked.resolved_at,
        "platforms": {name: each.pinned for name, each in locked.platforms.items()},
    }


def _document(found: ResolvedImage) -> JsonObject:
    return {**asdict(found), "pinned": found.pinned, "offered": list(found.offered)}


def _lines(found: ResolvedImage) -> list[str]:
    from macfleet.model.quantity import show_bytes

    size = show_bytes(sum(layer.size for layer in found.layers))
    return [
        found.reference,
        f"  pinned    {found.pinned}",
        f"  index     {found.index}",
        f"  config    {found.config}",
        f"  platform  {found.platform} of {', '.join(found.offered)}",
        f"  layers    {len(found.layers)}, {size} compressed",
    ]


def _say(fleet: FleetContext, document: JsonObject, lines: list[str]) -> None:
    if fleet.output == "json":
        click.echo(json.dumps({"schema": 1, **document}, ensure_ascii=False))
    else:
        click.echo("\n".join(lines))


image.add_command(inspect)
image.add_command(prune)
image.add_command(push)
image.add_command(sbom)
image.add_command(scan)
image.add_command(smoke)
