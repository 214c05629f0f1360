"""Engines with the GPU off that killed load tests left, for the commands of whoever comes next."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from macfleet.cli.drain_each import each, say
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.model.diagnostic import MacfleetError
    from macfleet.model.node import Node


def end_left_engines(fleet: FleetContext, nodes: Sequence[Node], command: str) -> list[MacfleetError]:
    """End those whose load test is over and say so; return what could not be ended.

    A node that does not answer is left to what the command does with it next.
    """
    from macfleet.engine.lock import Holder
    from macfleet.model.quantity import iso
    from macfleet.rollout.left_engine import LeftEngine, end_left
    from macfleet.rollout.run_lock import Fence

    there = left_engines(fleet, nodes)
    asked = [node for node in nodes if node.name in there]
    if not asked:
        return []
    run = f"{command.replace(' ', '-')}-{secrets.token_hex(4)}"
    # By its fence the node gives up the lock of a controller that the store knows to be dead.
    fence = fleet.locks.take([node.name for node in asked], run, command)
    if not isinstance(fence, Fence):
        return []
    holder = Holder(run, fleet.who, iso(fleet.clock.now()), fence.token, fence.store, command)

    def end(node: Node) -> LeftEngine:
        return end_left(node, holder, fleet.transports.to(node), f"--{secrets.token_hex(12)}")

    try:
        found, failed = each(fleet, asked, end)
    finally:
        fleet.locks.release(fence)
    for name, left in found.items():
        if left.loaded and left.lock is None:
            say(f"{name}  ✓ ended the engine with the GPU off that a load test had left")
    return [error for error in failed if error.exit_code is not ExitCode.UNREACHABLE]


def left_engines(fleet: FleetContext, nodes: Sequence[Node]) -> frozenset[str]:
    """Return the names of nodes on which one was left, its load test being over.

    Nothing is said of a node that does not answer.
    """
    from macfleet.rollout.left_engine import LeftEngine, can_be_left, see_left

    asked = [node for node in nodes if can_be_left(node)]

    def see(node: Node) -> LeftEngine:
        return see_left(node, fleet.transports.to(node), f"--{secrets.token_hex(12)}")

    found, _ = each(fleet, asked, see) if asked else ({}, [])
    if not any(left.loaded for left in found.values()):
        return frozenset()
    held = {name for other in fleet.locks.others(list(found)) for name in other.nodes}
    own = fleet.state.locks.identity
    return frozenset(
        name
        for name, left in found.items()
        if left.loaded and name not in held and not left.measured_by_other(own)
    )
