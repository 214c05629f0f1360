"""A stage's end as JSON, schema 1."""

from __future__ import annotations

from collections.abc import Sequence

from macfleet.model.exit_codes import strongest
from macfleet.model.json import Json
from macfleet.rollout.record import plan_document, verdict_document
from macfleet.rollout.result import NodeOutcome, NodeResult, StageResult


def document(result: StageResult) -> dict[str, Json]:
    """Return the stage as JSON, schema 1."""
    return {
        "schema": 1,
        "kind": "rollout",
        "stage": str(result.stage),
        "check": result.check,
        "part": {"asked": result.part, "left_out": list(result.left_out)} if result.part else None,
        "run": result.run or None,
        "folder": result.folder or None,
        "seconds": round(result.seconds, 3),
        "exit_code": int(result.exit_code),
        "recap": recap(result),
        "slowest": [
            {"node": each.node, "address": each.address, "seconds": each.seconds} for each in result.slowest
        ],
        "controller": _node_document(result.elsewhere) if result.elsewhere else None,
        "edges": [_node_document(edge) for edge in result.edges],
        "nodes": [_node_document(node) for node in result.results],
    }


def all_document(results: Sequence[StageResult]) -> dict[str, Json]:
    """Return several stages as one JSON document, schema 1."""
    code = strongest(result.exit_code for result in results)
    return {
        "schema": 1,
        "kind": "rollout-all",
        "exit_code": int(code),
        "stages": [document(result) for result in results],
    }


def _node_document(node: NodeResult) -> dict[str, Json]:
    return {
        "node": node.node,
        "outcome": str(node.outcome),
        "changed": list(node.changed),
        "plan": plan_document(node.plan) if node.plan else None,
        "verdicts": [verdict_document(v) for v in node.verdicts],
        "notes": list(node.notes),
        **({"differences": dict(node.differences)} if node.differences else {}),
        "out_of_service": node.out,
        "problems": [
            {"code": d.code, "summary": d.summary, "why": d.why, "mend": d.mend, "address": d.address}
            for d in node.diagnostics
        ],
    }


def recap(result: StageResult) -> dict[str, Json]:
    """Return how many nodes ended how; *ok* had nothing to change, and the counts add up to the nodes."""
    fine = (NodeOutcome.CURRENT, NodeOutcome.UNCHANGED)
    counts: dict[str, Json] = {"ok": sum(node.outcome in fine for node in result.results)}
    for outcome in NodeOutcome:
        if outcome not in fine:
            counts[str(outcome).replace(" ", "_")] = sum(node.outcome is outcome for node in result.results)
    return counts
