"""network.lock, written when stage 4 chose."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from macfleet.model.stage_name import StageName

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.ports import Ports
    from macfleet.rollout.result import StageResult


def lock_network(fleet: FleetContext, desired: Desired, ports: Ports, result: StageResult) -> Desired:
    """Write what stage 4 chose into network.lock when a choice changed."""
    from macfleet.cli.lock_files import network_lock
    from macfleet.model.stage import Outcome
    from macfleet.rollout.network import locked_choice, render_lock

    # Another run, on other nodes, may have written its choices meanwhile.
    kept = network_lock(fleet)
    choices = dict(kept)
    for node in result.results:
        record = fleet.state.latest(node.node, StageName.NETWORK)
        if record is None or record.outcome is not Outcome.PASS:
            continue
        proof = record.evidence.get("network")
        if isinstance(proof, dict):
            choice = locked_choice(proof)
            known = choices.get(node.node)
            if known is None or known.mode != choice.mode:
                choices[node.node] = choice
    if choices == kept:
        return replace(desired, network=choices)
    ports.write_lock("network.lock", render_lock(choices))
    click.echo("network.lock written: stage 3 renders Compose from it.", err=True)
    return replace(desired, network=choices)
