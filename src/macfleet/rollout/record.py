"""What a rollout leaves in its run folder."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from macfleet import __version__
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.model.quantity import iso
from macfleet.model.resource import Plan
from macfleet.model.run import RunManifest
from macfleet.model.stage import StageName, Verdict
from macfleet.rollout.desired import Desired
from macfleet.rollout.load_profile import judged_concurrency
from macfleet.rollout.loadtest_adopt import FACTS, Adopted, result_row
from macfleet.rollout.planning import NodePlan
from macfleet.rollout.ports import Ports
from macfleet.rollout.record_load import (
    arms_of,
    listed,
    load_of,
    mapping,
    measured_arms,
    resumed,
    told_by_load,
)
from macfleet.rollout.result import NodeResult

if TYPE_CHECKING:
    from macfleet.rollout.run import Options

_LAB = ("lab of simulated Mac nodes on one Linux machine",)
_KINDS = {StageName.NETWORK: "network", StageName.LOADTEST: "loadtest"}


def plan_document(plan: Plan) -> dict[str, Json]:
    """Return a plan as JSON: pending changes with fields before and after."""
    changes: list[Json] = [
        {
            "address": change.address,
            "action": str(change.action),
            "reason": change.reason,
            "fields": [
                {"field": f.field, "before": _plain(f.before), "after": _plain(f.after)}
                for f in change.fields
            ],
        }
        for change in plan.pending
    ]
    return {
        "node": plan.node,
        "digest": plan.digest,
        "compiled": plan.compiled,
        "resources": len(plan.changes),
        "pending": changes,
    }


def verdict_document(verdict: Verdict) -> dict[str, Json]:
    """Return a verdict as JSON."""
    return {
        "gate": verdict.gate,
        "node": verdict.node,
        "outcome": str(verdict.outcome),
        "reasons": list(verdict.reasons),
        "mend": verdict.mend,
        "evidence": list(verdict.evidence),
    }


def write_plans(writer: RunWriter, planned: Mapping[str, NodePlan | Exception]) -> None:
    """Write plan.json before anything is changed."""
    plans: list[Json] = [
        plan_document(found.plan) for _, found in sorted(planned.items()) if isinstance(found, NodePlan)
    ]
    writer.json("plan.json", {"schema": 1, "plans": plans})


def write_facts(writer: RunWriter, node: Node, result: NodeResult, desired: Desired) -> None:
    """Write what was true of a node."""
    writer.json(f"nodes/{node.name}/{FACTS}", facts_document(node, result, desired))


def finish_run(
    writer: RunWriter,
    stage: StageName,
    nodes: Sequence[Node],
    results: Sequence[NodeResult],
    desired: Desired,
    ports: Ports,
    options: Options,
    adopted: Sequence[Adopted] = (),
) -> str:
    """Write facts and verdicts, seal the run, return its folder.

    `adopted` nodes are in it already, and so are the facts of nodes of which evidence was gathered.
    """
    for node, result in zip(nodes, results, strict=True):
        if result.key is not None and not result.evidence:
            write_facts(writer, node, result, desired)
    cells = [cell for result in results for cell in listed(load_of(result).get("summary"), "cells")]
    if cells := [*cells, *(cell for each in adopted for cell in each.cells)]:
        writer.json("summary.json", {"schema": 1, "cells": cells})
    judged = [*(result.verdicts for result in results), *(each.record.verdicts for each in adopted)]
    verdicts: list[Json] = [verdict_document(verdict) for found in judged for verdict in found]
    writer.json("verdicts.json", {"schema": 1, "stage": str(stage), "verdicts": verdicts})
    journal: list[Json] = [
        {
            "node": r.node,
            "outcome": str(r.outcome),
            "changed": list(r.changed),
            "notes": list(r.notes),
            "problems": [d.summary for d in r.diagnostics],
        }
        for r in results
    ]
    journal += [result_row(each) for each in adopted]
    writer.json("results.json", {"schema": 1, "results": journal})
    manifest = _manifest(stage, nodes, results, desired, ports, options)
    return writer.finish(_with_adopted(manifest, adopted))


def _with_adopted(manifest: RunManifest, adopted: Sequence[Adopted]) -> RunManifest:
    """Say in the head of a run which nodes, arms and simulations came with what it took over."""
    if not adopted:
        return manifest
    arms = {arm for each in adopted for arm in mapping(each.facts, "accelerators")}
    lab = any(each.facts.get("simulated") for each in adopted)
    return replace(
        manifest,
        nodes=tuple(sorted({*manifest.nodes, *(each.node for each in adopted)})),
        arms=tuple(sorted({*manifest.arms, *arms})),
        simulated=manifest.simulated or (_LAB if lab else ()),
        profile={**manifest.profile, "adopted": {each.node: each.record.run for each in adopted}},
    )


def facts_document(node: Node, result: NodeResult, desired: Desired) -> dict[str, Json]:
    """Return what was true of the node: versions, images, mounts, network mode, ownership, memory."""
    facts = {name.removeprefix("facts."): state for name, state in result.facts.items()}
    return {
        "schema": 1,
        "node": node.name,
        "chip": node.chip,
        "ownership": str(node.ownership),
        "offer": node.offer,
        "pool": node.pool,
        "hardware": node.hardware,
        "platform": node.platform,
        "memory": node.memory,
        "network": desired.mode(node),
        "accelerators": {str(arm): node.accelerator(arm) for arm in arms_of(node, result)},
        "images": {name: image.manifest for name, image in desired.images(node).items()},
        "mounts": _mounts(node, result),
        "runtime": "colima",
        **told_by_load(result),
        "model": desired.contract.model,
        "versions": dict(result.key.parts) if result.key else {},
        "simulated": _simulated(result),
        "facts": {name: None if state is None else _plain_state(state) for name, state in facts.items()},
    }


def _archives(results: Sequence[NodeResult]) -> list[str]:
    """Digests of the load client's archive; one digest serves every vantage."""
    return sorted({str(a) for result in results for a in listed(dict(load_of(result)), "archives")})


