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
    acting = [each for each in judgements if each.threshold in _ACTING]
    tripped = [each for each in acting if each.outcome is Outcome.FAIL]
    if tripped:
        advice = tuple(_sentence(each) for each in tripped)
        return Headline("!", ", ".join(each.threshold for each in tripped), advice)
    pending = [each for each in acting if each.outcome is Outcome.INCONCLUSIVE]
    if pending:
        minutes = [each.minutes for each in pending if each.minutes is not None]
        return Headline(
            "?", inconclusive(max(minutes, default=None)), tuple(_sentence(each) for each in pending)
        )
    last = next((each for each in judgements if each.threshold == "reproducible"), None)
    if last is not None and last.outcome is Outcome.PASS:
        return Headline("✓", last.verdict, (_sentence(last),))
    if not any(each.outcome is Outcome.PASS for each in acting):
        return Headline("·", "nothing to judge", tuple(_sentence(each) for each in acting))
    return Headline("✓", "inside the thresholds", () if last is None else (_sentence(last),))


def inconclusive(minutes: float | None) -> str:
    """Return the words for a verdict that measuring has not settled."""
    if minutes is None:
        return "inconclusive"
    return f"inconclusive: {math.ceil(minutes):,} more minutes"


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
