"""`macfleet compare` and `macfleet run`: recorded runs beside each other, listed, shown, verified."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import RunId
from macfleet.cli.cost import cost_terms, utilisation_option
from macfleet.cli.difference import golden
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.page import write_page
from macfleet.cli.run_ids import find_runs
from macfleet.cli.run_prune import prune
from macfleet.cli.sign import allowed_signers, export, import_, sign, signers_option
from macfleet.cli.whole_file import write_whole
from macfleet.model.exit_codes import ExitCode, strongest

if TYPE_CHECKING:
    from macfleet.model.diagnostic import Diagnostic
    from macfleet.model.json import Json
    from macfleet.reports.comparison import Comparison
    from macfleet.store import FolderRuns

_BY = ("arm", "node", "ownership", "chip", "network", "runtime")


@click.command(epilog="Examples: macfleet compare --by ownership · macfleet compare RUN RUN --format html")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RunId())
@click.option(
    "--by", type=click.Choice(_BY), default="node", show_default=True, help="What columns stand for."
)
@click.option("--baseline", metavar="RUN", help="Hold every column against this run as well.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json", "csv", "llmd"]),
    help="Make a file to forward; llmd: one llm-d Benchmark Report a cell.",
)
@click.option(
    "--to",
    "target",
    metavar="FILE",
    help="Where the file goes, or the folder for llmd; HTML goes to .macfleet/reports unless said.",
)
@utilisation_option
@click.option("--anew", is_flag=True, help="Reduce the recorded requests again instead of reading summaries.")
@fleet_command
def compare(
    fleet: FleetContext,
    runs: tuple[str, ...],
    by: str,
    baseline: str | None,
    form: str | None,
    target: str | None,
    utilisation: str,
    anew: bool,
) -> int:
    """Put the figures of many nodes beside each other, with their uncertainty and a verdict a node.

    Without RUN the newest load test of each node is taken; imported ones are named to be compared. RUN may
    be the beginning of an id. By ownership, costs per million tokens are shown as well. With --anew every
    figure comes from the requests themselves, and a summary that says otherwise is named.
    """
    from macfleet.analysis.attestations import load_attestations
    from macfleet.analysis.thresholds import load_thresholds
    from macfleet.reports.compare import compare as compare_runs
    from macfleet.reports.loaded import Selection, load_run, newest_runs

    store = fleet.runs
    chosen = (
        Selection(tuple(load_run(store, run) for run in dict.fromkeys(find_runs(store, runs))))
        if runs
        else newest_runs(store.own)
    )
    if anew:
        from macfleet.cli.compare_anew import reduced_anew

        chosen = reduced_anew(store, chosen)
    comparison = compare_runs(
        chosen.runs,
        by,
        baseline=load_run(store, find_runs(store, [baseline])[0]) if baseline else None,
        thresholds=load_thresholds(fleet.files),
        every_run=bool(runs),
        notes=chosen.notes,
        attestations=load_attestations(fleet.files),
    )
    if by == "ownership":
        from macfleet.reports.costs import with_costs

        comparison = with_costs(comparison, chosen.runs, cost_terms(fleet, utilisation))
    comparison = replace(comparison, signed=_signed(fleet, comparison))
    if form == "html":
        return write_page(fleet, comparison, target)
    if form == "llmd":
        from macfleet.cli.llmd import write_reports

        return write_reports(fleet, comparison, chosen.runs, target)
    _print(comparison, "json" if fleet.output == "json" else form, target)
    return ExitCode.DONE


def _signed(fleet: FleetContext, comparison: Comparison) -> dict[str, str]:
    """Say of each run that has a signature what it is worth."""
    from macfleet.store.signing import check_folder

    allowed = allowed_signers(fleet, None)
    states = {
        run_id: check_folder(fleet.runs.folder(run_id), allowed)
        for run_id in {column.run for column in comparison.columns}
    }
    return {run_id: state.words for run_id, state in states.items() if state.present}


@click.group(epilog="Example: macfleet run verify")
def run() -> None:
    """List, show, verify and sign recorded runs; carry them elsewhere and back."""


@run.command("list", epilog="Example: macfleet run list --output json")
@fleet_command
def list_(fleet: FleetContext) -> int:
    """List recorded runs, oldest first."""
    manifests = [fleet.runs.manifest(run_id) for run_id in fleet.runs.ids()]
    marks = {each.id: _marks(fleet.runs, each.id) for each in manifests}
    if fleet.output == "json":
        from macfleet.store.manifests import manifest_document

        rows: list[Json] = [
            {**manifest_document(manifest), "files": None, "marks": marks[manifest.id]}
            for manifest in manifests
        ]
        _print_json("runs", {"runs": rows, "unfinished": list(fleet.runs.unfinished())})
        return ExitCode.DONE
    from macfleet.views.flow import width_of
    from macfleet.views.runs import run_lines
    from macfleet.views.terminal import show

    show(run_lines(manifests, fleet.runs.unfinished(), width_of(sys.stdout), marks))
    return ExitCode.DONE


def _marks(store: FolderRuns, run_id: str) -> list[str]:
    """Return what was added to a run after it was sealed: a signature, the mark of an import."""
    signed = (store.folder(run_id) / "signature").is_file()
    return [word for word, on in (("signed", signed), ("imported", store.imported(run_id))) if on]


@run.command(epilog="Example: macfleet run show 20261123T0412")
@click.argument("run_id", metavar="RUN", type=RunId())
@fleet_command
def show(fleet: FleetContext, run_id: str) -> int:
    """Show one run: what it was, and its cells; of one that never ended, what was done and is in the air."""
    from macfleet.cli.begun import is_begun, show_begun

    if is_begun(fleet, run_id):
        return show_begun(fleet, run_id)
    from macfleet.analysis.summaries import parse_summary, summary_document
    from macfleet.store.manifests import manifest_document

    found = find_runs(fleet.runs, [run_id])[0]
    manifest = fleet.runs.manifest(found)
    summarised = "summary.json" in manifest.files
    cells = parse_summary(fleet.runs.document(found, "summary.json")) if summarised else ()
    if fleet.output == "json":
        gone: dict[str, Json] = {**fleet.runs.dropped(found)}
        document = {"manifest": manifest_document(manifest), "summary": summary_document(cells)}
        _print_json("run", {**document, "dropped": gone})
        return ExitCode.DONE
    from rich.console import Console

    from macfleet.views.runs import show_run

    show_run(manifest, cells, Console(), fleet.runs.dropped(found))
    return ExitCode.DONE


@run.command(epilog="Examples: macfleet run verify · macfleet run verify RUN --allowed-signers FILE")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RunId())
@signers_option
@fleet_command
def verify(fleet: FleetContext, runs: tuple[str, ...], signers: Path | None) -> int:
    """Compare every file of runs with the digest recorded when they were sealed, and check signatures.

    Without RUN all runs are verified. With --allowed-signers every run must be signed by one of them.
    """
    from macfleet.store.bundles import unsigned
    from macfleet.store.signing import check_folder

    store, allowed = fleet.runs, allowed_signers(fleet, signers)
    results: list[tuple[str, str, list[Diagnostic]]] = []
    for each in find_runs(store, runs) if runs else store.ids():
        signed = check_folder(store.folder(each), allowed)
        problems = [*store.verify(each), *([signed.problem] if signed.problem else [])]
        if signers is not None and not signed.present:
            problems.append(unsigned(each))
        results.append((each, signed.words, problems))
    _print_verified(fleet, results)
    return strongest(problem.exit_code for _, _, problems in results for problem in problems)


for _command in (sign, export, import_, golden, prune):
    run.add_command(_command)


def _print_verified(fleet: FleetContext, results: list[tuple[str, str, list[Diagnostic]]]) -> None:
    if fleet.output == "json":
        rows: list[Json] = [
            {
                "run": each,
                "signature": words,
                "dropped": {**fleet.runs.dropped(each)},
                "problems": [{"code": p.code, "summary": p.summary} for p in problems],
            }
            for each, words, problems in results
        ]
        _print_json("verified", {"runs": rows})
        return
    from rich.console import Console

    from macfleet.views.runs import Verified, show_verified

    def shown(each: str, words: str, problems: list[Diagnostic]) -> Verified:
        told = [f"{p.code} {p.summary}" for p in problems]
        return Verified(fleet.runs.manifest(each), words, told, fleet.runs.dropped(each))

    show_verified([shown(*result) for result in results], Console())


def _print(comparison: Comparison, form: str | None, target: str | None) -> None:
    if form is None and target is None:
        from rich.console import Console

        from macfleet.views.compare import show_comparison

        show_comparison(comparison, Console())
        return
    from macfleet.reports.exports import csv_text, json_document
    from macfleet.reports.markdown import markdown

    if form == "json":
        text = json.dumps(json_document(comparison), ensure_ascii=False, indent=1) + "\n"
    else:
        text = csv_text(comparison) if form == "csv" else markdown(comparison)
    if target is None:
        sys.stdout.write(text)
    else:
        write_whole(Path(target), text)


def _print_json(kind: str, document: dict[str, Json]) -> None:
    json.dump({"schema": 1, "kind": kind, **document}, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")
