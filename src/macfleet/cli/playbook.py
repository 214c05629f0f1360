"""`plan`, `apply` and `drift`: one playbook, the same probes for all three."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from macfleet.cli.fleet import FleetContext, event_command, limit_option
from macfleet.cli.params import diff_option, resume_option, wait_option
from macfleet.cli.show_stage import show_stage
from macfleet.cli.tags import chosen_tags, in_part, tag_options
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.stage_name import StageName

if TYPE_CHECKING:
    from macfleet.cli.saved_plan import SavedPlan
    from macfleet.playbooks import TagChoice
    from macfleet.rollout.result import StageResult


@click.command()
@click.argument("playbook")
@limit_option
@tag_options
@diff_option
@click.option("--save", type=click.Path(path_type=Path), metavar="FILE", help="Keep the plan for `apply`.")
@event_command
def plan(
    fleet: FleetContext,
    playbook: str,
    limit: str,
    only_tags: tuple[str, ...],
    skip_tags: tuple[str, ...],
    diff: bool,
    save: Path | None,
) -> int:
    """Show what a playbook would change; exit 3 when something would.

    Example: macfleet plan playbooks/site.yml -l mac-01 --save site.plan
    """
    tags = _Tags(only_tags, skip_tags)
    done = _run(fleet, playbook, limit, tags, check=True, diff=diff)
    if save is not None:
        _keep(fleet, save, done, tags)
    return int(done.result.exit_code)


@click.command()
@click.argument("playbook")
@limit_option
@tag_options
@click.option("--check", is_flag=True, help="Only show the plan.")
@diff_option
@resume_option
@wait_option
@click.option("--reason", default="", help="Why, for the record.")
@event_command
def apply(
    fleet: FleetContext,
    playbook: str,
    limit: str,
    only_tags: tuple[str, ...],
    skip_tags: tuple[str, ...],
    check: bool,
    diff: bool,
    resume: str,
    wait: float,
    reason: str,
) -> int:
    """Bring nodes to the state a playbook describes, or carry a saved plan out.

    A saved plan that no longer fits a node is refused for that node alone.

    Example: macfleet apply playbooks/site.yml -l rented
    """
    from macfleet.cli.saved_plan import is_saved_plan

    if diff and not check:
        raise click.UsageError("--diff goes with --check.")
    tags = _Tags(only_tags, skip_tags)
    saved: _Saved | None = None
    if is_saved_plan(Path(playbook)):
        if resume or any(tags):
            words = "--resume" if resume else "--tags and --skip-tags"
            raise click.UsageError(
                f"{words}: a saved plan is carried out as it is; name its playbook instead."
            )
        saved = _saved(fleet, Path(playbook), limit)
        playbook, limit, tags = saved.plan.playbook, saved.limit, saved.tags
    done = _run(
        fleet,
        playbook,
        limit,
        tags,
        check=check,
        diff=diff,
        reason=reason,
        saved=saved,
        wait=wait,
        resume=resume,
    )
    return int(done.result.exit_code)


@click.command()
@click.argument("playbook", default="playbooks/site.yml")
@limit_option
@tag_options
@diff_option
@event_command
def drift(
    fleet: FleetContext,
    playbook: str,
    limit: str,
    only_tags: tuple[str, ...],
    skip_tags: tuple[str, ...],
    diff: bool,
) -> int:
    """Say what differs from a playbook and change nothing; an unreachable node is an error (exit 5).

    Example: macfleet drift playbooks/stage3-layout.yml
    """
    done = _run(fleet, playbook, limit, _Tags(only_tags, skip_tags), check=True, diff=diff)
    return int(done.result.exit_code)


class _Tags(NamedTuple):
    """What was typed after --tags and --skip-tags."""

    only: tuple[str, ...]
    skip: tuple[str, ...]


class _Saved(NamedTuple):
    """A saved plan that is carried out: its file, and the nodes of it that are meant."""

    plan: SavedPlan
    path: Path
    limit: str
    limited: bool

    @property
    def tags(self) -> _Tags:
        return _Tags(self.plan.only_tags, self.plan.skip_tags)


class _Done(NamedTuple):
    """A result as it may be shown, and as it was before secrets were taken out: plans' digests hold there."""

    result: StageResult
    whole: StageResult


def _saved(fleet: FleetContext, path: Path, limit: str) -> _Saved:
    """Return a plan with those of its nodes that `limit` and the inventory leave."""
    from macfleet.cli.saved_plan import read_plan, refuse_other_fleet, refuse_other_nodes

    plan = read_plan(path)
    refuse_other_fleet(plan, path, fleet.settings.name)
    known = {node.name for node in fleet.inventory.nodes}
    there = [name for name in plan.nodes if name in known]
    if not there:  # an empty limit would mean every node
        refuse_other_nodes(plan, path, there, limited=False)
    return _Saved(plan, path, limit or ",".join(there), bool(limit))


