"""`macfleet history`: who did what, when and why."""

from __future__ import annotations

import sys

import click

from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.quantity import parse_seconds

_LAST = 30


@click.command()
@limit_option
@click.option("--since", default="", metavar="TIME", help="Only the last 7d, 12h, …")
@click.option("--last", default=_LAST, show_default=True, type=click.IntRange(min=1), metavar="N")
@click.option("--releases", is_flag=True, help="Promotions and rollbacks alone.")
@fleet_command
def history(fleet: FleetContext, limit: str, since: str, last: int, releases: bool) -> int:
    """Say who promoted, rolled back, rolled out, drained or broke a lock; the newest last.

    Asks no node: it is what this fleet's state database was told, by all who share it. With -v also the nodes
    that runs took out of service and put back on their way.

    Example: macfleet history --releases --since 30d
    """
    from macfleet.views.flow import width_of
    from macfleet.views.history import by_people, document, lines
    from macfleet.views.terminal import show, show_json

    names = {node.name for node in fleet.nodes(limit)} if limit else None
    told = fleet.state.history.since(_begin(fleet, since))
    found = [
        each
        for each in (told if fleet.verbose else by_people(told))
        if (names is None or names & set(each.nodes)) and (not releases or each.kind.startswith("release."))
    ][-last:]
    if fleet.output == "json":
        show_json(document(found))
    elif found:
        show(lines(found, width_of(sys.stdout)))
    else:
        click.echo("Nothing was done yet.", err=True)
    return 0


def _begin(fleet: FleetContext, since: str) -> float:
    """Return the moment --since means, in seconds since the epoch (raises MacfleetError E0694)."""
    if not since:
        return 0.0
    try:
        return fleet.clock.now() - parse_seconds(since)
    except ValueError as error:
        raise MacfleetError(
            Diagnostic("E0694", f"--since: {error}", mend="Such as 7d or 12h: from so long ago on.")
        ) from error
