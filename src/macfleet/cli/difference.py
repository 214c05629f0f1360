"""`macfleet diff` and `macfleet run golden`: what changed, and what a release promises to look like."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import RunId
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.run_ids import find_runs
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from macfleet.reports.difference import Side


@click.command("diff", epilog="Examples: macfleet diff RUN RUN · macfleet diff RUN --golden NOTES.md")
@click.argument("runs", metavar="RUN [RUN]", nargs=-1, type=RunId(), required=True)
@click.option("--golden", metavar="FILE", help="Hold RUN against the known-good figures in release notes.")
@click.option(
    "--node", metavar="NODE", help="Only this node; of two runs of different nodes, name both: A,B."
)
@fleet_command
def difference(fleet: FleetContext, runs: tuple[str, ...], golden: str | None, node: str | None) -> int:
    """Say what changed from one run to another: the image first, then the rest, then each figure.

    Figures are held against each other only where every byte sent was the same.
    """
    from macfleet.reports.difference import difference as differ
    from macfleet.reports.difference import sides
    from macfleet.reports.exports import plain
    from macfleet.reports.golden import parse_golden
    from macfleet.reports.loaded import load_run

    if len(runs) != (1 if golden else 2):
        wanted = "one RUN with --golden" if golden else "two runs, or one with --golden FILE"
        raise click.UsageError(f"diff takes {wanted}.")
    loaded = [sides(load_run(fleet.runs, run)) for run in find_runs(fleet.runs, runs)]
    if golden:
        loaded.insert(0, parse_golden(_text(golden), golden))
    found = [differ(*pair) for pair in _pairs(loaded[0], loaded[1], node)]
    if fleet.output == "json":
        document = {"schema": 1, "kind": "difference", "nodes": plain([asdict(each) for each in found])}
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
        return ExitCode.DONE
    from macfleet.views.difference import difference_lines

    sys.stdout.write("\n\n".join("\n".join(difference_lines(each)) for each in found) + "\n")
    return ExitCode.DONE


@click.command(epilog="Example: macfleet run golden RUN --release v1.4")
@click.argument("run_id", metavar="RUN")
@click.option("--release", required=True, metavar="NAME", help="What the section is titled.")
@fleet_command
def golden(fleet: FleetContext, run_id: str, release: str) -> int:
    """Print a run's hashes and figures as a section of release notes, for `diff --golden` to read."""
    from macfleet.reports.golden import golden_section
    from macfleet.reports.loaded import load_run

    [found] = find_runs(fleet.runs, [run_id])
    run = load_run(fleet.runs, found)
    if not run.cells:
        raise MacfleetError(
            Diagnostic(
                "E1004",
                f"run {found} of kind {run.manifest.kind} holds no figures of a load test",
                mend="macfleet run list",
                exit_code=ExitCode.USAGE,
            )
        )
    section = golden_section(run, release)
    if fleet.output == "json":
        document = {"schema": 1, "kind": "golden", "release": release, "section": section}
        sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(section)
    return ExitCode.DONE


def _pairs(
    before: Mapping[str, Side], after: Mapping[str, Side], node: str | None
) -> list[tuple[Side, Side]]:
    """Pair nodes by name; where each side has one node, they are the pair."""
    if node:
        first, _, second = node.partition(",")
        return [(_one(before, first), _one(after, second or first))]
    common = sorted(before.keys() & after.keys())
    if common:
        return [(before[name], after[name]) for name in common]
    if len(before) == len(after) == 1:
        return list(zip(before.values(), after.values(), strict=True))
    raise MacfleetError(
        Diagnostic(
            "E1009",
            "no node was measured on both sides",
            why=f"Before: {', '.join(sorted(before))}. After: {', '.join(sorted(after))}.",
            mend="Name one of each: --node BEFORE,AFTER",
            exit_code=ExitCode.USAGE,
        )
    )


def _one(known: Mapping[str, Side], name: str) -> Side:
    if name not in known:
        raise MacfleetError(
            Diagnostic(
                "E1009",
                f"{name} was not measured there",
                why=f"Measured: {', '.join(sorted(known))}.",
                exit_code=ExitCode.USAGE,
            )
        )
    return known[name]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MacfleetError(
            Diagnostic("E1008", f"{path} cannot be read", why=str(error), exit_code=ExitCode.USAGE)
        ) from error
