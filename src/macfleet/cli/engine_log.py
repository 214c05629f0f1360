"""`macfleet logs NODE --engine`: the last lines of the engines themselves, from the node as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.shell import quote

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.model.node import Node
    from macfleet.model.ports import Completed

LINES = 200
"""Lines of each engine, unless said."""
_BYTES = 256 * 1024
_DEADLINE = 60.0
_NEXT = "--- macfleet: bare"
_WIPED = "\x1b[2K"
"""What Compose writes before its lines, as if for a terminal."""


def show_engine_log(fleet: FleetContext, name: str, lines: int | None) -> int:
    """Show what the engines of one node printed last, the container's with times.

    Raises:
        MacfleetError: E0440 the node's engine does not give its log; NodeUnreachable.
    """
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show, show_json

    found = fleet.nodes(name)
    if len(found) != 1:
        raise click.UsageError(f"{name} is {len(found)} nodes; name one.")
    node = found[0]
    script = log_script(node, lines or LINES)
    done = fleet.redactor.value(fleet.transports.to(node).run(script, deadline=_DEADLINE))
    said = engine_lines(node, done)
    if fleet.output == "json":
        engines = {engine: list(told) for engine, told in said.items()}
        show_json({"schema": 1, "kind": "engine-log", "node": node.name, "engines": engines})
        return int(ExitCode.DONE)
    for engine, told in said.items():
        click.echo(f"{node.name} {engine}: {len(told)} line{'' if len(told) == 1 else 's'}", err=True)
        show(f"{engine} │ {clean(line)}" for line in told)
    return int(ExitCode.DONE)


def log_script(node: Node, lines: int) -> str:
    """Return what prints the container's last lines, a mark, and the bare engine's, at most 256 KiB each."""
    from macfleet.rollout.arms import ENVIRONMENT

    project = str(node.variables.get("compose_project") or node.pool or "macfleet")
    bare = f"{node.roots.logs}/bare-engine.log" if node.roots else ""
    return (
        f"{ENVIRONMENT}\n"
        f"said=$(docker compose --project-name {quote(project)} logs --no-color --timestamps --tail {lines}"
        f" </dev/null 2>&1) || {{ printf '%s\\n' \"$said\"; exit 1; }}\n"
        f'[ -z "$said" ] || printf \'%s\\n\' "$said" | tail -c {_BYTES}\n'
        f"echo {quote(_NEXT)}\n"
        f"[ ! -f {quote(bare)} ] || tail -n {lines} {quote(bare)} | tail -c {_BYTES}"
    )


def engine_lines(node: Node, done: Completed) -> Mapping[str, tuple[str, ...]]:
    """Return each engine's lines by arm, those without a line left out (raises MacfleetError E0440)."""
    text = done.stdout.decode("utf-8", "replace").replace(_WIPED, "")
    container, mark, bare = text.partition(f"{_NEXT}\n")
    if done.exit != 0 or not mark:
        said = (text or done.stderr.decode("utf-8", "replace")).strip()[-400:]
        raise MacfleetError(
            Diagnostic(
                "E0440",
                "the node does not give the log of its engine",
                why=f"exit status {done.exit}: {said or 'it said nothing'}",
                mend=f"Look at it: macfleet facts -l {node.name}",
                node=node.name,
                exit_code=ExitCode.NODE_FAILED,
            )
        )
    engines = {"container": tuple(container.splitlines()), "bare": tuple(bare.splitlines())}
    return {engine: lines for engine, lines in engines.items() if lines}
