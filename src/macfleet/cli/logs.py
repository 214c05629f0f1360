"""`macfleet logs`: what happened on a node in a run, from the log the run kept."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.model.diagnostic import Diagnostic, MacfleetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ENTRY = re.compile(r"^(\d{4}-\d\d-\d\dT[\d:.]+Z)  (\S+)  ?(.*)$")


@click.command()
@click.argument("node", type=NodePattern())
@click.option("--run", "run_id", default="", metavar="RUN", help="Id of the run (default: the newest).")
@click.option("-n", "--entries", type=click.IntRange(min=1), metavar="N", help="Only the last N entries.")
@click.option("--since", default="", metavar="TIME", help="Such as 10m, or 2026-11-23T04:12 (UTC).")
@click.option("--scripts/--no-scripts", default=True, help="Whether scripts are shown.", show_default=True)
@click.option("--engine", is_flag=True, help="What the engines printed last; -n lines of each (200).")
@fleet_command
def logs(
    fleet: FleetContext,
    node: str,
    run_id: str,
    entries: int | None,
    since: str,
    scripts: bool,
    engine: bool,
) -> int:
    """Show what happened on a node in a run: changes, gates, and every script with its end.

    Also of a run that broke off. As JSON: a line an entry. With --engine the node is asked now.

    Example: macfleet logs mac-01 --no-scripts
    """
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    if engine:
        from macfleet.cli.engine_log import show_engine_log

        if run_id or since:
            raise click.UsageError("--engine asks the node now; it goes with neither --run nor --since.")
        return show_engine_log(fleet, node, entries)
    first = _moment(since, fleet.clock.now())
    run, path = _find(fleet, node, run_id)
    rows = [row for row in _entries(path) if str(row["at"]) >= first and (scripts or row["kind"] != "script")]
    rows = rows[-entries:] if entries else rows
    if fleet.output == "json":
        show(json.dumps({"schema": 1, "run": run, "node": node, **row}, ensure_ascii=False) for row in rows)
        return 0
    click.echo(f"{node} in {run}", err=True)
    for row in rows:
        show([clean(f"{row['at']}  {row['kind']}  {row['text']}".rstrip())])
        show(clean(f"    {line}") for line in row["output"])
    return 0


def _moment(text: str, now: float) -> str:
    """Return the moment that --since names as the log writes it; empty text comes before every moment.

    A moment without an offset is UTC, as the log is.
    """
    from macfleet.model.quantity import parse_seconds

    if not text:
        return text
    try:
        if re.match(r"\d{4}-", text):
            named = dt.datetime.fromisoformat(text)
            moment = named.astimezone(dt.UTC) if named.tzinfo else named.replace(tzinfo=dt.UTC)
        else:
            moment = dt.datetime.fromtimestamp(now - parse_seconds(text), tz=dt.UTC)
    except (ValueError, OverflowError) as error:
        raise click.UsageError(f"--since: {error}; such as 10m, or 2026-11-23T04:12 (UTC).") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _entries(path: Path) -> Iterator[dict[str, str | list[str]]]:
    """Yield what a log holds: when, of what kind, in words, and the lines of output below."""
    current: dict[str, str | list[str]] | None = None
    output: list[str] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            found = _ENTRY.match(line.rstrip("\n"))
            if found:
                if current is not None:
                    yield current
                output = []
                current = {"at": found[1], "kind": found[2], "text": found[3], "output": output}
            else:
                output.append(line.strip("\n").removeprefix("    "))
    if current is not None:
        yield current


def _find(fleet: FleetContext, node: str, given: str) -> tuple[str, Path]:
    """Return the run and the log: of the run that is named, else of the newest that has one."""
    from macfleet.rollout.node_log import log_path

    there = sorted(
        (path.name.removesuffix(".partial"), path / log_path(node))
        for path in fleet.runs.root.glob("*")
        if not path.name.startswith(".")
    )
    fitting = [each for each in there if each[0].startswith(given)]
    if given and len({run for run, _ in fitting}) != 1:
        summary = f"{given} fits {len(fitting)} runs" if fitting else f"there is no run {given}"
        code = "E0958" if fitting else "E0950"
        mend = "Type more of the id." if fitting else "macfleet run list"
        raise MacfleetError(Diagnostic(code, summary, mend=mend))
    kept = [each for each in fitting if each[1].is_file()]
    if not kept:
        raise MacfleetError(_none(fleet, node, given))
    return kept[-1]


def _none(fleet: FleetContext, node: str, given: str) -> Diagnostic:
    from macfleet.documents import nearest

    names = [each.name for each in fleet.inventory.nodes]
    guess = nearest(node, names) if node not in names else None
    mend = f'did you mean "{guess}"?' if guess else "macfleet run list"
    where = f"run {given} kept" if given else "no run kept"
    summary = f"{where} no log of {node}" if given else f"{where} a log of {node}"
    why = "A run keeps a log of each node that it worked on; one without work keeps none."
    return Diagnostic("E0341", summary, why=why, mend=mend)
