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
    """End those that nobody holds and say so; return what could not be ended.

    A node that does not answer is left to what the command does with it next.
    """
    from macfleet.engine.lock import Holder
    from macfleet.model.quantity import iso
    from macfleet.rollout.left_engine import LeftEngine, can_be_left, end_left

    asked = [node for node in nodes if can_be_left(node)]
    if not asked:
        return []
    run = f"{command.replace(' ', '-')}-{secrets.token_hex(4)}"
    holder = Holder(run, fleet.who, iso(fleet.clock.now()), command=command)

    def end(node: Node) -> LeftEngine:
        return end_left(node, holder, fleet.transports.to(node), f"--{secrets.token_hex(12)}")

    found, failed = each(fleet, asked, end)
    for name, left in found.items():
        if left.loaded and left.lock is None:
            say(f"{name}  ✓ ended the engine with the GPU off that a load test had left")
    return [error for error in failed if error.exit_code is not ExitCode.UNREACHABLE]


def left_engines(fleet: FleetContext, nodes: Sequence[Node]) -> frozenset[str]:
    """Return the names of nodes on which one was left; a node that does not answer is not among them."""
    from macfleet.rollout.left_engine import LeftEngine, can_be_left, see_left

    asked = [node for node in nodes if can_be_left(node)]

    def see(node: Node) -> LeftEngine:
        return see_left(node, fleet.transports.to(node), f"--{secrets.token_hex(12)}")

    found, _ = each(fleet, asked, see) if asked else ({}, [])
    return frozenset(name for name, left in found.items() if left.loaded and not left.in_use)
