"""`macfleet rollout status`: where every node stands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from macfleet.model.stage import StageName

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.rollout.desired import Desired


def matrix(fleet: FleetContext, desired: Desired, limit: str) -> int:
    """Show the node × stage matrix: outcome and age of the newest evidence."""
    from macfleet.cli.compose import stage_nodes
    from macfleet.rollout.desired import ORDER
    from macfleet.sources.clock import SystemClock
    from macfleet.views.flow import width_of
    from macfleet.views.status import document, lines
    from macfleet.views.terminal import show, show_json

    nodes = stage_nodes(fleet, desired, StageName.CONTRACT, limit)
    records = {(node.name, stage): fleet.state.latest(node.name, stage) for node in nodes for stage in ORDER}
    names = [node.name for node in nodes]
    now = SystemClock().now()
    if fleet.output == "json":
        show_json(document(names, records, now))
    else:
        show(lines(names, records, now, width_of(sys.stdout)))
    return 0
