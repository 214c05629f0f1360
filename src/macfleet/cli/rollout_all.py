"""`macfleet rollout all`: provisioning and the five stages, each only after the one before it ended well."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from macfleet.cli.rollout_stage import STAGES, Wanted, run_stage
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode, strongest
from macfleet.model.stage_name import StageName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from macfleet.cli.fleet import FleetContext
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.ports import Ports
    from macfleet.rollout.result import StageResult


def run_all(
    fleet: FleetContext, desired: Desired, ports: Ports, wanted: Wanted, first: str | None
) -> ExitCode:
    """Provision, then run every stage from `first` on; nobody comes in between two of them."""
    with _held(fleet, ports, wanted):
        return _in_turn(fleet, desired, ports, wanted, first)


def _held(fleet: FleetContext, ports: Ports, wanted: Wanted) -> AbstractContextManager[object]:
    """Hold the nodes from the first stage to the last."""
    from macfleet.rollout.run_lock import Claim, held

    if wanted.check:
        return nullcontext()
    names = tuple(node.name for node in fleet.nodes(wanted.limit))
    return held(Claim(names, "", "rollout all", wanted.wait), ports.locks, ports.clock, ports.events)


def _in_turn(
    fleet: FleetContext, desired: Desired, ports: Ports, wanted: Wanted, first: str | None
) -> ExitCode:
    """Return the strongest exit; as JSON one document of all stages, also when an error ends them."""
    from macfleet.views.rollout_document import all_document
    from macfleet.views.terminal import show_json

    results: list[StageResult] = []
    try:
        for result in _one_by_one(fleet, desired, ports, wanted, first):
            results.append(result)  # noqa: PERF402  (what there is when an error ends it is kept)
    except MacfleetError as error:
        error.document = all_document(results)
        raise
    if fleet.output == "json":
        show_json(all_document(fleet.redactor.value(results)))
    return strongest(result.exit_code for result in results)


def _one_by_one(
    fleet: FleetContext, desired: Desired, ports: Ports, wanted: Wanted, first: str | None
) -> Iterator[StageResult]:
    """Yield each stage's end; one that does not end well for all nodes stops the rest."""
    from macfleet.cli.compose import stage_nodes
    from macfleet.rollout.ahead import NOTHING, look_ahead
    from macfleet.rollout.result import NodeOutcome

    order = [StageName.PROVISION, *STAGES.values()]
    if first:
        order = order[order.index(STAGES[first]) :]
    nodes = {}
    for stage in order:
        with suppress(MacfleetError):  # a stage without nodes says so when its turn comes
            nodes[stage] = stage_nodes(fleet, desired, stage, wanted.limit)
    wanted = replace(wanted, ahead=look_ahead(nodes, desired, ports))
    for stage in order:
        modes = {name: choice.mode for name, choice in desired.network.items()}
        result, desired = run_stage(fleet, desired, ports, stage, wanted)
        yield result
        if not wanted.check and any(each.outcome is not NodeOutcome.CURRENT for each in result.results):
            # Something was done: what the nodes answered before no longer holds.
            wanted = replace(wanted, ahead=NOTHING)
        stops = (ExitCode.DONE,) if not wanted.check else (ExitCode.DONE, ExitCode.PENDING, ExitCode.HELD)
        if result.exit_code not in stops:
            return
        after = {name: choice.mode for name, choice in desired.network.items()}
        if stage is StageName.NETWORK and not wanted.check and after != modes and _host(after, modes):
            # The lock changed: Compose is rendered from it, so the layout is applied again.
            again, desired = run_stage(fleet, desired, ports, StageName.LAYOUT, wanted)
            yield again
            if again.exit_code is not ExitCode.DONE:
                return


def _host(after: dict[str, str], before: dict[str, str]) -> bool:
    """Whether a node's mode really moved; a first lock that says bridge changes nothing."""
    return any(mode != before.get(name, "bridge") for name, mode in after.items())
