"""A node's judgements in one line and a few sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from macfleet.analysis.judging import Judgement
from macfleet.model.stage import Outcome
from macfleet.reports.comparison import Headline

_ACTING = ("mounts-first", "offload-live", "shock-absorber")


def headline(judgements: Sequence[Judgement]) -> Headline:
    """Return what the thresholds say of one node: what tripped, what is open, or that it may stay."""
    chosen = telling(judgements)
    advice = tuple(_sentence(each) for each in chosen)
    acting = [each for each in judgements if each.threshold in _ACTING]
    outcomes = {each.outcome for each in acting}
    if Outcome.FAIL in outcomes:
        return Headline("!", ", ".join(each.threshold for each in chosen), advice)
    if Outcome.INCONCLUSIVE in outcomes:
        minutes = [each.minutes for each in chosen if each.minutes is not None]
        return Headline("?", inconclusive(max(minutes, default=None)), advice)
    last = _reproducible(judgements)
    if last is not None and last.outcome is Outcome.PASS:
        return Headline("✓", last.verdict, advice)
    if Outcome.PASS not in outcomes:
        return Headline("·", "nothing to judge", advice)
    return Headline("✓", "inside the thresholds", advice)


def telling(judgements: Sequence[Judgement]) -> tuple[Judgement, ...]:
    """Return the judgements a node's headline speaks of: the strongest kind there is."""
    acting = tuple(each for each in judgements if each.threshold in _ACTING)
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        if found := tuple(each for each in acting if each.outcome is outcome):
            return found
    last = _reproducible(judgements)
    if last is not None and last.outcome is Outcome.PASS:
        return (last,)
    if not any(each.outcome is Outcome.PASS for each in acting):
        return acting
    return () if last is None else (last,)


def _reproducible(judgements: Sequence[Judgement]) -> Judgement | None:
    return next((each for each in judgements if each.threshold == "reproducible"), None)


def inconclusive(minutes: float | None) -> str:
    """Return the words for a verdict that measuring has not settled."""
    if minutes is None:
        return "inconclusive"
    more = math.ceil(minutes)
    return f"inconclusive: {more:,} more minute{'' if more == 1 else 's'}"


def spoken(judgement: Judgement) -> str:
    """Return a judgement's outcome in words, with symbol."""
    if judgement.outcome is Outcome.INCONCLUSIVE:
        return f"? {inconclusive(judgement.minutes)}"
    if judgement.outcome is Outcome.NOT_APPLICABLE:
        return f"· {judgement.reasons[0].partition(':')[0]}"
    if judgement.outcome is Outcome.PASS:
        return f"✓ {judgement.verdict}" if judgement.threshold == "reproducible" else "✓ pass"
    return "! not met" if judgement.threshold == "reproducible" else "! tripped"


def _sentence(judgement: Judgement) -> str:
    grade = f" ({judgement.grade})" if judgement.grade else ""
    said = judgement.verdict if judgement.outcome in (Outcome.FAIL, Outcome.PASS) else ""
    if judgement.outcome is Outcome.INCONCLUSIVE:
        said = inconclusive(judgement.minutes)
        said += " an arm and cell" if judgement.minutes is not None else ""
    why = "; ".join(judgement.reasons)
    return f"{judgement.threshold}: {said}{' – ' if said and why else ''}{why}{grade}"
