"""One stage of a rollout as the command line runs it: plan or carry out, then show."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from macfleet.cli.announce import announce
from macfleet.cli.load_length import Asked
from macfleet.cli.network_lock import lock_network
from macfleet.cli.show_stage import show_stage
from macfleet.cli.tags import chosen_tags, in_part
from macfleet.model.stage_name import StageName

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.rollout.ahead import Ahead
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.ports import Ports
    from macfleet.rollout.result import StageResult
    from macfleet.rollout.run import Options


STAGES = {
    "stage1": StageName.CONTRACT,
    "stage2": StageName.IMAGES,
    "stage3": StageName.LAYOUT,
    "stage4": StageName.NETWORK,
    "stage5": StageName.LOADTEST,
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of one call; `whole` when the stage is one of all."""

    limit: str
    check: bool
    again: bool
    resume: str
    max_failures: str
    reason: str
    yes: bool
    load: Asked
    only_tags: tuple[str, ...]
    skip_tags: tuple[str, ...]
    wait: float
    whole: bool
    ahead: Ahead = field(default_factory=dict)
    diff: bool = False


def run_stage(
    fleet: FleetContext, desired: Desired, ports: Ports, stage: StageName, wanted: Wanted
) -> tuple[StageResult, Desired]:
    """Run one stage, show it, and return it with what the fleet folder wants afterwards."""
    from macfleet.cli.compose import stage_nodes
    from macfleet.cli.interrupts import interrupts
    from macfleet.rollout.desired import number
    from macfleet.rollout.run import rollout
    from macfleet.views.progress import watching
    from macfleet.views.redacted_ports import RedactedEvents

    nodes = stage_nodes(fleet, desired, stage, wanted.limit)
    options = _options(fleet, desired, ports, stage, wanted)
    if stage is StageName.LOADTEST and not wanted.check:
        announce(fleet, nodes, desired, options, yes=wanted.yes)
    title = f"Stage {number(stage)} · {stage}" if number(stage) else "Provisioning"
    with (
        interrupts(fleet, "" if wanted.check else _way_on(stage, options)),
        watching(
            title,
            [node.name for node in nodes],
            as_json=fleet.output == "json",
            on_stdout=fleet.stream,
        ) as events,
    ):
        ports_of_run = replace(ports, events=RedactedEvents(events, fleet.redactor))
        result = rollout(stage, nodes, desired, ports_of_run, options)
    result = in_part(result, desired.playbooks[stage], options.tags)
    if not (wanted.whole and fleet.output == "json"):
        show_stage(fleet, fleet.redactor.value(result), desired, "")
    if stage is StageName.NETWORK and not wanted.check:
        desired = lock_network(fleet, desired, ports, result)
    return result, desired


def _way_on(stage: StageName, options: Options) -> str:
    """Return what to type after an interrupt: the same part of the same stage."""
    from macfleet.cli.resume import how_to_resume

    return f"{how_to_resume(stage, options.resume or options.run_id)} {options.tags}".rstrip()


def _options(
    fleet: FleetContext, desired: Desired, ports: Ports, stage: StageName, wanted: Wanted
) -> Options:
    from macfleet.cli.compose import new_run_id
    from macfleet.cli.resume import finished_nodes
    from macfleet.rollout.desired import number
    from macfleet.rollout.run import Options

    label = f"stage{number(stage)}" if number(stage) else "site"
    return Options(
        run_id=new_run_id(label, ports.clock.now()),
        who=fleet.who,
        check=wanted.check,
        diff=wanted.diff,
        again=wanted.again,
        resume=wanted.resume,
        finished=finished_nodes(fleet, wanted.resume) if wanted.resume else (),
        why=wanted.reason,
        max_failures=wanted.max_failures,
        load=replace(
            wanted.load.profile(desired.contract.duration), token_events=fleet.settings.token_events
        ),
        wait=wanted.wait,
        tags=chosen_tags(desired.playbooks[stage], wanted.only_tags, wanted.skip_tags),
        ahead=wanted.ahead,
    )
