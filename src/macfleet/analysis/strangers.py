"""Requests at the engine that did not come from the load client."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from macfleet.model.load import RequestOutcome, Sample

_EXACT = "usage"
_OTHERS = "the engine read {:.0f} tokens of prompts that were not the load client's"
ESTIMATE = 0.02
"""Of tokens the client only estimated: what the engine's count may differ by."""


def strangers(
    before: Mapping[str, float] | None,
    after: Mapping[str, float] | None,
    samples: Sequence[Sample],
    longest: int | None,
) -> str:
    """Return in words what an engine served in a segment that the client did not ask for; empty for nothing.

    Args:
        before: the engine's counters ahead of the segment, as `parse_counters` returns them.
        after: the same once the load has ended.
        samples: every request of the segment, warm-up included.
        longest: tokens that one request may generate at most: what the engine may have made of a request
            whose end the client did not see; None when there is no bound.

    Returns:
        A sentence, or nothing where the engine does not count.
    """
    if before is None or after is None:
        return ""
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    if min(grown.get("generated", 0.0), grown.get("prompt", 0.0)) < 0:
        return "the engine's counters went back: it was started anew inside the segment"
    if busy := round(after.get("busy", 0.0)):
        return f"{busy} requests were at the engine when the load client had none"
    if (more := round(grown.get("requests", 0.0)) - len(samples)) > 0:
        return f"the engine served {more} requests more than the load client sent"
    told = _generated(grown.get("generated", 0.0), samples, longest)
    # An engine that counts requests counts cached tokens of prompts as well.
    return told or ("" if "requests" in after else _read(grown.get("prompt", 0.0), samples))


def _generated(tokens: float, samples: Sequence[Sample], longest: int | None) -> str:
    known, unsure = _asked_for(samples, longest)
    if tokens - known <= unsure:
        return ""
    return f"the engine generated {tokens - known:.0f} tokens for requests that were not the load client's"


def _read(tokens: float, samples: Sequence[Sample]) -> str:
    """Tell of prompts beyond ours, a token a request aside, which an engine may read twice."""
    more = tokens - _read_for(samples)
    return "" if more <= len(samples) else _OTHERS.format(more)


def _asked_for(samples: Sequence[Sample], longest: int | None) -> tuple[float, float]:
    """Tokens the client was sent, and how many more may have been made for it."""
    known, unsure = 0.0, 0.0
    for sample in samples:
        known += sample.tokens
        if sample.outcome != RequestOutcome.OK:
            unsure += math.inf if longest is None else max(longest - sample.tokens, 0)
        elif sample.token_source != _EXACT:
            unsure += ESTIMATE * sample.tokens + 1
    return known, unsure


def _read_for(samples: Sequence[Sample]) -> float:
    """Prompt tokens the engine had to read for the client, cached ones left out; +∞ where it did not say."""
    known = 0.0
    for sample in samples:
        if sample.outcome != RequestOutcome.OK or sample.prompt_tokens is None:
            return math.inf
        known += sample.prompt_tokens - (sample.cached_tokens or 0)
    return known
