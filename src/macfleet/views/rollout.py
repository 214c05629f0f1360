"""A stage's plan and end, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from macfleet.model.quantity import show_seconds
from macfleet.model.resource import Action, Change, FieldChange, Value
from macfleet.model.stage import Outcome, StageName, Verdict
from macfleet.rollout.desired import Desired, number
from macfleet.rollout.result import NodeOutcome, NodeResult, StageResult
from macfleet.views.diagnostics import clean
from macfleet.views.flow import flow, fold
from macfleet.views.rows import Block, Row, lay_out, together
from macfleet.views.symbols import ACTIONS, NODES, OUTCOMES

_QUIET = (NodeOutcome.CURRENT, NodeOutcome.UNCHANGED, NodeOutcome.NOT_REACHED)
_MEASURED = (StageName.NETWORK, StageName.LOADTEST)
_FOLDED = 3
"""Up to so many nodes without news keep a line each."""
_NAMED = 5
_NAMED_SLOW = 3
_REASONS = 4
"""Reasons of one verdict shown without -v."""
_WIDEST = 110
_LEFT = (
    NodeOutcome.UNREACHABLE,
    NodeOutcome.FAILED,
    NodeOutcome.INTERRUPTED,
    NodeOutcome.NOT_REACHED,
    NodeOutcome.LOCKED,
)
_ORDER = (
    NodeOutcome.UNREACHABLE,
    NodeOutcome.FAILED,
    NodeOutcome.LOCKED,
    NodeOutcome.INTERRUPTED,
    NodeOutcome.NOT_REACHED,
    NodeOutcome.HELD,
    NodeOutcome.CHANGED,
    NodeOutcome.UNCHANGED,
    NodeOutcome.CURRENT,
)
_ROUTINE = ("drained ", "back in service")
"""Notes of every node that left service and came back: told once for all."""
_TO_MEASURE = "to measure"


def lines(result: StageResult, desired: Desired, *, verbose: bool = False, width: int = 0) -> Iterator[str]:
    """Yield the text of a finished or checked stage, without colour; `width` 0 folds nothing."""
    yield from headline(result, desired, width)
    yield from _part(result, width)
    yield ""
    for machine in result.beside:
        beside = Block((machine.node,), tuple(_rows(machine, result, verbose=verbose)))
        yield from lay_out([beside], width)
    quiet = [r for r in result.results if r.outcome in _QUIET and not _told(r)]
    folded = quiet if len(quiet) > _FOLDED and not verbose else []
    shown = (node for node in result.results if node not in folded)
    blocks = [Block((node.node,), tuple(_rows(node, result, verbose=verbose))) for node in shown]
    yield from lay_out(together(blocks), width)
    for outcome in dict.fromkeys(node.outcome for node in folded):
        found = [node for node in folded if node.outcome is outcome]
        yield from fold(f"{_nodes(len(found))} {_word(outcome, result)}{_why_not(found)}", width, indent="  ")
    yield from _differences(result)
    yield from _service(result, width)
    yield ""
    yield from summary(result, width)


def headline(result: StageResult, desired: Desired, width: int = 0) -> list[str]:
    """Return the first line: stage, contract, nodes, and at the right the time."""
    contract = desired.contract
    head = f"Stage {number(result.stage)} · {result.stage}" if number(result.stage) else "Provisioning"
    promise = f"contract {contract.name} v{contract.version} ({contract.hash[:4]}…)"
    parts = [head, promise, _nodes(len(result.results))]
    return _with_right(parts, show_seconds(result.seconds), width, joint=" · ")


def summary(result: StageResult, width: int = 0) -> Iterator[str]:
    """Yield the last lines: what changed or would, who is held, what to type next."""
    yield from _with_right(_counted(result), f"exit {int(result.exit_code)}", width, joint="; ")
    yield from _slowest(result, width)
    yield from _next(result)
    if result.folder:
        yield f"Evidence: {result.folder}"


def change_row(change: Change) -> Row:
    """Return one change in a line: symbol, address, fields before and after."""
    fields = ", ".join(field_text(f) for f in change.fields if change.action is not Action.CREATE)
    words = change.reason or fields
    if change.reason and fields and change.action is Action.UPDATE:
        words = f"{fields} ({change.reason})"
    symbol = "!" if change.blocked else ACTIONS[change.action]
    return Row(symbol, spoken(change.address), (words,) if words else (), change.blocked)


def spoken(address: str) -> str:
    """Return a resource address as people read it: ``file /etc/hosts`` for ``file./etc/hosts``."""
    kind, dot, name = address.partition(".")
    return f"{kind} {name}" if dot else address


def field_text(field: FieldChange) -> str:
    """Return a field before and after; digests are cut so that a line stays a line."""
    return f"{field.field} {_short(field.before)} → {_short(field.after)}"


def _short(value: Value) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_short(each) for each in value) + "]"
    text = "absent" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    head, colon, digest = text.rpartition("sha256:")
    if len(digest) == 64 and all(c in "0123456789abcdef" for c in digest):
        return f"{head}{colon}{digest[:8]}…"
    return text if len(text) <= 60 else f"{text[:57]}…"


def _part(result: StageResult, width: int) -> Iterator[str]:
    """Yield what was left out by tag, and what that means."""
    if not result.part:
        return
    left_out = f"{len(result.left_out)} of {result.tasks} tasks left out"
    named = f": {', '.join(result.left_out)}" if result.left_out else ""
    yield from fold(f"A part ({result.part}): {left_out}{named}", width, indent="  ")
    if not result.check:
        yield "No gate is judged after it, and the stage does not become current"


def _differences(result: StageResult) -> Iterator[str]:
    """Yield what would change in files' text, nodes together that it is the same for."""
    found: dict[tuple[str, str], list[str]] = {}
    for node in result.results:
        for each in node.differences.items():
            found.setdefault(each, []).append(node.node)
    for (address, text), nodes in found.items():
        named = ", ".join(nodes) if len(nodes) <= _NAMED else _nodes(len(nodes))
        yield from ("", f"{spoken(address)} on {named}")
        yield from (f"  {clean(line)}".rstrip() for line in text.splitlines())


