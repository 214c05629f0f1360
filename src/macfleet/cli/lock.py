"""`macfleet lock`: who holds nodes, in the store and on the nodes, and how a dead holder is got rid of."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.drain_each import finish
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.engine.lock import NodeLock
    from macfleet.model.node import Node
    from macfleet.model.ports import Transport
    from macfleet.rollout.run_lock import LockHolder
    from macfleet.views.locks import Locked

    Ask = Callable[[Transport, str], NodeLock | None]


@click.group()
def lock() -> None:
    """Locks: a run that changes nodes holds them in the store, and each while it changes it."""


@lock.command()
@limit_option
@fleet_command
def status(fleet: FleetContext, limit: str) -> int:
    """Say who holds which nodes, since when, and when it lapses. Changes nothing, needs no lock.

    Example: macfleet lock status -l mac-03
    """
    from macfleet.views.locks import document, lines
    from macfleet.views.terminal import show

    found, failed = _seen(fleet, fleet.nodes(limit))
    if fleet.output == "json":
        return finish(failed, document(found))
    show(lines(found))
    return finish(failed)


@lock.command(name="break")
@click.argument("nodes", nargs=-1, type=NodePattern())
@click.option("--run", metavar="RUN", default="", help="Every node that this run holds.")
@click.option("--reason", required=True, help="Why, kept in the journal of the run that loses them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@fleet_command
def break_lock(fleet: FleetContext, nodes: tuple[str, ...], run: str, reason: str, yes: bool) -> int:
    """Take nodes away from the run that holds them, and end what it runs on them at this moment.

    An engine that a load test left with the GPU off is ended too. What would be broken is shown first. A
    holder that lives after all stops at its next step.

    Example: macfleet lock break mac-03 --reason "the laptop that ran it was stolen"
    """
    from macfleet.cli.compose import confirm
    from macfleet.cli.left_engines import end_left_engines
    from macfleet.views.locks import document, lines
    from macfleet.views.terminal import show

    if not nodes and not run:
        raise MacfleetError(_nothing_named())
    chosen = fleet.nodes(",".join(nodes))
    found, failed = _seen(fleet, chosen)
    if run:
        found = found.of_run(run)
        if len(found.runs) > 1:
            raise MacfleetError(_several(run, found.runs))
        chosen = tuple(node for node in chosen if node.name in found.nodes)
    if not found.nodes:
        if failed:
            return finish(failed)
        raise MacfleetError(_nothing_held(run))
    for line in lines(found, last=_last(fleet, found)):
        click.echo(line, err=True)
    confirm(f"Take {', '.join(found.nodes)} away from {'it' if len(found.runs) == 1 else 'them'}?", yes=yes)
    _journal(fleet, found, reason)
    fleet.state.locks.clear(found.nodes)
    broken, failed = _asked(fleet, [n for n in chosen if n.name in found.nodes], _remove)
    failed += end_left_engines(fleet, [n for n in chosen if n.name in broken], "lock break")
    if fleet.output == "json":
        return finish(failed, {**document(found), "kind": "locks-broken"})
    show(f"{name}  ✓ free" for name in broken)
    return finish(failed)


def _seen(fleet: FleetContext, nodes: Sequence[Node]) -> tuple[Locked, list[MacfleetError]]:
    """Return both kinds of locks; of a node that does not answer the store's alone."""
    from macfleet.views.locks import Locked

    holders: tuple[LockHolder, ...] = fleet.state.locks.holders([node.name for node in nodes])
    on_nodes, failed = _asked(fleet, nodes, _look)
    return Locked(holders, on_nodes), failed


def _look(transport: Transport, mark: str) -> NodeLock | None:
    from macfleet.engine.lock import see_lock

    return see_lock(transport, mark)


def _remove(transport: Transport, mark: str) -> NodeLock | None:
    from macfleet.engine.lock import remove_lock

    return remove_lock(transport, mark)


def _asked(
    fleet: FleetContext, nodes: Sequence[Node], ask: Ask
) -> tuple[Mapping[str, NodeLock | None], list[MacfleetError]]:
    from macfleet.executors.threads import ThreadExecutor

    by_name = {node.name: node for node in nodes}

    def work(name: str) -> NodeLock | None:
        return ask(fleet.transports.to(by_name[name]), f"--{secrets.token_hex(12)}")

    done: dict[str, NodeLock | None] = {}
    failed: list[MacfleetError] = []
    for name, answer in (
        ThreadExecutor(fleet.forks or fleet.settings.forks).each(tuple(by_name), work).items()
    ):
        if isinstance(answer, MacfleetError):
            failed.append(answer)
        elif isinstance(answer, Exception):
            raise answer
        else:
            done[name] = answer
    return done, failed


def _last(fleet: FleetContext, found: Locked) -> Mapping[str, str]:
    """Return what the journal says last of each run that would lose nodes."""
    from macfleet.model.quantity import iso

    told: dict[str, str] = {}
    for run in found.runs:
        entries = fleet.state.entries(run)
        if entries:
            last = entries[-1]
            what = " ".join(filter(None, (last.node, last.kind, str(last.detail.get("address", "")))))
            told[run] = f"last: {what} at {iso(last.at)}"
    return told


def _journal(fleet: FleetContext, found: Locked, reason: str) -> None:
    from macfleet.views.redacted_ports import RedactedJournal

    journal = RedactedJournal(fleet.state, fleet.redactor)
    for name in found.nodes:
        for run in found.runs_of(name):
            journal.note(run, name, "lock.broken", {"who": fleet.who, "reason": reason})


def _nothing_named() -> Diagnostic:
    return Diagnostic(
        "E0594",
        "it is not said what to break",
        mend="Name nodes: macfleet lock break mac-03 --reason …\n"
        "or a run: macfleet lock break --run RUN --reason …",
    )


def _several(given: str, fitting: Sequence[str]) -> Diagnostic:
    return Diagnostic(
        "E0593",
        f"{given} fits {len(fitting)} runs that hold nodes: {', '.join(fitting)}",
        why="One run is broken at a time: each may be alive or dead for itself.",
        mend=f"Type more of the id: macfleet lock break --run {fitting[0]} --reason WHY",
    )


def _nothing_held(run: str) -> Diagnostic:
    return Diagnostic(
        "E0595",
        f"run {run} holds no node" if run else "no run holds any of these nodes",
        mend="See who holds what: macfleet lock status",
        exit_code=ExitCode.NOTHING_SELECTED,
    )
