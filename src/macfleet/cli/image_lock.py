"""What images.yml and images.lock say, and the registry client they configure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import Diagnostic, MacfleetError

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.contract.images import RegistrySettings, WantedImage
    from macfleet.model.image import LockedImage
    from macfleet.registry import Credential, RegistryResolver


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
        mirrors={each.host: each.mirrors for each in settings},
        told=fleet.warn,
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

    locked = dict(existing_lock(fleet))
    if not fleet.files.exists(IMAGES_FILE):
        return locked
    wanted = load_images(fleet.files)
    problems: list[Diagnostic] = []
    changed = False
    for image in wanted.images:
        found = check_images(replace(wanted, images=(image,)), locked, platforms_used(fleet))
        if found and resolver is not None and Reference.parse(image.reference).is_pinned:
            locked[image.name] = resolve_locked(fleet, resolver, image)
            changed = True
        else:
            problems += found
    if problems:
        raise MacfleetError(problems)
    if changed and write:
        lock = pinned(load_releases(fleet.files), tuple(locked.values()))
        write_whole(fleet.root / IMAGES_LOCK, render_releases(lock))
    return locked


def resolve_locked(fleet: FleetContext, resolver: RegistryResolver, wanted: WantedImage) -> LockedImage:
    """Resolve an image of images.yml for the platforms it is used on (raises MacfleetError).

    What must be signed is refused here, before it is locked: E0739, E0741.
    """
    from macfleet.cli.image_signatures import signature_problems
    from macfleet.contract.images import load_images, lock_image

    platforms = wanted.platforms or platforms_used(fleet)
    resolved = {platform: resolver.resolve(wanted.reference, platform) for platform in platforms}
    rules = load_images(fleet.files).signatures
    problems = [
        problem
        for each in resolved.values()
        for problem in signature_problems(resolver, rules, wanted.name, each)
    ]
    if problems:
        raise MacfleetError(dict.fromkeys(problems))
    return lock_image(wanted, resolved, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))


def platforms_used(fleet: FleetContext) -> tuple[str, ...]:
    """Return the platforms of nodes that run containers; what Macs need when the inventory has none."""
    from macfleet.model.node import Arm

    containers = {Arm.CONTAINER, Arm.HOST_ENGINE}
    used = {node.platform for node in fleet.inventory.nodes if containers & set(node.arms)}
    return tuple(sorted(used)) or ("linux/arm64",)


def existing_lock(fleet: FleetContext) -> Mapping[str, LockedImage]:
    """Return images.lock, empty where there is none (raises MacfleetError)."""
    from macfleet.contract.images import IMAGES_LOCK, load_images_lock

    return load_images_lock(fleet.files) if fleet.files.exists(IMAGES_LOCK) else {}
