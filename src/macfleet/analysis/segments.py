"""One segment's requests, and what can be read off them."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from macfleet.analysis.requests import Requests, Span, arrays, together
from macfleet.model.load import SegmentReport

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_NANO = 1e-9
_STEP = 1e-3
_NOISE = 1e-9
"""Of all tokens: what rounding may leave in a second that had none."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment's requests beside what the client said of it.

    Attributes:
        report: what the client said of it.
        measured: requests sent inside the window; everything: with those sent before it opened.
        rate: generated tokens in each second of the window.
    """

    report: SegmentReport
    measured: Requests
    everything: Requests
    rate: np.ndarray

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self.report.window_end - self.report.window_start) * _NANO


def segments_of(reports: Iterable[SegmentReport], requests: pl.DataFrame) -> list[Segment]:
    """Lay each segment's requests beside its report, in the order of the reports."""
    told = [((report.arm, report.cell, report.segment), report) for report in reports]
    rows, spans = together(requests)
    asked = {key for key, _ in told}
    own: dict[object, Requests] = {}
    for _, group in groupby((span for span in spans if span.key in asked), lambda span: span.key[0]):
        own |= _by_key(rows, list(group))
    none = arrays(rows.clear(), ())
    return [_segment(report, own.get(key, none)) for key, report in told]


def _by_key(rows: pl.DataFrame, spans: Sequence[Span]) -> dict[object, Requests]:
    """The requests of spans that follow each other, an arm's: read at once where a file held them."""
    start = spans[0].first
    whole = arrays(rows[start : spans[-1].last], [span.after(start) for span in spans])
    return {span.key: whole.only(span.after(start).rows) for span in spans}


def _segment(report: SegmentReport, requests: Requests) -> Segment:
    return Segment(report, requests.measured, requests, _rate(report, requests))


def _rate(report: SegmentReport, requests: Requests) -> np.ndarray:
    """Tokens a second over the window.

    Each request's tokens are laid evenly between its first and last generated text, then all seconds are
    scaled so that they add up to the events the client counted inside the window.
    """
    import numpy as np

    start, edges = report.window_start, np.arange(report.window_start, report.window_end + 1, 1_000_000_000)
    begin, last, tokens = requests.begin, requests.last, requests.tokens
    reached = ~np.isnan(begin) & ~np.isnan(last) & (tokens > 0)
    if len(edges) < 2 or not reached.any():
        return np.zeros(max(len(edges) - 1, 0))
    if not reached.all():
        begin, last, tokens = begin[reached], last[reached], tokens[reached]
    laid_out = _laid_out((begin - start) * _NANO, (last - begin) * _NANO, tokens, (edges - start) * _NANO)
    rate: np.ndarray = np.diff(laid_out)
    rate[rate < _NOISE * tokens.sum()] = 0
    whole = (edges[-1] - edges[0]) / (report.window_end - report.window_start)
    return rate * (report.token_events * whole / rate.sum()) if rate.sum() > 0 else rate


def _laid_out(begin: np.ndarray, length: np.ndarray, tokens: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Tokens that were generated up to each edge, each answer's laid evenly over its length.

    Sums over sorted moments, so that the work grows with answers plus edges, not with their product. What
    came within a millisecond counts as a step: its rate would drown the others' digits.
    """
    import numpy as np

    steps, lasting = np.zeros(len(edges)), length >= _STEP
    if not lasting.all():
        (steps,) = _summed(edges, begin[~lasting], tokens[~lasting])
        begin, length, tokens = begin[lasting], length[lasting], tokens[lasting]
    last, speed = begin + length, tokens / length
    on, on_since = _summed(edges, begin, speed, speed * begin)
    off, off_since = _summed(edges, last, speed, speed * last)
    found: np.ndarray = edges * (on - off) - (on_since - off_since) + steps
    return np.maximum.accumulate(found)


def _summed(edges: np.ndarray, moments: np.ndarray, *weights: np.ndarray) -> list[np.ndarray]:
    """Sums of each of the weights over the moments up to each edge."""
    import numpy as np

    if (moments[1:] < moments[:-1]).any():
        order = np.argsort(moments, kind="stable")
        moments, weights = moments[order], tuple(weight[order] for weight in weights)
    before = np.searchsorted(moments, edges, side="right")
    found, sums = [], np.zeros(len(moments) + 1)
    for weight in weights:
        np.cumsum(weight, out=sums[1:])
        found.append(sums[before])
    return found
