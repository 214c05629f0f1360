"""`macfleet rollout`: the five stages, all of them, and the matrix of where every node stands."""

from __future__ import annotations

from contextlib import suppress

import click

from macfleet.cli.fleet import FleetContext, event_command, limit_option
from macfleet.cli.load_length import Asked, duration_of, segments_of
from macfleet.cli.params import count_or_share, diff_option, resume_option, wait_option
from macfleet.cli.rollout_all import run_all
from macfleet.cli.rollout_stage import STAGES, Wanted, run_stage
from macfleet.cli.tags import tag_options
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.stage_name import StageName


@click.command()
@click.argument("what", type=click.Choice([*STAGES, "all", "status"]))
@limit_option
@click.option("--check", is_flag=True, help="Show the plan and refusals; change and measure nothing.")
@diff_option
@click.option("--again", is_flag=True, help="Measure again where evidence is current.")
@resume_option
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
    desired = desired_of(fleet, records=not check, pins=pins, write=pins and not check)
    if what == "status":
        from macfleet.cli.matrix import matrix

        return matrix(fleet, desired, limit)
    load = Asked(duration_of(duration), segments)
    if resume:
        from macfleet.cli.resume import gone_on_with

        resume, limit, load = gone_on_with(fleet, resume, STAGES.get(what), limit, load)
    if what == "all" and (only_tags or skip_tags):
        raise MacfleetError(_no_parts_of_all())
    wanted = Wanted(
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
    with open_ports(fleet, events, looks=check) as ports:
        if what == "all":
            return int(run_all(fleet, desired, ports, wanted, first))
        return int(run_stage(fleet, desired, ports, STAGES[what], wanted)[0].exit_code)


def _no_parts_of_all() -> Diagnostic:
    return Diagnostic(
        "E0329",
        "--tags and --skip-tags go with one stage",
        why="A part of a stage proves nothing, so the stage after it would refuse every node.",
        mend="Name the stage: macfleet rollout stage3 --tags …",
    )
