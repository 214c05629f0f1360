"""`macfleet image sbom`: the bill of materials of a release, as CycloneDX JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import Diagnostic, MacfleetError

if TYPE_CHECKING:
    from macfleet.contract.releases import Release
    from macfleet.reports.sbom import ShippedImage


@click.command(short_help="The bill of materials of a release (CycloneDX).")
@click.option(
    "--environment", default="", metavar="NAME", help="What this environment runs, not images.lock."
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to a file; without, it is printed.",
)
@fleet_command
def sbom(fleet: FleetContext, environment: str, to: Path | None) -> None:
    """The bill of materials of a release: images, packages in their layers, weights (CycloneDX 1.6 JSON).

    Layers are read as `image inspect` reads them, each once. The same release gives the same bytes.

    Example: macfleet image sbom --to release.cdx.json
    """
    from macfleet import __version__
    from macfleet.cli.lock_files import weights_lock
    from macfleet.reports.sbom import sbom as bill

    release = _release(fleet, environment)
    at = max((image.resolved_at for image in release.images.values()), default="")
    made = {"version": __version__, "at": at}
    document = bill(fleet.settings.name, release.id, _shipped(fleet, release), weights_lock(fleet), made)
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    if to is None:
        click.echo(text, nl=False)
    else:
        write_whole(to, text)


def _release(fleet: FleetContext, environment: str) -> Release:
    from macfleet.cli.releases import path_of
    from macfleet.contract.releases import load_releases
    from macfleet.documents import nearest

    known = sorted({node.environment for node in fleet.inventory.nodes} - {""})
    if environment and environment not in known:
        guess = nearest(environment, known)
        raise MacfleetError(
            Diagnostic(
                "E0738",
                f'no node of the inventory is in environment "{environment}"',
                mend=f'did you mean "{guess}"?' if guess else "macfleet inventory graph",
            )
        )
    lock = load_releases(fleet.files, path_of(fleet, environment))
    if lock is None:
        raise MacfleetError(Diagnostic("E0622", "no image is pinned", mend="macfleet image pin"))
    return lock.in_use


def _shipped(fleet: FleetContext, release: Release) -> list[ShippedImage]:
    from macfleet.cli.image_lock import resolver_of
    from macfleet.cli.image_rules import layer_reports
    from macfleet.facts.image_contents import all_packages, system_name
    from macfleet.registry.layers import LayerInspector
    from macfleet.reports.sbom import ShippedImage

    found = []
    with resolver_of(fleet) as resolver:
        inspector = LayerInspector(resolver, layer_reports(fleet))
        for name, locked in sorted(release.images.items()):
            for image in locked.platforms.values():
                layers = inspector.contents(image)
                base = (locked.base_name, locked.base_digest)
                packages, system = all_packages(layers), system_name(layers)
                found.append(ShippedImage(name, image, *base, packages, system))
    return found
