"""`macfleet diagnose`: symptoms of measured nodes, with evidence for and against each cause."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from macfleet.analysis.clues import Record
    from macfleet.analysis.diagnose import Finding
    from macfleet.analysis.sampler_cost import SamplerCost
    from macfleet.analysis.thresholds import Threshold
    from macfleet.model.contract import Slo
    from macfleet.reports.loaded import LoadedRun


@click.command(epilog="Examples: macfleet diagnose · macfleet diagnose mac-01")
@click.argument("names", metavar="[NODE]...", nargs=-1, type=NodePattern())
@fleet_command
def diagnose(fleet: FleetContext, names: tuple[str, ...]) -> int:
    """Name the symptoms of a node's newest load test, and what speaks for and against each cause.

    A rule without the figures it needs answers "not enough evidence" and says which are missing.
    """
    from macfleet.analysis.diagnose import diagnose as weigh
    from macfleet.analysis.thresholds import load_diagnosis, load_thresholds
    from macfleet.reports.loaded import newest_of_each_node, newest_runs

    chosen = newest_of_each_node(newest_runs(fleet.runs.own).runs)
    known = [node for _, node in chosen]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise MacfleetError(_unmeasured(name, known) for name in unknown)
    slos = _slos(fleet)
    thresholds = (*load_thresholds(fleet.files), *load_diagnosis(fleet.files))
    found = {
        node: weigh(_record(fleet, run, node, slos, thresholds))
        for run, node in chosen
        if not names or node in names
    }
    costs = {node: _cost(fleet, run, node) for run, node in chosen if node in found}
    _print(fleet, found, costs)
    return ExitCode.DONE


def _cost(fleet: FleetContext, run: LoadedRun, node: str) -> SamplerCost:
    from macfleet.analysis.sampler_cost import SamplerCost, sampler_cost

    series = f"nodes/{node}/series.parquet"
    if series not in run.manifest.files:
        return SamplerCost(None, None, None)
    return sampler_cost(fleet.runs.samples(run.manifest.id, series).collect())


def _record(
    fleet: FleetContext,
    run: LoadedRun,
    node: str,
    slos: Mapping[str, Slo],
    thresholds: Sequence[Threshold],
) -> Record:
    from collections.abc import Mapping as AnyMapping

    from macfleet.analysis.clues import LIMITS, Record
    from macfleet.analysis.signs import signs_of
    from macfleet.analysis.thresholds import in_scope

    facts = run.facts.get(node, {})
    mounts = facts.get("mounts")
    series = f"nodes/{node}/series.parquet"
    recorded = series in run.manifest.files
    chosen = in_scope(thresholds, str(facts.get("model") or ""), str(facts.get("chip") or ""))
    return Record(
        node=node,
        run=run.manifest.id,
        cells=run.of(node),
        signs=signs_of(fleet.runs.samples(run.manifest.id, series).collect()) if recorded else {},
        slos=slos,
        models=(str(facts["model"]),) if facts.get("model") else (),
        mounts=mounts if isinstance(mounts, AnyMapping) else {},
        limits={**LIMITS, **{name: value for each in chosen for name, value in each.limits.items()}},
    )


def _slos(fleet: FleetContext) -> Mapping[str, Slo]:
    from macfleet.contract.load import load_contract

    if not fleet.files.exists("contract/contract.yml"):
        return {}
    return {bucket.name: bucket.slo for bucket in load_contract(fleet.files).buckets}


def _unmeasured(name: str, known: list[str]) -> Diagnostic:
    return Diagnostic(
        "E1051",
        f"{name} has no load test to look at",
        why=f"Measured nodes: {', '.join(known)}.",
        mend=f"macfleet rollout stage5 -l {name}",
    )


def _print(
    fleet: FleetContext, found: Mapping[str, Sequence[Finding]], costs: Mapping[str, SamplerCost]
) -> None:
    if fleet.output == "json":
        from dataclasses import asdict

        from macfleet.reports.exports import plain

        rows = [asdict(each) for findings in found.values() for each in findings]
        watched = {node: asdict(cost) for node, cost in costs.items()}
        document = {"schema": 1, "kind": "diagnosis", "findings": plain(rows), "sampler": plain(watched)}
        json.dump(document, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    from macfleet.views.diagnose import diagnosis_lines
    from macfleet.views.flow import width_of
    from macfleet.views.terminal import show

    show(diagnosis_lines(found, costs, width_of(sys.stdout)))
