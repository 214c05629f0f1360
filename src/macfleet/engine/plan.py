"""From observed states to a plan: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from macfleet.engine.observe import Observation
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.resource import Action, Change, Plan, Resource


def make_plan(
    node: str, resources: Sequence[Resource], observation: Observation, *, compiled: str = ""
) -> Plan:
    """Compare every resource with its observed state.

    Changes come in dependency order, by address inside a level, so that equal inputs give equal plans.

    Raises:
        MacfleetError: E0505 when the needs form a cycle.
    """
    levels = dependency_levels(resources)
    by_address = {resource.address: resource for resource in resources}
    changes = (
        by_address[address].change(observation.states.get(address)) for level in levels for address in level
    )
    return Plan(node, tuple(changes), levels, compiled)


def dependency_levels(resources: Sequence[Resource]) -> tuple[tuple[str, ...], ...]:
    """Group addresses so that each level needs only earlier ones (raises MacfleetError E0505)."""
    known = {resource.address for resource in resources}
    graph = {r.address: {need for need in r.needs if need in known} for r in resources}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " → ".join(str(address) for address in error.args[1])
        raise MacfleetError(Diagnostic("E0505", f"these resources need each other: {cycle}")) from error
    levels: list[tuple[str, ...]] = []
    while sorter.is_active():
        ready = tuple(sorted(sorter.get_ready()))
        levels.append(ready)
        sorter.done(*ready)
    return tuple(levels)


def depends_on(resources: Sequence[Resource]) -> Mapping[str, frozenset[str]]:
    """Return for each address everything it needs, directly or through others."""
    needs = {resource.address: set(resource.needs) for resource in resources}
    closed: dict[str, frozenset[str]] = {}
    for level in dependency_levels(resources):
        for address in level:
            direct = needs[address] & needs.keys()
            closed[address] = frozenset(direct).union(*(closed[need] for need in direct))
    return closed


def pending_by_address(plan: Plan) -> Mapping[str, Change]:
    """Return the changes that do something, by address."""
    return {change.address: change for change in plan.changes if change.action is not Action.NOOP}
