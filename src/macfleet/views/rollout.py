"""A stage's plan and end, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from macfleet.model.json import Json
from macfleet.model.quantity import show_seconds
from macfleet.model.resource import Action, Change, FieldChange, Value
from macfleet.model.stage import Outcome, Verdict
from macfleet.rollout.desired import Desired, number
from macfleet.rollout.record import plan_document, verdict_document
from macfleet.rollout.result import NodeOutcome, NodeResult, StageResult
from macfleet.views.diagnostics import clean
from macfleet.views.symbols import ACTIONS, NODES, OUTCOMES

_QUIET = (NodeOutcome.CURRENT, NodeOutcome.UNCHANGED)
_MEND_INDENT = 4


def lines(result: StageResult, desired: Desired, *, verbose: bool = False) -> Iterator[str]:
    """Yield the text of a finished or checked stage, without colour; `paint` adds it."""
    yield headline(result, desired)
    width = max((len(r.node) for r in result.results), default=6)
    for node in result.results:
        rows = list(_node_rows(node, check=result.check, verbose=verbose))
        for position, row in enumerate(rows):
            yield f"{node.node if position == 0 else '':<{width}}  {row}"
    yield ""
    yield summary(result)


def headline(result: StageResult, desired: Desired) -> str:
    """Return the first line: stage, contract, nodes, time."""
    contract = desired.contract
    count = len(result.results)
    head = f"Stage {number(result.stage)} · {result.stage}" if number(result.stage) else "Provisioning"
    plural = "s" if count != 1 else ""
    promise = f"contract {contract.name} v{contract.version} ({contract.hash[:4]}…)"
    return f"{head} · {promise} · {count} node{plural} · {show_seconds(result.seconds)}"


def summary(result: StageResult) -> str:
    """Return the last lines: what changed or would, who is held, what to type next."""
    counts = {outcome: [r for r in result.results if r.outcome is outcome] for outcome in NodeOutcome}
    parts = []
    if result.check:
        parts.append(f"Plan: {_planned(result)}")
    changed = sum(len(r.changed) for r in result.results)
    if changed:
        parts.append(f"{changed} change{'s' if changed != 1 else ''} made")
    parts += [
        f"{len(found)} {outcome}"
        for outcome, found in counts.items()
        if found and not (result.check and outcome is NodeOutcome.PENDING)
    ]
    text = " · ".join(parts) + f"    exit {int(result.exit_code)}"
    missing = [
        *counts[NodeOutcome.UNREACHABLE],
        *counts[NodeOutcome.FAILED],
        *counts[NodeOutcome.NOT_REACHED],
    ]
    if result.run and missing:
        command = f"macfleet rollout stage{number(result.stage)} --resume {result.run}"
        text += f"\nWhen {_names(missing)} answers again: {command}"
    if result.folder:
        text += f"\nEvidence: {result.folder}"
    return text


def document(result: StageResult) -> dict[str, Json]:
    """Return the stage as JSON, schema 1."""
    nodes: list[Json] = [
        {
            "node": r.node,
            "outcome": str(r.outcome),
            "changed": list(r.changed),
            "plan": plan_document(r.plan) if r.plan else None,
            "verdicts": [verdict_document(v) for v in r.verdicts],
            "notes": list(r.notes),
            "problems": [
                {"code": d.code, "summary": d.summary, "why": d.why, "mend": d.mend, "address": d.address}
                for d in r.diagnostics
            ],
        }
        for r in result.results
    ]
    return {
        "schema": 1,
        "kind": "rollout",
        "stage": str(result.stage),
        "check": result.check,
        "run": result.run or None,
        "folder": result.folder or None,
        "seconds": round(result.seconds, 3),
        "exit_code": int(result.exit_code),
        "nodes": nodes,
    }


def change_text(change: Change) -> str:
    """Return one change in a line: symbol, address, fields before and after."""
    fields = ", ".join(field_text(f) for f in change.fields if change.action is not Action.CREATE)
    words = change.reason or fields or str(change.action)
    if change.reason and fields and change.action is Action.UPDATE:
        words = f"{fields} ({change.reason})"
    return f"{ACTIONS[change.action]} {clean(change.address)}  {clean(words)}"


def field_text(field: FieldChange) -> str:
    """Return a field before and after; digests are cut so that a line stays a line."""
    return f"{field.field} {_short(field.before)} → {_short(field.after)}"


def _short(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_short(each) for each in value) + "]"
    text = "absent" if value is None else str(value)
    if len(text) == 64 and all(c in "0123456789abcdef" for c in text):
        return f"{text[:8]}…"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _node_rows(node: NodeResult, *, check: bool, verbose: bool) -> Iterator[str]:
    yield f"{NODES[node.outcome]} {node.outcome}" + (f" · {'; '.join(node.notes)}" if node.notes else "")
    if node.plan and (check or node.outcome not in _QUIET):
        yield from (change_text(change) for change in node.plan.pending)
    for verdict in node.verdicts:
        if verbose or verdict.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE):
            yield from _verdict_rows(verdict)
    for problem in node.diagnostics:
        yield f"✗ {clean(problem.summary)}"
        yield from (f"  {clean(text)}" for text in (problem.why, problem.mend) if text)


def _verdict_rows(verdict: Verdict) -> Iterator[str]:
    reasons: Sequence[str] = verdict.reasons or (str(verdict.outcome),)
    yield f"{OUTCOMES[verdict.outcome]} {verdict.gate}  {clean(reasons[0])}"
    yield from (f"{' ' * _MEND_INDENT}{clean(reason)}" for reason in reasons[1:])
    if verdict.mend:
        yield f"{' ' * _MEND_INDENT}{clean(verdict.mend)}"


def _planned(result: StageResult) -> str:
    pending = [change for r in result.results if r.plan for change in r.plan.pending]
    words = (
        ("create", Action.CREATE),
        ("update", Action.UPDATE),
        ("restart or replace", Action.REPLACE),
        ("delete", Action.DELETE),
    )
    shown = [
        f"{count} to {word}" for word, action in words if (count := sum(c.action is action for c in pending))
    ]
    nodes = sum(bool(r.plan and r.plan.pending) for r in result.results)
    if not shown:
        return "nothing to change"
    return f"{', '.join(shown)} on {nodes} node{'s' if nodes != 1 else ''}"


def _names(results: Sequence[NodeResult]) -> str:
    return ", ".join(result.node for result in results)
