"""`macfleet lab fault`: break one thing of a simulated node, see it, mend it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from macfleet.lab import LabConfig

_LIST = "list"


def fault_kinds(_context: click.Context, _argument: click.Parameter, incomplete: str) -> list[str]:
    """Return the faults a shell may offer for what is typed so far."""
    from macfleet.lab.faults import FAULTS

    return [kind for kind in FAULTS if kind.startswith(incomplete)]


def change(config: LabConfig, node: str, kind: str, *, off: bool, output: str) -> int:
    """Plant a fault or end it, and say what was done (raises MacfleetError)."""
    from macfleet.lab.faults import FAULTS, end, plant

    changed = end(config, node, kind) if off else plant(config, node, kind)
    if output == "json":
        _print({"node": node, "fault": kind, "on": not off, "changed": changed})
        return 0
    if not changed:
        click.echo(f"· {node}   {kind} {'is not there' if off else 'is there already'}")
    elif off:
        click.echo(f"✓ {node}   {kind} ended")
    else:
        click.echo(f"✓ {node}   {kind}: {FAULTS[kind].does}")
        click.echo(f"End it: macfleet lab fault {node} {kind} --off")
    return 0


def overview(config: LabConfig, node: str | None, output: str) -> int:
    """List the faults there are, and which are there on the nodes of the lab, where one is up."""
    from macfleet.lab.faults import FAULTS, active
    from macfleet.lab.state import state_file

    there = active(config) if state_file(config).exists() or node not in (None, _LIST) else {}
    if node not in (None, _LIST):
        there = {name: kinds for name, kinds in there.items() if name == node}
    if output == "json":
        kinds = [{"fault": each.kind, "does": each.does, "ends": each.ends} for each in FAULTS.values()]
        _print({"faults": kinds, "planted": {name: list(found) for name, found in there.items()}})
        return 0
    if node in (None, _LIST):
        for each in FAULTS.values():
            click.echo(f"{each.kind:<16}{each.does}")
            click.echo(f"{'':<16}ended by --off{'' if each.ends == 'nothing else' else f', {each.ends}'}")
        click.echo()
    for name, found in there.items():
        click.echo(f"! {name}   {', '.join(found)}")
    if not there:
        click.echo("Nothing is planted.")
    return 0


def _print(document: Mapping[str, object]) -> None:
    click.echo(json.dumps({"schema": 1, "kind": "lab-fault", **document}, indent=2))
