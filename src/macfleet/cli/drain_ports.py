"""Compose the adapters of a drain, for the people on call and for rollouts."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.gateway.node_gateway import NodeHalfGateway
    from macfleet.model.node import Node
    from macfleet.model.ports import Events
    from macfleet.rollout.drain_ports import DrainPorts

_HISTORY = "service"
"""The journal's name for what belongs to no run."""


def gateway_of(fleet: FleetContext, events: Events) -> NodeHalfGateway:
    """Return what takes nodes out of service in a rollout; the contract is read when a node first leaves."""
    from macfleet.gateway.node_gateway import NodeHalfGateway

    return NodeHalfGateway(fleet.state_on_demand, lambda: drain_ports(fleet, events, proves=True))


def drain_ports(fleet: FleetContext, events: Events, *, proves: bool = False) -> DrainPorts:
    """Return the adapters of a drain; with `proves` a node is opened only when it keeps the contract."""
    from macfleet.cli.compose import frozen_contract
    from macfleet.cli.on_demand import InProcessOnDemand, packed_client
    from macfleet.executors.threads import ThreadExecutor
    from macfleet.executors.vantage import VantageLoadGenerator
    from macfleet.gateway.node_half import NodeScripts, RouteProof
    from macfleet.rollout.drain_ports import DrainPorts
    from macfleet.views.redacted_ports import RedactedEvents, RedactedJournal

    contract = frozen_contract(fleet) if proves else None
    load = VantageLoadGenerator(fleet.transports, packed_client, InProcessOnDemand())
    everybody = fleet.nodes("")
    journal = RedactedJournal(fleet.state, fleet.redactor)
    return DrainPorts(
        services=fleet.state.services,
        leases=fleet.state.leases,
        half=NodeScripts(fleet.transports, contract.model if contract else ""),
        executor=ThreadExecutor(fleet.forks or fleet.settings.forks),
        clock=fleet.clock,
        events=RedactedEvents(events, fleet.redactor),
        pool_of=lambda node: [each for each in everybody if node.pool and each.pool == node.pool],
        prove=RouteProof(fleet.transports, load, contract) if contract else _nothing_to_prove,
        holder=f"{fleet.who} process {os.getpid()} {secrets.token_hex(3)}",
        who=fleet.who,
        record=lambda node, kind, detail: journal.note(_HISTORY, node, kind, detail),
    )


def _nothing_to_prove(node: Node) -> tuple[str, ...]:
    _ = node
    return ()
