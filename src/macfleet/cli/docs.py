"""`macfleet docs`: annotated YAML of any resource kind, gate or file."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("kind", required=False)
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
def docs(kind: str | None, output: str) -> None:
    """Print what a kind accepts, and an example that works; without KIND, list them all.

    Example: macfleet docs compose_project
    """
    from macfleet.cli.kinds import known, page
    from macfleet.views import annotated as view
    from macfleet.views.flow import width_of
    from macfleet.views.terminal import show, show_json

    if kind is None:
        kinds = known()
        if output == "json":
            show_json(view.listed_document(kinds))
        else:
            show(view.listed(kinds, width_of(sys.stdout)))
        return
    found = page(kind)
    if output == "json":
        show_json(view.document(found))
    else:
        show(view.lines(found))
