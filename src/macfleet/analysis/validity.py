"""When a cell must not be judged, whatever its figures say."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from macfleet.analysis.requests import Requests, is_open
from macfleet.model.load import Sample, SegmentReport

LOOP_LAG = 0.005
LOOP_LAG_OF_FIRST_TOKEN = 0.02
DISPATCH_DELAY = 0.010
"""Seconds (p95) that requests of an open loop may leave late; in a closed one they are due when they can."""
CLIENT_CPU = 0.80
WITHOUT_CPU = 0.30
"""Share of the time before the first request in which the client may be given no CPU. Measured: at least 0.55
with two busy processes a core (75 tries), next to nothing where a core is free."""
USAGE_DIFFERENCE = 0.02
CACHE_HITS = 0.01
_TEMPLATE = 32
"""Prompt tokens that an engine may reuse of any prompt; of a long one a tenth."""


class MeasuredSegment(Protocol):
    """What the rules look at in one segment."""

    @property
    def report(self) -> SegmentReport:
        """What the client said of the segment."""

    @property
    def measured(self) -> Requests:
        """Requests sent inside the window."""

    @property
    def everything(self) -> Requests:
        """Those and the ones sent before it opened."""


def problems(
    segments: Sequence[MeasuredSegment], first_token: float, foreign: Sequence[str]
) -> tuple[str, ...]:
    """Return why the cell is invalid, in sentences; empty when it may be judged.

    Args:
        segments: the cell's segments in order.
        first_token: median time to first token in seconds; the client's own lag is held against it.
        foreign: sentences about requests at the engine that our client did not send.
    """
    found = [text for segment in segments for text in _of_segment(segment, first_token)]
    found += foreign
    if not any(len(segment.measured) for segment in segments):
        found.append("no request was sent inside the window")
    if hits := _cache_hits(segments):
        found.append(hits)
    return tuple(found)


def client_was_late(report: SegmentReport, samples: Sequence[Sample]) -> bool:
    """Whether one segment is spoiled by the client's own lateness or load, whatever the engine did."""
    firsts = sorted(
        sample.t_first_gen - sample.t_send
        for sample in samples
        if sample.t_first_gen is not None and sample.t_send is not None and not sample.warmup
    )
    first_token = firsts[len(firsts) // 2] / 1e9 if firsts else 0.0
    return (
        report.loop_lag_p99 > _allowed(first_token)
        or report.cpu_share > CLIENT_CPU
        or report.without_cpu > WITHOUT_CPU
        or _left_late(report)
    )


def _left_late(report: SegmentReport) -> bool:
    return is_open(report.cell) and report.dispatch_delay_p95 > DISPATCH_DELAY


def _allowed(first_token: float) -> float:
    return max(LOOP_LAG, LOOP_LAG_OF_FIRST_TOKEN * first_token)


def _of_segment(segment: MeasuredSegment, first_token: float) -> list[str]:
    report = segment.report
    found = []
    allowed = _allowed(first_token)
    if report.loop_lag_p99 > allowed:
        found.append(
            f"segment {report.segment}: the client's own loop was {report.loop_lag_p99 * 1000:.1f} ms late "
            f"(p99), more than {allowed * 1000:.1f} ms"
        )
    if _left_late(report):
        found.append(
            f"segment {report.segment}: requests left {report.dispatch_delay_p95 * 1000:.1f} ms "
            f"after they were due (p95), more than {DISPATCH_DELAY * 1000:.0f} ms"
        )
    if report.cpu_share > CLIENT_CPU:
        found.append(
            f"segment {report.segment}: the client used {report.cpu_share:.0%} of a core, "
            f"more than {CLIENT_CPU:.0%}"
        )
    if report.without_cpu > WITHOUT_CPU:
        found.append(
            f"segment {report.segment}: other work held the machine: the client was given no CPU for "
            f"{report.without_cpu:.0%} of the time before its first request, more than {WITHOUT_CPU:.0%}"
        )
    if difference := _usage_difference(segment):
        found.append(difference)
    return found


def _usage_difference(segment: MeasuredSegment) -> str:
    """Compare token events the client counted with the tokens the engine billed.

    Billed tokens are laid evenly over each answer to find those inside the window. An engine that stalls,
    such as one that waits for its disk, lays them otherwise: of an answer that crosses an edge of the window
    any part may lie inside, so as much as that can be off is allowed on top.
    """
    report = segment.report
    billed, edge = _billed_inside(segment)
    if not report.token_events or not billed:
        return ""
    difference = abs(billed - report.token_events)
    if difference <= USAGE_DIFFERENCE * billed + edge:
        return ""
    return (
        f"segment {report.segment}: the client counted {report.token_events} token events where the engine "
        f"billed {billed:.0f}, a difference of {difference / billed:.0%}"
    )


def _billed_inside(segment: MeasuredSegment) -> tuple[float, float]:
    """Billed tokens inside the window, and by how many that can be off; 0 where not every answer was billed.

    Only answers that are not wholly inside are laid out: they are few.
    """
    import numpy as np

    report, requests = segment.report, segment.everything
    begin, last, tokens = requests.begin, requests.last, requests.tokens
    billed = requests.billed & ~np.isnan(begin) & ~np.isnan(last)
    if np.count_nonzero(billed) < np.count_nonzero(tokens > 0):
        return 0.0, 0.0
    if not billed.all():
        begin, last, tokens = begin[billed], last[billed], tokens[billed]
    length = np.maximum(last - begin, 1.0)
    edge = np.flatnonzero((begin < report.window_start) | (report.window_end - begin < length))
    inside, off = np.ones(len(tokens)), np.zeros(len(tokens))
    inside[edge] = part = np.clip((report.window_end - begin[edge]) / length[edge], 0, 1) - np.clip(
        (report.window_start - begin[edge]) / length[edge], 0, 1
    )
    off[edge] = np.where((part > 0) & (part < 1), np.maximum(part, 1 - part), 0.0)
    return float((tokens * inside).sum()), float((tokens * off).sum())


def _cache_hits(segments: Sequence[MeasuredSegment]) -> str:
    """The nonce stands first in each prompt, so an engine can reuse little more than its template."""
    import numpy as np

    hits, told = 0, 0
    for segment in segments:
        cached, prompt = segment.measured.cached_tokens, segment.measured.prompt_tokens
        told += int(np.count_nonzero(~np.isnan(cached)))
        many = np.flatnonzero(cached > _TEMPLATE)
        hits += int(np.count_nonzero(cached[many] > np.nan_to_num(prompt[many]) / 10))
    if hits <= CACHE_HITS * told:
        return ""
    return f"{hits} of {told} prompts were answered from the engine's prefix cache"