def _service(result: StageResult, width: int) -> Iterator[str]:
    """Yield what became of the requests of nodes that left service, and how those that stay out come back."""
    left = [node.left for node in result.results if node.left is not None and node.left.seconds]
    if left:
        most = max(each.in_flight for each in left)
        finished = f"up to {most} in flight finished on a node" if most else "nothing in flight"
        longest = show_seconds(max(each.seconds for each in left))
        yield from flow(
            [f"Drained {_nodes(len(left))} in up to {longest}", finished, "no request cut"], width
        )
    out = [node.node for node in result.results if node.out]
    if out:
        yield f"When mended, the next rollout brings them back; now: macfleet undrain {' '.join(out)}"


def _rows(node: NodeResult, result: StageResult, *, verbose: bool) -> Iterator[Row]:
    """A node's line for its end, where the lines after it do not say it; changes, verdicts, problems."""
    details = [*_changes(node, check=result.check), *_verdicts(node, verbose=verbose), *_problems(node)]
    if not details or node.outcome in (*_QUIET, NodeOutcome.CHANGED):
        made = f" · {_changes_made(len(node.changed))}" if node.changed else ""
        notes = "".join(f" · {note}" for note in _news(node, verbose=verbose))
        symbol = "⌛" if _word(node.outcome, result) == _TO_MEASURE else NODES[node.outcome]
        yield Row(symbol, f"{_word(node.outcome, result)}{made}{notes}")
    yield from details


def _told(node: NodeResult) -> bool:
    """Whether a node without a change has something to say all the same."""
    if node.outcome is NodeOutcome.NOT_REACHED:
        return False
    return bool(node.diagnostics or _news(node) or list(_verdicts(node, verbose=False)))


def _why_not(found: Sequence[NodeResult]) -> str:
    """Return why nothing was begun on nodes, from the notes they share."""
    whys = dict.fromkeys(
        note for node in found if node.outcome is NodeOutcome.NOT_REACHED for note in node.notes
    )
    return f": {'; '.join(whys)}" if whys else ""


def _news(node: NodeResult, *, verbose: bool = False) -> list[str]:
    return [note for note in node.notes if verbose or not note.startswith(_ROUTINE)]


def _changes(node: NodeResult, *, check: bool) -> Iterator[Row]:
    if node.plan and (check or node.outcome not in _QUIET):
        yield from (change_row(change) for change in node.plan.pending)


def _verdicts(node: NodeResult, *, verbose: bool) -> Iterator[Row]:
    for verdict in node.verdicts:
        if verbose or verdict.outcome not in (Outcome.PASS, Outcome.NOT_APPLICABLE):
            yield _verdict_row(verdict, verbose=verbose)


def _verdict_row(verdict: Verdict, *, verbose: bool) -> Row:
    words = verdict.reasons or (str(verdict.outcome),)
    if len(words) > _REASONS + 1 and not verbose:
        words = (*words[:_REASONS], f"and {len(words) - _REASONS} more, shown with -v")
    return Row(OUTCOMES[verdict.outcome], verdict.gate, words, mend=verdict.mend)