def _keep(fleet: FleetContext, path: Path, done: _Done, tags: _Tags) -> None:
    """Save a plan, and say of which nodes there is none."""
    from macfleet.cli.compose import PLAYBOOKS
    from macfleet.cli.saved_plan import SavedPlan, save_plan, seen_of

    result = done.result
    without = [node.node for node in result.results if node.plan is None]
    if len(without) == len(result.results):
        click.echo(f"Not saved: {path}. No node could be planned.", err=True)
        return
    seen = seen_of(result, done.whole)
    playbook = PLAYBOOKS[result.stage]
    save_plan(path, SavedPlan(fleet.settings.name, result.stage, playbook, seen, *tags), result)
    lacking = f" without {', '.join(without)}" if without else ""
    click.echo(f"Saved: {path}{lacking}. Carry it out: macfleet apply {path}", err=True)


def _run(
    fleet: FleetContext,
    playbook: str,
    limit: str,
    tags: _Tags,
    *,
    check: bool,
    diff: bool = False,
    reason: str = "",
    saved: _Saved | None = None,
    wait: float = 0.0,
    resume: str = "",
) -> _Done:
    from macfleet.cli.compose import PLAYBOOKS, desired_of, new_run_id, open_ports, stage_nodes

    stage = _stage_of(fleet, playbook)
    if not resume:
        fleet.begin_early(PLAYBOOKS[stage], limit)
    from macfleet.cli.interrupts import interrupts
    from macfleet.rollout.run import Options, rollout
    from macfleet.views.progress import EventLines, watching
    from macfleet.views.redacted_ports import RedactedEvents

    desired = desired_of(fleet, last=stage, records=not check)
    if not check and desired.playbooks[stage].measure is not None:
        raise MacfleetError(_measures(playbook, stage))
    choice = chosen_tags(desired.playbooks[stage], *tags)
    as_json = fleet.output == "json"
    if resume:
        from macfleet.cli.resume import resumed

        resume, limit = resumed(fleet, resume, stage, limit)
    nodes = stage_nodes(fleet, desired, stage, limit)
    if saved:
        from macfleet.cli.saved_plan import refuse_other_nodes

        names = [node.name for node in nodes]
        refuse_other_nodes(saved.plan, saved.path, names, limited=saved.limited)
    fleet.begin_connections(nodes)
    events = EventLines(as_json=as_json, on_stdout=fleet.stream)
    with open_ports(fleet, events, looks=check) as ports:
        run_id = new_run_id(posixpath.basename(playbook).split(".")[0].split("-")[0], ports.clock.now())
        options = Options(
            run_id=run_id,
            who=fleet.who,
            check=check,
            diff=diff,
            resume=resume,
            why=reason,
            saved=saved.plan.seen if saved else None,
            tags=choice,
            wait=wait,
        )
        with (
            interrupts(fleet, "" if check else _way_on(stage, resume or run_id, choice)),
            watching(
                playbook, [node.name for node in nodes], as_json=as_json, on_stdout=fleet.stream
            ) as shown,
        ):
            result = rollout(
                stage, nodes, desired, replace(ports, events=RedactedEvents(shown, fleet.redactor)), options
            )
    shown_result = fleet.redactor.value(in_part(result, desired.playbooks[stage], choice))
    show_stage(fleet, shown_result, desired)
    return _Done(shown_result, result)


def _way_on(stage: StageName, run: str, choice: TagChoice) -> str:
    """Return what to type after an interrupt: the same part of the same playbook."""
    from macfleet.cli.resume import how_to_resume

    return f"{how_to_resume(stage, run)} {choice}".rstrip()


def _measures(playbook: str, stage: StageName) -> Diagnostic:
    from macfleet.rollout.desired import number

    return Diagnostic(
        "E0118",
        f"{playbook} measures, and only a rollout keeps what follows from that",
        mend=f"Type: macfleet rollout stage{number(stage)}",
    )


def _stage_of(fleet: FleetContext, playbook: str) -> StageName:
    """Return the stage a playbook file is; raises MacfleetError E0115 for another file."""
    from macfleet.cli.compose import PLAYBOOKS

    given = Path(playbook)
    for base in (fleet.root, Path.cwd()):
        path = (base / given).resolve()
        for stage, known in PLAYBOOKS.items():
            if path == (fleet.root / known).resolve():
                return stage
    raise MacfleetError(
        Diagnostic(
            "E0115",
            f"{playbook} is not one of this fleet's playbooks",
            why="It is no saved plan either." if given.is_file() else "",
            mend=f"Known: {', '.join(PLAYBOOKS.values())}",
            exit_code=ExitCode.USAGE,
        )
    )
