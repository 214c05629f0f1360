"""`macfleet promote`: one environment's digests become another's, when nothing else would differ."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.model.json import Json
    from macfleet.model.node import Node
    from macfleet.rollout.promotion import Environment, Promotion


@click.command()
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--check", is_flag=True, help="Show the difference; exit 3 when something would be promoted.")
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@fleet_command
def promote(fleet: FleetContext, source: str, target: str, check: bool, reason: str, yes: bool) -> int:
    """Give environment TO the digests that FROM runs.

    Compose file, mounts and engine flags of both are compiled and held against each other first: a difference
    that promotion.yml does not declare is refused (exit 2). No node changes before the next rollout.

    Example: macfleet promote staging production --reason "b10434 held for a week"
    """
    from macfleet.cli.compose import confirm
    from macfleet.rollout.promotion import refuse
    from macfleet.views.flow import width_of
    from macfleet.views.promotion import document, lines
    from macfleet.views.terminal import show, show_json

    seen = _locks_read(fleet, source, target)
    found = _planned(fleet, source, target)
    as_json = fleet.output == "json"
    if not as_json:
        show([*lines(fleet.redactor.value(found), width_of(sys.stdout)), ""])
    try:
        refuse(found)
    except MacfleetError as error:
        error.document = document(found, done=False)
        raise
    begins = not fleet.files.exists(_file(target))
    due = found.changes or begins
    if due and not check:
        if not as_json:
            click.echo(
                f"{_file(target)} is {'made' if begins else 'replaced'}; no node changes yet.", err=True
            )
        confirm(f"Promote {found.release.id} to {target}?", yes=yes)
        _carry_out(fleet, found, reason, seen)
    if as_json:
        show_json(document(found, done=due and not check))
    elif not due:
        show([f"· nothing to promote: {target} is to run {found.release.id} already"])
    elif not check:
        show([f"✓ {target} is to run {found.release.id}", f"Next: macfleet rollout all -l {target}"])
    return int(ExitCode.PENDING if due and check else ExitCode.DONE)


def environments(fleet: FleetContext) -> Mapping[str, tuple[Node, ...]]:
    """Return the nodes with containers of each environment, by its name."""
    from macfleet.cli.releases import serving_nodes

    found: dict[str, tuple[Node, ...]] = {}
    for node in serving_nodes(fleet):
        if node.environment:
            found[node.environment] = (*found.get(node.environment, ()), node)
    return found


def _planned(fleet: FleetContext, source: str, target: str) -> Promotion:
    from macfleet.cli.compose import desired_of
    from macfleet.documents import nearest
    from macfleet.rollout.promotion import plan_promotion, refuse_names
    from macfleet.rollout.promotion_declared import load_declared

    known = environments(fleet)
    refuse_names(source, target, known, {name: nearest(name, known) for name in (source, target)})
    declared = load_declared(fleet.files)
    desired = desired_of(fleet)
    sides = [_environment(fleet, name, known[name]) for name in (source, target)]
    return plan_promotion(sides[0], sides[1], desired, declared, fleet.state)


def _environment(fleet: FleetContext, name: str, nodes: tuple[Node, ...]) -> Environment:
    from macfleet.cli.releases import lock_of, path_of
    from macfleet.rollout.promotion import Environment

    return Environment(name, nodes, lock_of(fleet, path_of(fleet, name)))


def _carry_out(fleet: FleetContext, found: Promotion, reason: str, seen: Mapping[str, bytes]) -> None:
    """Write the target's lock while nobody works on its nodes, and note who did it and why.

    Raises:
        MacfleetError: E0590 (exit 6) a run works on them, E0686 (exit 7) a lock is not as it was `seen`.
    """
    from dataclasses import replace

    from macfleet.cli.releases import lock_of, moved, path_of, record, writing
    from macfleet.contract.releases import Brought, render_releases, succeeded
    from macfleet.model.quantity import iso
    from macfleet.rollout.run_lock import Claim, held
    from macfleet.views.progress import EventLines

    path, command = _file(found.target), f"promote {found.source} {found.target}"
    events = EventLines(as_json=fleet.output == "json", on_stdout=fleet.stream)
    reason = fleet.redactor.text(reason)
    with (
        held(Claim(found.nodes, "", command), fleet.locks, fleet.clock, events),
        writing(fleet, path, command),
    ):
        now = _locks_read(fleet, found.source, found.target)
        if changed := sorted(each for each in {*seen, *now} if seen.get(each) != now.get(each)):
            raise MacfleetError(moved(changed))
        brought = Brought(found.source, fleet.who, iso(fleet.clock.now()), reason)
        before = lock_of(fleet, path_of(fleet, found.target))
        lock = succeeded(before, replace(found.release, brought=brought))
        write_whole(fleet.root / path, render_releases(lock, found.target))
        detail: dict[str, Json] = {"why": reason, "from": found.source, "to": found.target}
        detail |= {"before": found.before.id, "after": found.release.id, "nodes": list(found.nodes)}
        record(fleet, "", "release.promoted", detail)


def _locks_read(fleet: FleetContext, *environments: str) -> Mapping[str, bytes]:
    """Return the bytes of the locks that environments run by, empty for one that is not there, by path."""
    from macfleet.cli.releases import path_of

    paths = sorted({path_of(fleet, each) for each in environments})
    return {path: fleet.files.read(path) if fleet.files.exists(path) else b"" for path in paths}


def _file(environment: str) -> str:
    from macfleet.contract.releases import lock_file

    return lock_file(environment)
