"""`macfleet lock`: who holds a node's lock, and how a dead one is broken."""

from __future__ import annotations

import click

from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.exit_codes import ExitCode

_FOLDER = '"$HOME/.macfleet/lock"'


@click.group()
def lock() -> None:
    """Locks of nodes: a run that changes a node holds one."""


@lock.command()
@limit_option
@fleet_command
def status(fleet: FleetContext, limit: str) -> int:
    """Say which nodes are locked, by which run, and since when.

    Example: macfleet lock status -l mac-03
    """
    return _each(fleet, limit, f"cat {_FOLDER}/holder 2>/dev/null || :", "free")


@lock.command(name="break")
@click.argument("nodes", nargs=-1, required=True)
@fleet_command
def break_lock(fleet: FleetContext, nodes: tuple[str, ...]) -> int:
    """Remove the lock of nodes whose run is dead; look first with: macfleet lock status.

    Example: macfleet lock break mac-03
    """
    script = f"cat {_FOLDER}/holder 2>/dev/null; rm -rf {_FOLDER}"
    return _each(fleet, ",".join(nodes), script, "was not locked")


def _each(fleet: FleetContext, limit: str, script: str, otherwise: str) -> int:
    from macfleet.executors.threads import ThreadExecutor
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show, show_json

    by_name = {node.name: node for node in fleet.nodes(limit)}

    def ask(name: str) -> str:
        return fleet.transports.to(by_name[name]).run(script, deadline=20).stdout.decode("utf-8", "replace")

    answers = ThreadExecutor(fleet.forks or fleet.settings.forks).each(tuple(by_name), ask)
    failed = [answer for answer in answers.values() if isinstance(answer, Exception)]
    told = {name: str(a).split("\n") for name, a in answers.items() if not isinstance(a, Exception)}
    if fleet.output == "json":
        show_json({"schema": 1, "kind": "locks", "nodes": {n: [p for p in t if p] for n, t in told.items()}})
    else:
        show(f"{name}  {clean(' · '.join(p for p in text if p)) or otherwise}" for name, text in told.items())
    for error in failed:
        if not isinstance(error, MacfleetError):
            raise error
    if failed:
        raise MacfleetError(d for e in failed if isinstance(e, MacfleetError) for d in e.diagnostics)
    return int(ExitCode.DONE)
