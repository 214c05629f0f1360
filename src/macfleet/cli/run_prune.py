"""`macfleet run prune`: runs that are old and serve nothing leave this machine's disk, so do token events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.params import time_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.model.json import Json
    from macfleet.rollout.run_prune import JudgedRun


@click.command(epilog="Examples: macfleet run prune --check · macfleet run prune --older 90d --yes")
@click.option("--check", is_flag=True, help="Show what would go and what stays, and why; exit 3.")
@time_option("--older", "Age a run may reach; retention.runs of macfleet.yml unless said.")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="Newest runs that stay; retention.keep unless said.",
)
@time_option("--events", "Age token events of the others may reach; retention.events unless said.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@fleet_command
def prune(
    fleet: FleetContext,
    check: bool,
    older: float | None,
    keep: int | None,
    events: float | None,
    yes: bool,
) -> int:
    """Remove runs that are old and serve nothing, from this machine's disk.

    Signed runs stay, and those that the newest evidence of a node or network.lock rests on. What was done
    stays in the journal. Of runs that stay the times of single tokens go after a while, signed or not: what
    was sealed says that they may, so that signatures hold.
    """
    from macfleet.cli.compose import confirm
    from macfleet.rollout.run_prune import judge_runs
    from macfleet.store.run_prune import runs_on_disk

    kept = fleet.settings.retention
    judged = judge_runs(
        tuple(runs_on_disk(fleet.runs)),
        _needed(fleet),
        fleet.clock.now(),
        older=kept.runs if older is None else older,
        keep=keep or kept.keep,
        events=kept.events if events is None else events,
    )
    gone, dropping = [each for each in judged if each.goes], [each for each in judged if each.drops]
    if (gone or dropping) and not check:
        also = f", and drop the token events of {len(dropping)}" if dropping else ""
        confirm(f"Remove {len(gone)} of {len(judged)} runs for good{also}?", yes=yes)
        _remove(fleet, gone, dropping)
    _show(fleet, judged, check=check)
    return ExitCode.PENDING if (gone or dropping) and check else ExitCode.DONE


def _needed(fleet: FleetContext) -> dict[str, str]:
    """Return why a run is needed, by its id; the weightiest reason last, so that it is the one shown."""
    from macfleet.cli.lock_files import network_lock

    needed = {
        run: f"newest evidence of {stage} on {node}" for run, node, stage in fleet.state.newest_evidence()
    }
    for name, choice in network_lock(fleet).items():
        needed[choice.run] = f"network.lock rests on it for {name}"
    for run in fleet.runs.ids():
        if (fleet.runs.folder(run) / "signature").is_file():
            needed[run] = "signed"
    return needed


def _remove(fleet: FleetContext, gone: list[JudgedRun], dropping: list[JudgedRun]) -> None:
    """Remove runs and token events, and tell the journal who did (raises MacfleetError E0959)."""
    from macfleet.model.quantity import iso
    from macfleet.store.run_prune import remove_runs

    names: list[Json] = [each.run.id for each in gone]
    without: list[Json] = [each.run.id for each in dropping]
    detail: dict[str, Json] = {"who": fleet.who, "runs": names, "events": without}
    fleet.state.note("runs", "", "runs.pruned", detail)
    try:
        remove_runs(fleet.runs, [each.run for each in gone])
        for each in dropping:
            fleet.runs.drop_token_events(each.run.id, iso(fleet.clock.now()))
    except OSError as error:
        raise MacfleetError(
            Diagnostic(
                "E0959",
                f"{error.filename} cannot be removed: {error.strerror}",
                why="Runs are moved aside first, so that none is left half.",
                mend="Mend the permissions of .macfleet/runs, then: macfleet run prune",
                exit_code=ExitCode.INTERNAL,
            )
        ) from error


def _show(fleet: FleetContext, judged: tuple[JudgedRun, ...], *, check: bool) -> None:
    from macfleet.views.run_prune import document, lines
    from macfleet.views.terminal import show, show_json

    if fleet.output == "json":
        show_json(document(judged, check=check))
    else:
        show(lines(judged, check=check, verbose=fleet.verbose))