def _problems(node: NodeResult) -> Iterator[Row]:
    for position, problem in enumerate(node.diagnostics):
        subject = spoken(problem.address) if problem.address else str(node.outcome) if not position else ""
        words = (f"{problem.summary} [{problem.code}]",)
        yield Row(NODES[node.outcome], subject, words, problem.why, problem.mend)


def _word(outcome: NodeOutcome, result: StageResult) -> str:
    """Measuring stages change nothing when they go well: such a node is measured, not unchanged."""
    if outcome is NodeOutcome.UNCHANGED and result.stage in _MEASURED:
        return _TO_MEASURE if result.check else "measured"
    return str(outcome)


def _slowest(result: StageResult, width: int) -> Iterator[str]:
    """Yield what took longest, where anything took a second."""
    long = [each for each in result.slowest if each.seconds >= 1][:_NAMED_SLOW]
    if long:
        told = [f"{each.node} {spoken(each.address)} {show_seconds(each.seconds)}" for each in long]
        yield from flow([f"Slowest: {told[0]}", *told[1:]], width)


def _counted(result: StageResult) -> list[str]:
    counts = {o: sum(r.outcome is o for r in result.results) for o in _ORDER}
    parts = [f"{_nodes(count)} {_word(outcome, result)}" for outcome, count in counts.items() if count]
    if result.check:
        planned = _planned(result)
        return [f"Plan: {planned}", *parts] if planned else ["Plan: incomplete", *parts]
    changed = sum(len(r.changed) for r in _everybody(result))
    return [*([f"{_changes_made(changed)}"] if changed else []), *parts]


def _planned(result: StageResult) -> str:
    """Return what is to be done; empty when nodes did not answer and nothing can be said."""
    pending = [change for r in _everybody(result) if r.plan for change in r.plan.pending]
    words = (
        ("create", Action.CREATE),
        ("update", Action.UPDATE),
        ("restart or replace", Action.REPLACE),
        ("delete", Action.DELETE),
    )
    shown = [
        f"{count} to {word}" for word, action in words if (count := sum(c.action is action for c in pending))
    ]
    if not shown:
        return "" if any(r.plan is None for r in result.results) else "nothing to change"
    nodes = sum(bool(r.plan and r.plan.pending) for r in result.results)
    busy = [each is result.elsewhere for each in result.beside if each.plan and each.plan.pending]
    beside = [word for word, here in (("the controller", True), ("the edge", False)) if here in busy]
    where = [*beside, *([_nodes(nodes)] if nodes else [])]
    return f"{', '.join(shown)} on {' and '.join(where)}"


def _everybody(result: StageResult) -> tuple[NodeResult, ...]:
    """Return the nodes, after the machines that tasks are delegated to."""
    return (*result.beside, *result.results)


def _next(result: StageResult) -> Iterator[str]:
    command = "macfleet apply playbooks/site.yml"
    if number(result.stage):
        command = f"macfleet rollout stage{number(result.stage)}"
    command += f" {result.part}" if result.part else ""
    if result.check:
        pending = [r.node for r in result.results if r.outcome is NodeOutcome.PENDING]
        beside = any(each.outcome is NodeOutcome.PENDING for each in result.beside)
        if pending or beside:
            yield f"Carry it out: {command}{_limit(pending, len(result.results))}"
        return
    failed = [r.node for r in _everybody(result) if r.outcome is NodeOutcome.FAILED]
    if result.run and failed:
        yield f"What happened there: macfleet logs {failed[0]}"
    missing = [r.node for r in result.results if r.outcome in _LEFT]
    if result.run and missing:
        names = ", ".join(missing) if len(missing) <= _NAMED else _nodes(len(missing))
        when = "Go on" if result.interrupted else f"When {names} can be worked on again"
        yield f"{when}: {command} --resume {result.run}"


def _limit(names: Sequence[str], everybody: int) -> str:
    return f" -l {','.join(names)}" if 0 < len(names) <= _NAMED and len(names) < everybody else ""


def _with_right(parts: Sequence[str], right: str, width: int, *, joint: str) -> list[str]:
    """Return parts flowed into lines, the last of which ends with `right` at the right edge."""
    found = flow(parts, width, joint=joint)
    edge = min(width, _WIDEST)
    if not edge:
        return [*found[:-1], f"{found[-1]}{'   ' if joint != ' · ' else joint}{right}"]
    if len(found[-1]) + len(right) + 2 > edge:
        return [*found, right.rjust(edge)]
    return [*found[:-1], found[-1] + right.rjust(edge - len(found[-1]))]


def _nodes(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"


def _changes_made(count: int) -> str:
    return f"{count} change{'' if count == 1 else 's'} made"
