"""`macfleet image inspect`: what pinned images carry, layer by layer, before a node gets them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import finish
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.facts.image_contents import LayerContents
    from macfleet.model.image import ResolvedImage
    from macfleet.model.json import Json

KEPT = Path(".macfleet") / "layers"
"""Where a fleet keeps what was found in layers, by their digests."""


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--platform", default="", metavar="OS/ARCHITECTURE", help="This platform only.")
@click.option(
    "--allow", multiple=True, metavar="PATTERN", help="Paths that may be programs of another architecture."
)
@fleet_command
def inspect(fleet: FleetContext, names: tuple[str, ...], platform: str, allow: tuple[str, ...]) -> int:
    """Look into the layers of pinned images: programs for another architecture, weights, size, packages.

    Layers stream from their registries and are proven by digest; what was found is kept, so that a layer is
    read once. Exits 7 when an image holds what has no place in it.

    Example: macfleet image inspect engine --platform linux/arm64
    """
    from macfleet.cli.image_lock import resolver_of
    from macfleet.facts.image_contents import contents_faults, contents_words
    from macfleet.registry.layers import LayerInspector
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    failed: list[MacfleetError] = []
    rows: list[Json] = []
    with resolver_of(fleet) as resolver:
        inspector = LayerInspector(resolver, fleet.root / KEPT)
        for name, image in _chosen(fleet, names, platform):
            try:
                layers = inspector.contents(image)
            except MacfleetError as error:
                failed.append(error)
                continue
            faults = tuple(contents_faults(image.platform, layers, allow))
            rows.append(_row(name, image, layers, faults))
            if faults:
                failed.append(MacfleetError(_refused(name, image.platform, fault) for fault in faults))
            if fleet.output != "json":
                mark = "✗" if faults else "✓"
                show([clean(f"{mark} {name} {image.platform}  {contents_words(layers)}")])
    document: dict[str, Json] = {"schema": 1, "kind": "image.inspect", "images": rows}
    return finish(failed, document if fleet.output == "json" else None)


def _chosen(fleet: FleetContext, names: tuple[str, ...], platform: str) -> list[tuple[str, ResolvedImage]]:
    """Return the images that were named, or all (raises MacfleetError E0671 for one that is not pinned)."""
    from macfleet.contract.images import load_images_lock
    from macfleet.documents import nearest

    locked = load_images_lock(fleet.files)
    unknown = [name for name in names if name not in locked]
    if unknown:
        raise MacfleetError(
            Diagnostic(
                "E0671",
                f'images.lock has no image "{name}"',
                mend=f'did you mean "{guess}"?' if (guess := nearest(name, locked)) else "macfleet image pin",
            )
            for name in unknown
        )
    return [
        (name, image)
        for name in (names or tuple(locked))
        for image in locked[name].platforms.values()
        if platform in ("", image.platform)
    ]


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