def _mounts(node: Node, result: NodeResult) -> dict[str, Json]:
    """Return each bind mount as its type and the path on the node."""
    roots = node.roots
    applied = result.facts.get("facts.colima") or {}
    kind = str(applied.get("mountType") or "unknown")
    paths = {} if roots is None else {"weights": roots.weights, "cache": roots.cache, "logs": roots.logs}
    return {name: f"{kind} {path}" for name, path in paths.items()}


def _simulated(result: NodeResult) -> bool:
    system = result.facts.get("facts.system") or {}
    return system.get("simulated") == "lab"


def _manifest(
    stage: StageName,
    nodes: Sequence[Node],
    results: Sequence[NodeResult],
    desired: Desired,
    ports: Ports,
    options: Options,
) -> RunManifest:
    began = options.run_id.split("-")[0]
    lab = any(_simulated(result) for result in results)
    measured = stage is StageName.LOADTEST
    return RunManifest(
        id=options.run_id,
        kind=_KINDS.get(stage, "rollout"),
        stage=str(stage),
        contract=desired.contract.hash,
        sent=desired.contract.sent_hash,
        git_commit=desired.commit,
        git_dirty=desired.dirty,
        nodes=tuple(node.name for node in nodes),
        arms=measured_arms(stage, nodes, results),
        vantage="node-loopback",
        started=_started(began),
        finished=iso(ports.clock.now()),
        who=options.who,
        why=options.why,
        client_version=__version__,
        client_archive=", ".join(_archives(results)),
        short=options.load.short if measured else True,
        profile={
            "duration": options.load.duration,
            "segments": options.load.segments,
            "warmup": options.load.warmup,
            "judged": [f"{desired.contract.primary}×{c}" for c in judged_concurrency(desired)],
            **resumed(results),
        }
        if measured
        else {},
        simulated=_LAB if lab else (),
    )


def _started(stamp: str) -> str:
    return dt.datetime.fromisoformat(stamp).isoformat(timespec="milliseconds")


def _plain(value: object) -> Json:
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _plain_state(state: Mapping[str, object]) -> dict[str, Json]:
    return {name: _plain(value) for name, value in state.items()}
