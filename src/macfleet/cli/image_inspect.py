"""`macfleet image inspect`: what pinned images carry, layer by layer, before a node gets them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import finish
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.image_smoke import STARTS
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.facts.image_contents import LayerContents
    from macfleet.model.image import LockedImage, ResolvedImage
    from macfleet.model.json import Json
    from macfleet.sources.starts import ColdStart, ColdStarts


@click.command(short_help="What pinned images carry, layer by layer.")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--platform", default="", metavar="OS/ARCHITECTURE", help="This platform only.")
@click.option(
    "--allow", multiple=True, metavar="PATTERN", help="Paths that may be programs of another architecture."
)
@fleet_command
def inspect(fleet: FleetContext, names: tuple[str, ...], platform: str, allow: tuple[str, ...]) -> int:
    """Look into the layers of pinned images: programs for another architecture, weights, size, packages.

    Layers stream from their registries and are proven by digest; what was found is kept, so that a layer is
    read once. Cold starts are those that image smoke measured on nodes. Exits 7 when an image holds what has
    no place in it.

    Example: macfleet image inspect engine --platform linux/arm64
    """
    from macfleet.cli.image_lock import resolver_of
    from macfleet.cli.image_rules import allowed_programs, layer_reports
    from macfleet.facts.image_contents import contents_faults, contents_words
    from macfleet.registry.layers import LayerInspector
    from macfleet.sources.starts import ColdStarts
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    failed: list[MacfleetError] = []
    rows: list[Json] = []
    starts = ColdStarts(fleet.root / STARTS)
    allowed = (*allowed_programs(fleet), *allow)
    with resolver_of(fleet) as resolver:
        inspector = LayerInspector(resolver, layer_reports(fleet))
        for name, image in chosen_images(fleet, names, platform):
            try:
                layers = inspector.contents(image)
            except MacfleetError as error:
                failed.append(error)
                continue
            faults = tuple(contents_faults(image.platform, layers, allowed))
            places = resolver.places(image.repository)
            row = _row(name, image, layers, faults)
            rows.append({**row, "cold_starts_s": _seconds(starts, image), "from": list(places)})
            if faults:
                failed.append(MacfleetError(_refused(name, image.platform, fault) for fault in faults))
            if fleet.output != "json":
                mark = "✗" if faults else "✓"
                whence = f" · from {', else '.join(places)}" if len(places) > 1 else ""
                shown = f"{contents_words(layers)}{_start_words(starts.of(image.manifest))}{whence}"
                show([clean(f"{mark} {name} {image.platform}  {shown}")])
    document: dict[str, Json] = {"schema": 1, "kind": "image.inspect", "images": rows}
    return finish(failed, document if fleet.output == "json" else None)


def _start_words(starts: Mapping[str, ColdStart]) -> str:
    """Return how long the image takes to become ready, where `image smoke` measured it."""
    if not starts:
        return ""
    times = [each.seconds for each in starts.values()]
    span = f"{min(times)} s" if min(times) == max(times) else f"{min(times)} to {max(times)} s"
    first, *others = sorted(starts)
    return f" · ready after {span} on {first}" + (f" and {len(others)} more" if others else "")


def _seconds(starts: ColdStarts, image: ResolvedImage) -> Json:
    return {node: each.seconds for node, each in starts.of(image.manifest).items()}


def chosen_images(
    fleet: FleetContext, names: tuple[str, ...], platform: str
) -> Iterator[tuple[str, ResolvedImage]]:
    """Yield the images of every lock in use that were named, or all, each manifest of a name once.

    Raises:
        MacfleetError: E0671 a name that no lock has.
    """
    from macfleet.cli.releases import own_images
    from macfleet.contract.images import load_images_lock
    from macfleet.documents import nearest

    locks = (load_images_lock(fleet.files), *own_images(fleet).values())
    known = sorted({name for lock in locks for name in lock})
    unknown = [name for name in names if name not in known]
    if unknown:
        raise MacfleetError(
            Diagnostic(
                "E0671",
                f'images.lock has no image "{name}"',
                mend=f'did you mean "{guess}"?' if (guess := nearest(name, known)) else "macfleet image pin",
            )
            for name in unknown
        )
    seen: set[tuple[str, str]] = set()
    for name, image in _images(locks, names or known):
        if platform in ("", image.platform) and (name, image.manifest) not in seen:
            seen.add((name, image.manifest))
            yield name, image


def _images(
    locks: Iterable[Mapping[str, LockedImage]], names: Iterable[str]
) -> Iterator[tuple[str, ResolvedImage]]:
    every = tuple(locks)
    for name in names:
        for lock in every:
            if name in lock:
                yield from ((name, image) for image in lock[name].platforms.values())


def _row(
    name: str, image: ResolvedImage, layers: tuple[LayerContents, ...], faults: tuple[str, ...]
) -> dict[str, Json]:
    listed: list[Json] = [
        {**asdict(layer), "samples": [asdict(each) for each in layer.samples]} for layer in layers
    ]
    return {
        "name": name,
        "platform": image.platform,
        "manifest": image.manifest,
        "faults": list(faults),
        "layers": listed,
    }


def _refused(name: str, platform: str, fault: str) -> Diagnostic:
    return Diagnostic(
        "E0672",
        f"image {name} for {platform}: {fault}",
        why="A program of another architecture fails or is emulated unseen; weights in a layer travel with "
        "every build and escape weights.lock.",
        mend="Build the image for its platform, weights left out, then: macfleet image pin",
        exit_code=ExitCode.HELD,
    )
