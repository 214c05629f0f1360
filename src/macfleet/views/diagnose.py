"""A diagnosis in the terminal: what was seen and why first, what is absent or not recorded last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from macfleet.analysis.diagnose import Finding, State
from macfleet.analysis.sampler_cost import SamplerCost
from macfleet.views import rows

_SYMBOLS: Mapping[State, str] = {
    State.LIKELY: "!",
    State.POSSIBLE: "?",
    State.UNLIKELY: "·",
    State.OPEN: "?",
    State.ABSENT: "✓",
}
_LACKING = 2
"""Missing figures named where a symptom is open; the document has them all."""
_TOLD = (State.LIKELY, State.POSSIBLE, State.UNLIKELY, State.OPEN)


def diagnosis_lines(
    found: Mapping[str, Sequence[Finding]], costs: Mapping[str, SamplerCost], width: int
) -> Iterator[str]:
    """Yield the lines of every node's findings and what watching it cost; `width` 0 folds nothing."""
    blocks = [
        rows.Block((node,), (*_rows(findings), *_cost(costs.get(node)))) for node, findings in found.items()
    ]
    yield from rows.lay_out(blocks, width, beside=False)


def _rows(findings: Sequence[Finding]) -> Iterator[rows.Row]:
    for state in _TOLD:
        for each in findings:
            if each.state is state:
                yield _row(each)
    absent = [each.symptom for each in findings if each.state is State.ABSENT]
    if absent:
        yield rows.Row(_SYMBOLS[State.ABSENT], f"absent: {'; '.join(absent)}")


def _cost(cost: SamplerCost | None) -> Iterator[rows.Row]:
    if cost is None or cost.host is None:
        return
    inside = "" if cost.vm is None else f" and {100 * cost.vm:.1f} % in the VM"
    clock = "" if cost.clock_offset is None else f"; the node's clock is {cost.clock_offset:+.2f} s from ours"
    words = f"{100 * cost.host:.1f} % of a core on the host{inside}{clock}"
    yield rows.Row("·", "what watching it took", (words,))


def _row(found: Finding) -> rows.Row:
    if found.state is State.OPEN:
        words = (*found.seen, f"not known: {'; '.join(found.lacking[:_LACKING])}")
        return rows.Row(_SYMBOLS[found.state], f"{found.symptom}: {found.state}", words)
    words = (
        *found.seen,
        *(f"for: {each}" for each in found.supporting),
        *(f"against: {each}" for each in found.refuting),
        *(f"not known: {each}" for each in found.lacking),
    )
    subject = f"{found.symptom}: {found.state} {found.cause}"
    return rows.Row(_SYMBOLS[found.state], subject, words, mend=found.action)
