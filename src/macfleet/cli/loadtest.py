"""`macfleet loadtest`: cells measured on the side, what other load generators measured, and how both look."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import RunId
from macfleet.cli.fleet import FleetContext, event_command, fleet_command, limit_option
from macfleet.cli.load_length import duration_of
from macfleet.cli.loadtest_watch import watch
from macfleet.cli.params import wait_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm

if TYPE_CHECKING:
    from macfleet.model.json import Json
    from macfleet.model.run import RunManifest
    from macfleet.rollout.ad_hoc import AdHoc, AdHocResult
    from macfleet.store.imports import Source

_KINDS = ("guidellm", "aiperf", "vllm", "llmd")


@click.group(epilog="Example: macfleet loadtest import benchmarks.json --node mac-01 --arm bare")
def loadtest() -> None:
    """Measure a cell on the side, bring in what other load generators measured, and look at cells."""


loadtest.add_command(watch)


def _bucket(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not value.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise click.BadParameter("letters, digits, - _ and . only")
    return value


@loadtest.command(
    "import", epilog="Example: macfleet loadtest import benchmarks.json --node mac-01 --arm bare"
)
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(_KINDS), help="What wrote it; told from its content unless said.")
@click.option("--node", required=True, metavar="NODE", help="The node that was measured.")
@click.option("--arm", type=click.Choice([str(arm) for arm in Arm]), required=True, help="Its arm.")
@click.option(
    "--bucket", default="imported", show_default=True, callback=_bucket, help="What the load is called here."
)
@click.option("--concurrency", type=click.IntRange(1), help="Streams in flight, where the file does not say.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Or requests a second offered.")
@click.option("--why", default="", help="Kept in the run.")
@fleet_command
def import_(
    fleet: FleetContext,
    source: Path,
    kind: str | None,
    node: str,
    arm: str,
    bucket: str,
    concurrency: int | None,
    rate: float | None,
    why: str,
) -> int:
    """Record the result of GuideLLM, AIPerf, vLLM bench or an llm-d report as a run of kind imported.

    Such a run is shown beside ours where it is named (macfleet compare RUN RUN), with what is not comparable.
    It is never picked by itself, judged or signed.
    """
    from macfleet.store.imports import Target, read_import, record_import

    if concurrency and rate:
        raise click.UsageError("--concurrency and --rate exclude each other: a loop is closed or open")
    names = [each.name for each in fleet.nodes(node)]
    if len(names) != 1:
        raise MacfleetError(
            Diagnostic(
                "E1067",
                f"{node} selects {len(names)} nodes; a result is about one",
                mend="Name one node: --node NODE",
            )
        )
    read = read_import(source.absolute(), kind or "")
    target = Target(names[0], arm, bucket, concurrency or 0, rate or 0.0)
    manifest = record_import(fleet.runs, read, target, _head(fleet, why))
    _say(fleet, manifest, read)
    return ExitCode.DONE


@loadtest.command(epilog="Example: macfleet loadtest show 20261123T0412")
@click.argument("run_id", metavar="[RUN]", type=RunId(), required=False)
@fleet_command
def show(fleet: FleetContext, run_id: str | None) -> int:
    """Show a load test's cells, and of an imported one what is not comparable.

    Without RUN the newest one is shown.
    """
    from macfleet.cli.run_ids import find_runs

    _show(fleet, find_runs(fleet.runs, [run_id])[0] if run_id else _newest(fleet))
    return ExitCode.DONE


@loadtest.command(
    epilog="Example: macfleet loadtest run -l mac-01 --arm container --concurrency 4 --duration 60s"
)
@limit_option
@click.option("--arm", type=click.Choice([str(arm) for arm in Arm]), default="container", show_default=True)
@click.option("--bucket", default="", help="Of the contract (default: its primary bucket).")
@click.option("--concurrency", type=click.IntRange(1, 256), help="Requests kept in flight (default: 1).")
@click.option("--rate", type=click.FloatRange(0, 1000, min_open=True), help="Or requests a second offered.")
@click.option(
    "--arrivals",
    type=click.Choice(["constant", "poisson"]),
    help="With --rate: how requests follow each other.",
)
@click.option("--duration", default="60s", show_default=True, metavar="TIME", help="Of the window.")
@click.option("--why", default="", help="Kept in the run.")
@wait_option
@event_command
def run(
    fleet: FleetContext,
    limit: str,
    arm: str,
    bucket: str,
    concurrency: int | None,
    rate: float | None,
    arrivals: str | None,
    duration: str,
    why: str,
    wait: float,
) -> int:
    """Load one arm of nodes as they stand, and record one cell as a run of kind ad-hoc.

    Nothing is drained, stopped or started, so other people's requests wait behind these, and make the cell
    INVALID (exit 7). Such a run is never signed or judged, and compared only where it is named.
    """
    from macfleet.rollout.ad_hoc import AdHoc

    if concurrency and rate:
        raise click.UsageError("--concurrency and --rate exclude each other: a loop is closed or open")
    if arrivals and not rate:
        raise click.UsageError("--arrivals goes with --rate")
    seconds = duration_of(duration) or 60.0
    warmup = min(5.0, max(1.0, seconds / 10))
    kept = fleet.settings.token_events
    wish = AdHoc(arm, bucket, concurrency or 1, rate or 0.0, arrivals or "constant", seconds, warmup, kept)
    result = _measured(fleet, wish, limit, why, wait)
    if result.cells:
        _show(fleet, result.manifest.id)
    if result.problems:
        raise MacfleetError(result.problems)
    return ExitCode.HELD if any(cell.invalid for cell in result.cells) else ExitCode.DONE


def _measured(fleet: FleetContext, wish: AdHoc, limit: str, why: str, wait: float) -> AdHocResult:
    from dataclasses import replace

    from macfleet.cli.compose import desired_of, new_run_id, open_ports, stage_nodes
    from macfleet.cli.interrupts import interrupts
    from macfleet.model.stage import StageName
    from macfleet.rollout.ad_hoc import measure_ad_hoc
    from macfleet.rollout.run_lock import Claim, held
    from macfleet.views.progress import EventLines, watching
    from macfleet.views.redacted_ports import RedactedEvents

    desired = desired_of(fleet)
    nodes = stage_nodes(fleet, desired, StageName.LOADTEST, limit)
    names = tuple(node.name for node in nodes)
    events = EventLines(as_json=fleet.output == "json", on_stdout=fleet.stream)
    with open_ports(fleet, events) as ports:
        run_id = new_run_id("adhoc", ports.clock.now())
        claim = Claim(names, run_id, "loadtest run", wait)
        with (
            interrupts(fleet, ""),
            held(claim, ports.locks, ports.clock, ports.events),
            watching("Ad hoc", names, as_json=fleet.output == "json", on_stdout=fleet.stream) as shown,
        ):
            own = replace(ports, events=RedactedEvents(shown, fleet.redactor))
            return measure_ad_hoc(wish, nodes, desired, own, run_id=run_id, who=fleet.who, why=why)


def _show(fleet: FleetContext, found: str) -> None:
    from macfleet.analysis.summaries import parse_summary, summary_document
    from macfleet.store.imports import DOCUMENT
    from macfleet.store.manifests import manifest_document

    manifest = fleet.runs.manifest(found)
    summarised = "summary.json" in manifest.files
    cells = parse_summary(fleet.runs.document(found, "summary.json")) if summarised else ()
    about = fleet.runs.document(found, DOCUMENT) if DOCUMENT in manifest.files else None
    if fleet.output == "json":
        document = {"manifest": manifest_document(manifest), "summary": summary_document(cells)}
        _print_json("loadtest", {**document, "import": about})
        return
    from rich.console import Console

    from macfleet.views.runs import show_run
    from macfleet.views.terminal import show as show_lines

    show_run(manifest, cells, Console())
    show_lines(["", *_not_comparable(about)] if about else [])
    if manifest.kind == "ad-hoc":
        invalid = [f"! {each.node} {each.arm} {each.cell}: {why}" for each in cells for why in each.invalid]
        show_lines(["", *invalid] if invalid else [])
        show_lines(["", "Ad hoc: never judged or signed, compared only where it is named."])


def _newest(fleet: FleetContext) -> str:
    for run_id in reversed(fleet.runs.ids()):
        if fleet.runs.manifest(run_id).kind in ("loadtest", "imported", "ad-hoc"):
            return run_id
    raise MacfleetError(
        Diagnostic(
            "E1068",
            "there is no load test to show yet",
            mend="macfleet rollout stage5, or macfleet loadtest import FILE --node NODE --arm ARM",
        )
    )


def _head(fleet: FleetContext, why: str) -> RunManifest:
    """Return what an import's manifest says of this machine and moment."""
    import datetime as dt

    from macfleet.cli.compose import new_run_id
    from macfleet.model.run import RunManifest

    moment = fleet.clock.now()
    now = dt.datetime.fromtimestamp(moment, tz=dt.UTC).isoformat(timespec="milliseconds")
    commit, dirty = fleet.commit
    return RunManifest(
        id=new_run_id("imported", moment),
        kind="imported",
        stage="loadtest",
        contract="",
        sent="",
        git_commit=commit,
        git_dirty=dirty,
        nodes=(),
        arms=(),
        vantage="unknown",
        started=now,
        finished=now,
        who=fleet.who,
        why=why,
        client_version="",
    )


def _say(fleet: FleetContext, manifest: RunManifest, read: Source) -> None:
    about = fleet.runs.document(manifest.id, "import.json")
    if fleet.output == "json":
        _print_json("imported-loadtest", {"run": manifest.id, "import": about})
        return
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show as show_lines

    cells = len(read.found.cells)
    head = (
        f"✓ {manifest.id}  {cells} {'cell' if cells == 1 else 'cells'} from {clean(manifest.client_version)}"
    )
    show_lines([head, *_not_comparable(about), f"Beside ours: macfleet compare {manifest.id} RUN"])


def _not_comparable(about: Json) -> list[str]:
    from macfleet.views.diagnostics import clean

    words = about.get("not_comparable") if isinstance(about, Mapping) else None
    return [f"! {clean(str(each))}" for each in words] if isinstance(words, list) else []


def _print_json(kind: str, document: Mapping[str, Json]) -> None:
    json.dump({"schema": 1, "kind": kind, **document}, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")
