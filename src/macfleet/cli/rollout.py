"""`macfleet rollout`: the five stages, all of them, and the matrix of where every node stands."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import click

from macfleet.cli.announce import announce
from macfleet.cli.fleet import FleetContext, event_command, limit_option
from macfleet.cli.load_length import Asked, duration_of, segments_of
from macfleet.cli.network_lock import lock_network
from macfleet.cli.params import count_or_share, diff_option, wait_option
from macfleet.cli.tags import chosen_tags, in_part, tag_options
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode, strongest
from macfleet.model.stage import StageName

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@click.command()
@click.argument("what", type=click.Choice([*STAGES, "all", "status"]))
@limit_option
@click.option("--check", is_flag=True, help="Show the plan and refusals; change and measure nothing.")
@diff_option
@click.option("--again", is_flag=True, help="Measure again where evidence is current.")
@click.option("--resume", metavar="RUN", default="", help="Only the nodes that RUN did not finish.")
@tag_options
@click.option("--from", "first", type=click.Choice(list(STAGES)), help="With all: begin at this stage.")
@click.option(
    "--max-failures",
    callback=count_or_share,
    default="",
    metavar="N or N%",
    help="Failures that stop; met means stop.",
)
@click.option("--duration", default="", metavar="TIME", help="Per arm and cell; under 30m cannot be signed.")
@click.option(
    "--segments",
    callback=segments_of,
    default="",
    metavar="N",
    help="Of each arm in a cell, an even number; a ratio needs 4.",
)
@wait_option
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--yes", is_flag=True, help="Do not ask before a load test.")
@event_command
def rollout(
    fleet: FleetContext,
    what: str,
    limit: str,
    check: bool,
    diff: bool,
    again: bool,
    resume: str,
    only_tags: tuple[str, ...],
    skip_tags: tuple[str, ...],
    first: str | None,
    max_failures: str,
    duration: str,
    segments: int | None,
    wait: float,
    reason: str,
    yes: bool,
) -> int:
    """Run a stage on every node it names: plan, waves, gates, evidence.

    Example: macfleet rollout stage3 --check -l mac-07
    """
    from macfleet.cli.compose import PLAYBOOKS, desired_of, open_ports, stage_nodes

    begins = StageName.PROVISION if what == "all" else STAGES.get(what)
    if begins is not None and not resume:
        fleet.begin_early(PLAYBOOKS[begins], limit)
    from macfleet.views.progress import EventLines

    if diff and not check:
        raise click.UsageError("--diff goes with --check.")
    pins = what in ("stage2", "all")
    desired = desired_of(fleet, pins=pins, write=pins and not check)
    if what == "status":
        from macfleet.cli.matrix import matrix

        return matrix(fleet, desired, limit)
    load = Asked(duration_of(duration), segments)
    if resume:
        from macfleet.cli.resume import gone_on_with

        resume, limit, load = gone_on_with(fleet, resume, STAGES.get(what), limit, load)
    if what == "all" and (only_tags or skip_tags):
        raise MacfleetError(_no_parts_of_all())
    wanted = _Wanted(
        limit,
        check,
        again,
        resume,
        max_failures,
        reason,
        yes,
        load,
        only_tags,
        skip_tags,
        wait,
        what == "all",
        diff=diff,
    )
    events = EventLines(as_json=fleet.output == "json", on_stdout=fleet.stream)
    with suppress(MacfleetError):  # a stage without nodes says so when its turn comes
        fleet.begin_connections(stage_nodes(fleet, desired, begins or StageName.PROVISION, limit))
    with open_ports(fleet, events) as ports:
        if what == "all":
            with _whole_way(fleet, ports, wanted):
                return int(_all(fleet, desired, ports, wanted, first))
        return int(_stage(fleet, desired, ports, STAGES[what], wanted)[0].exit_code)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The options of one call."""

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


def _whole_way(fleet: FleetContext, ports: Ports, wanted: _Wanted) -> AbstractContextManager[object]:
    """Hold the nodes from the first stage to the last: nobody comes in between two of them."""
    from macfleet.rollout.run_lock import Claim, held

    if wanted.check:
        return nullcontext()
    names = tuple(node.name for node in fleet.nodes(wanted.limit))
    return held(Claim(names, "", "rollout all", wanted.wait), ports.locks, ports.clock, ports.events)


def _stage(
    fleet: FleetContext, desired: Desired, ports: Ports, stage: StageName, wanted: _Wanted
) -> tuple[StageResult, Desired]:
    """Run one stage, show it, and return it with what the fleet folder wants afterwards."""
    from macfleet.cli.compose import stage_nodes
    from macfleet.cli.interrupts import interrupts
    from macfleet.rollout.desired import number
    from macfleet.rollout.run import rollout as run_stage
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
        result = run_stage(stage, nodes, desired, ports_of_run, options)
    result = in_part(result, desired.playbooks[stage], options.tags)
    if not (wanted.whole and fleet.output == "json"):
        _show(fleet, result, desired)
    if stage is StageName.NETWORK and not wanted.check:
        desired = lock_network(fleet, desired, ports, result)
    return result, desired


def _all(fleet: FleetContext, desired: Desired, ports: Ports, wanted: _Wanted, first: str | None) -> ExitCode:
    """Provision, then every stage; as JSON one document of all of them, also when an error ends them."""
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
    fleet: FleetContext, desired: Desired, ports: Ports, wanted: _Wanted, first: str | None
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
        result, desired = _stage(fleet, desired, ports, stage, wanted)
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
            again, desired = _stage(fleet, desired, ports, StageName.LAYOUT, wanted)
            yield again
            if again.exit_code is not ExitCode.DONE:
                return


def _host(after: dict[str, str], before: dict[str, str]) -> bool:
    """Whether a node's mode really moved; a first lock that says bridge changes nothing."""
    return any(mode != before.get(name, "bridge") for name, mode in after.items())


def _way_on(stage: StageName, options: Options) -> str:
    """Return what to type after an interrupt: the same part of the same stage."""
    from macfleet.cli.resume import how_to_resume

    return f"{how_to_resume(stage, options.resume or options.run_id)} {options.tags}".rstrip()


def _options(
    fleet: FleetContext, desired: Desired, ports: Ports, stage: StageName, wanted: _Wanted
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
        load=wanted.load.profile(desired.contract.duration),
        wait=wanted.wait,
        tags=chosen_tags(desired.playbooks[stage], wanted.only_tags, wanted.skip_tags),
        ahead=wanted.ahead,
    )


def _show(fleet: FleetContext, result: StageResult, desired: Desired) -> None:
    from macfleet.views import rollout as view
    from macfleet.views.flow import width_of
    from macfleet.views.rollout_document import document
    from macfleet.views.terminal import show, show_json

    result = fleet.redactor.value(result)
    if fleet.output == "json":
        show_json(document(result))
    else:
        show([*view.lines(result, desired, verbose=fleet.verbose, width=width_of(sys.stdout)), ""])


def _no_parts_of_all() -> Diagnostic:
    return Diagnostic(
        "E0329",
        "--tags and --skip-tags go with one stage",
        why="A part of a stage proves nothing, so the stage after it would refuse every node.",
        mend="Name the stage: macfleet rollout stage3 --tags …",
    )
