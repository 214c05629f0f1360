"""What `--resume RUN` means: which run is gone on with, and on which nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.shell import quote
from macfleet.model.stage import StageName

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.cli.load_length import Asked


def gone_on_with(
    fleet: FleetContext, run: str, stage: StageName | None, limit: str, load: Asked
) -> tuple[str, str, Asked]:
    """Return the run to go on with, the pattern of the nodes it left, and how long a load test measures.

    Raises:
        MacfleetError: E0112 (exit 2) no single stage was named; as `resumed` and `as_begun`.
    """
    if stage is None:
        raise MacfleetError(
            Diagnostic(
                "E0112", "--resume goes with one stage", mend="Name the stage of the run: stage1 to stage5."
            )
        )
    origin, limit = resumed(fleet, run, stage, limit)
    return origin, limit, as_begun(fleet, origin, load) if stage is StageName.LOADTEST else load


def resumed(fleet: FleetContext, run: str, stage: StageName, limit: str) -> tuple[str, str]:
    """Return the run to go on with and the pattern of the nodes it did not finish, within a limit.

    A run that itself went on with another stands for that one, whose locks and detached jobs are on the
    nodes. So it does not matter which run of a chain is named, nor how often it broke off.

    Raises:
        MacfleetError: E0956 the journal does not know the run; E0576 (exit 2) it was another stage; E0577
            (exit 2) it left nodes that the inventory no longer has; E0113 (exit 8) nothing of it is left.
    """
    head = fleet.state.head(run)
    if head.command != f"rollout {stage}":
        raise MacfleetError(_other_stage(head.id, head.command))
    origin = fleet.state.origin(head.id)
    left = fleet.state.unsettled(origin)
    known = {node.name for node in fleet.inventory.nodes}
    gone = [name for name in left if name not in known]
    if limit:
        within = {node.name for node in fleet.nodes(limit)}
        left = tuple(name for name in left if name in within)
    elif gone:
        raise MacfleetError(_retired(head.id, gone, [name for name in left if name in known]))
    if not left:
        raise MacfleetError(_nothing_left(head.id, limit))
    return origin, ",".join(left)


def as_begun(fleet: FleetContext, run: str, asked: Asked) -> Asked:
    """Return the length and the segments that a load test goes on with: those it was begun with.

    Raises:
        MacfleetError: E0980 (exit 2) others were asked for: segments of unlike lengths do not add up.
    """
    from macfleet.cli.load_length import Asked

    detail = fleet.state.head(run).detail
    seconds, segments = detail.get("duration"), detail.get("segments")
    if not isinstance(seconds, int | float) or not isinstance(segments, int):
        return asked
    begun = Asked(float(seconds), segments)
    if (asked.seconds or begun.seconds, asked.segments or begun.segments) != (begun.seconds, segments):
        raise MacfleetError(
            Diagnostic(
                "E0980",
                f"run {run} measures {seconds:g} s an arm and cell in {segments} segments",
                why="Its finished segments are used, and all segments of a cell are equally long.",
                mend="Leave --duration and --segments out, or leave --resume out to measure anew.",
            )
        )
    return begun


def finished_nodes(fleet: FleetContext, run: str) -> tuple[str, ...]:
    """Return the nodes that a run, or one that went on with it, finished."""
    left = fleet.state.unsettled(run)
    return tuple(node for node in fleet.state.head(run).nodes if node not in left)


def how_to_resume(stage: StageName, run: str) -> str:
    """Return what to type to go on with a run."""
    from macfleet.rollout.desired import number

    if number(stage):
        return f"macfleet rollout stage{number(stage)} --resume {run}"
    return f"macfleet apply playbooks/site.yml --resume {run}"


def _other_stage(run: str, command: str) -> Diagnostic:
    return Diagnostic(
        "E0576",
        f"run {run} was a {command}",
        why="A run is gone on with by the stage it was.",
        mend=f"See what it did: macfleet run show {run}",
    )


def _retired(run: str, gone: Sequence[str], others: Sequence[str]) -> Diagnostic:
    several = len(gone) > 1
    mend = "Put it back into the inventory" if not several else "Put them back into the inventory"
    if others:
        mend += f", or go on with the others: --resume {run} -l {quote(','.join(others))}"
    return Diagnostic(
        "E0577",
        f"run {run} did not finish {', '.join(gone)}, which the inventory no longer has",
        why="It goes on with every node it left; none is passed over without a word.",
        mend=f"{mend}.",
    )


def _nothing_left(run: str, limit: str) -> Diagnostic:
    return Diagnostic(
        "E0113",
        f"run {run} finished every node{f' of {limit}' if limit else ''}",
        mend="Nothing is left to resume; to run it anew leave --resume out.",
        exit_code=ExitCode.NOTHING_SELECTED,
    )
