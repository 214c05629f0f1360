"""`macfleet status` and `watch`: which nodes serve, which are out, who took them out, why and since when."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.drain_each import each, named
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import NodeUnreachable
from macfleet.model.exit_codes import ExitCode, strongest

if TYPE_CHECKING:
    from macfleet.model.node import Node
    from macfleet.model.ports import Clock
    from macfleet.views.drain import Standing


@click.command()
@limit_option
@fleet_command
def status(fleet: FleetContext, limit: str) -> int:
    """Show which nodes serve, which are out, since when, who took them out and why. Changes nothing.

    Example: macfleet status -l chat
    """
    from macfleet.cli.left_engines import left_engines
    from macfleet.sources.clock import SystemClock
    from macfleet.views.drain import status_document, status_lines
    from macfleet.views.flow import width_of
    from macfleet.views.terminal import show, show_json

    nodes = fleet.nodes(limit)
    left = left_engines(fleet, nodes)
    standings = [replace(standing, left=standing.node in left) for standing in _standings(fleet, nodes)]
    if fleet.output == "json":
        show_json(status_document(standings))
    else:
        show(status_lines(standings, SystemClock().now(), width_of(sys.stdout)))
    unreachable = any(standing.sight is None for standing in standings)
    return int(ExitCode.UNREACHABLE if unreachable else ExitCode.DONE)


@click.command()
@click.argument("names", metavar="[NODE]...", nargs=-1, type=NodePattern())
@fleet_command
def watch(fleet: FleetContext, names: tuple[str, ...]) -> int:
    """Show the same as status, again each time something moves, until interrupted.

    Example: macfleet watch mac-03
    """
    return follow(fleet, named(fleet, names) if names else fleet.nodes(""), until_settled=False)


def follow(
    fleet: FleetContext, nodes: Sequence[Node], *, until_settled: bool, clock: Clock | None = None
) -> int:
    """Show a table whenever it differs from the one before; end when nobody drains a node, if asked to."""
    from macfleet.rollout.drain_state import ServiceState
    from macfleet.sources.clock import SystemClock
    from macfleet.views.drain import status_document, status_lines
    from macfleet.views.flow import width_of
    from macfleet.views.redacting_stream import nobody_reads
    from macfleet.views.terminal import show, show_json

    clock = clock or SystemClock()
    shown, abandoned = None, set[str]()
    while True:
        standings = _standings(fleet, nodes)
        found = status_document(standings)
        if found != shown:
            shown = found
            if fleet.output == "json":
                show_json(found)
            else:
                show([*status_lines(standings, clock.now(), width_of(sys.stdout)), ""])
            sys.stdout.flush()
            if nobody_reads(sys.stdout):
                return int(ExitCode.DONE)
        draining = {each.node for each in standings if each.service.state is ServiceState.DRAINING}
        # Twice in a row: a lease may end while its holder looks at a node that answers late.
        if until_settled and draining <= abandoned:
            failed = draining or any(each.service.failure for each in standings)
            return int(strongest([ExitCode.HELD] if failed else []))
        abandoned = {each.node for each in standings if each.abandoned}
        clock.sleep(1.0)


def _standings(fleet: FleetContext, nodes: Sequence[Node]) -> list[Standing]:
    """See every node at once; one that does not answer has no sight."""
    from macfleet.gateway.node_half import NodeScripts
    from macfleet.rollout.drain_state import ServiceState
    from macfleet.views.drain import Standing

    half = NodeScripts(fleet.transports)
    sights, failed = each(fleet, nodes, half.look)
    for error in failed:
        if not isinstance(error, NodeUnreachable) and error.exit_code is not ExitCode.UNREACHABLE:
            raise error
    standings = []
    for node in nodes:
        # The lease first: it is given back after the last state was kept.
        lease = fleet.state.leases.lease(f"node/{node.name}")
        kept = fleet.state.services.service(node.name)
        sight = sights.get(node.name)
        # Whoever waits for a node that does not answer may be late to renew.
        abandoned = sight is not None and lease is None and kept.state is ServiceState.DRAINING
        standings.append(Standing(node.name, node.pool, kept, sight, abandoned=abandoned))
    return standings
