"""`macfleet image`: what references mean, what they are pinned to, and whether that still holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click

from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.image_inspect import inspect
from macfleet.cli.image_smoke import smoke
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from macfleet.contract.images import RegistrySettings, WantedImage, WantedImages
    from macfleet.model.image import LockedImage, ResolvedImage
    from macfleet.model.json import JsonObject
    from macfleet.registry import Credential, RegistryResolver


@click.group()
def image() -> None:
    """Resolve, pin and verify images by digest.

    Example: macfleet image pin
    """


@image.command()
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


@image.command()
@fleet_command
def pin(fleet: FleetContext) -> None:
    """Resolve every image of images.yml for every platform in use and write images.lock.

    Example: macfleet image pin
    """
    from macfleet.contract.images import IMAGES_LOCK, load_images
    from macfleet.contract.releases import load_releases, pinned, render_releases

    wanted = load_images(fleet.files)
    with resolver_of(fleet) as resolver:
        locked = _collected(wanted, lambda each: _pinned(fleet, resolver, each))
    before = _existing(fleet)
    kept = [_unmoved(before.get(each.name), each) for each in locked]
    path = fleet.root / IMAGES_LOCK
    _replace(path, render_releases(pinned(load_releases(fleet.files), kept)))
    rows = [_change(before.get(each.name), each) for each in kept]
    document: JsonObject = {"kind": "image.pin", "images": {each.name: _pins(each) for each in kept}}
    _say(fleet, document, [*rows, f"{len(kept)} images pinned: {IMAGES_LOCK}"])


@image.command()
@fleet_command
def verify(fleet: FleetContext) -> None:
    """Whether images.lock covers images.yml and its registries still have every pinned image.

    Example: macfleet image verify
    """
    from macfleet.contract.images import check_images, load_images, load_images_lock

    wanted = load_images(fleet.files)
    locked = load_images_lock(fleet.files)
    problems = list(check_images(wanted, locked, _platforms(fleet)))
    rows: list[str] = []
    with resolver_of(fleet) as resolver:
        for each in locked.values():
            for platform in each.platforms.values():
                found = _differences(resolver, each, platform)
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


@contextmanager
def resolver_of(fleet: FleetContext) -> Iterator[RegistryResolver]:
    """Open the registry client with the settings of `registries:` in images.yml, where there is one."""
    from macfleet.contract.images import IMAGES_FILE, load_images
    from macfleet.registry import RegistryResolver
    from macfleet.sources.clock import SystemClock

    settings = load_images(fleet.files).registries if fleet.files.exists(IMAGES_FILE) else ()
    resolver = RegistryResolver(
        clock=SystemClock(),
        plain_http=[each.host for each in settings if each.plain_http],
        credentials=_credentials(fleet, settings),
    )
    try:
        yield resolver
    finally:
        resolver.close()


def _credentials(fleet: FleetContext, settings: Sequence[RegistrySettings]) -> dict[str, Credential]:
    """Return the logins by host; every password that cannot be had is reported (MacfleetError E0626)."""
    from macfleet.registry import Credential

    found: dict[str, Credential] = {}
    problems: list[Diagnostic] = []
    for each in settings:
        if not each.user:
            continue
        try:
            found[each.host] = Credential(each.user, fleet.secrets.resolve(each.password), each.realms)
        except MacfleetError as error:
            problems += (_no_password(each.host, why) for why in error.diagnostics)
    if problems:
        raise MacfleetError(problems)
    return found


def _no_password(host: str, why: Diagnostic) -> Diagnostic:
    what = f"{why.where.file}: {why.summary}" if why.where else why.summary
    return replace(
        why,
        code="E0626",
        summary=f"the password for registry {host} is not there: {what}",
        why=f"{why.why} images.yml names it under registries: ({why.code}).".strip(),
        where=None,
    )


def _pinned(fleet: FleetContext, resolver: RegistryResolver, wanted: WantedImage) -> LockedImage:
    from macfleet.contract.images import lock_image

    platforms = wanted.platforms or _platforms(fleet)
    resolved = {platform: resolver.resolve(wanted.reference, platform) for platform in platforms}
    return lock_image(wanted, resolved, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def checked_lock(
    fleet: FleetContext, resolver: RegistryResolver | None, *, write: bool
) -> Mapping[str, LockedImage]:
    """Return images.lock once it covers images.yml.

    With a resolver a reference that names a digest is resolved and locked on the way: nothing about it can
    move. A tag that is not locked is refused, since what it means may change between two nodes.

    Raises:
        MacfleetError: E0623 and following (exit 2) for what the files prove wrong; what the registry says,
            such as a foreign platform (E0603, exit 7).
    """
    from macfleet.contract.images import IMAGES_FILE, IMAGES_LOCK, check_images, load_images
    from macfleet.contract.releases import load_releases, pinned, render_releases
    from macfleet.model.reference import Reference

    locked = dict(_existing(fleet))
    if not fleet.files.exists(IMAGES_FILE):
        return locked
    wanted = load_images(fleet.files)
    problems: list[Diagnostic] = []
    changed = False
    for image in wanted.images:
        found = check_images(replace(wanted, images=(image,)), locked, _platforms(fleet))
        if found and resolver is not None and Reference.parse(image.reference).is_pinned:
            locked[image.name] = _pinned(fleet, resolver, image)
            changed = True
        else:
            problems += found
    if problems:
        raise MacfleetError(problems)
    if changed and write:
        lock = pinned(load_releases(fleet.files), tuple(locked.values()))
        _replace(fleet.root / IMAGES_LOCK, render_releases(lock))
    return locked


def _platforms(fleet: FleetContext) -> tuple[str, ...]:
    """Platforms of the nodes that run containers; what Macs need when the inventory has none."""
    from macfleet.model.node import Arm

    containers = {Arm.CONTAINER, Arm.HOST_ENGINE}
    used = {node.platform for node in fleet.inventory.nodes if containers & set(node.arms)}
    return tuple(sorted(used)) or ("linux/arm64",)


def _existing(fleet: FleetContext) -> Mapping[str, LockedImage]:
    from macfleet.contract.images import IMAGES_LOCK, load_images_lock

    return load_images_lock(fleet.files) if fleet.files.exists(IMAGES_LOCK) else {}


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


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _say(fleet: FleetContext, document: JsonObject, lines: list[str]) -> None:
    if fleet.output == "json":
        click.echo(json.dumps({"schema": 1, **document}, ensure_ascii=False))
    else:
        click.echo("\n".join(lines))


image.add_command(inspect)
image.add_command(smoke)
