"""One segment's requests, and what can be read off them."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from macfleet.model.load import RequestOutcome, SegmentReport

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_NANO = 1e-9


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment's requests as arrays, times in seconds on the client's clock; NaN where not reached.

    Attributes:
        report: what the client said of it.
        measured: requests sent inside the window; everything: with those sent before it opened.
        rate: generated tokens in each second of the window.
    """

    report: SegmentReport
    measured: pl.DataFrame
    everything: pl.DataFrame
    rate: np.ndarray

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self.report.window_end - self.report.window_start) * _NANO


def segment_of(report: SegmentReport, requests: pl.DataFrame) -> Segment:
    """Take one segment's requests out of all that were recorded."""
    import polars as pl

    own = requests.filter(
        (pl.col("arm") == report.arm)
        & (pl.col("cell") == report.cell)
        & (pl.col("segment") == report.segment)
    )
    return Segment(report, own.filter(~pl.col("warmup")), own, _rate(report, own))


def is_open(cell: str) -> bool:
    """Whether a cell is an open loop's: ``bucket@rate/s``."""
    return cell.endswith("/s") and "@" in cell


def latencies(requests: pl.DataFrame) -> list[float]:
    """End to end in seconds, to the last generated text; +∞ for a request that failed.

    From the sending, or in an open loop from when it was due: an engine that stalls must not shorten the
    times of those it kept waiting.
    """
    rows = requests.select("outcome", "cell", "t_sched", "t_send", "t_last_gen").iter_rows()
    return [
        (last - (due if is_open(cell) else sent)) * _NANO
        if outcome == RequestOutcome.OK and last is not None and sent is not None
        else math.inf
        for outcome, cell, due, sent, last in rows
    ]


def first_tokens(requests: pl.DataFrame) -> list[float]:
    """Time to first generated text in seconds, from the same moment; +∞ where there never was any."""
    rows = requests.select("cell", "t_sched", "t_send", "t_first_gen").iter_rows()
    return [
        (first - (due if is_open(cell) else sent)) * _NANO
        if first is not None and sent is not None
        else math.inf
        for cell, due, sent, first in rows
    ]


def _rate(report: SegmentReport, requests: pl.DataFrame) -> np.ndarray:
    """Tokens a second over the window.

    Each request's tokens are laid evenly between its first and last generated text, then all seconds are
    scaled so that they add up to the events the client counted inside the window.
    """
    import numpy as np
    import polars as pl

    edges = np.arange(report.window_start, report.window_end + 1, 1_000_000_000, dtype=float)
    reached = requests.filter(
        pl.col("t_first_gen").is_not_null() & pl.col("t_last_gen").is_not_null() & (pl.col("tokens") > 0)
    )
    if len(edges) < 2 or not len(reached):
        return np.zeros(max(len(edges) - 1, 0))
    begin = reached.get_column("t_first_gen").to_numpy().astype(float)
    length = np.maximum(reached.get_column("t_last_gen").to_numpy() - begin, 1.0)
    tokens = reached.get_column("tokens").to_numpy().astype(float)
    total = np.array([(tokens * np.clip((edge - begin) / length, 0.0, 1.0)).sum() for edge in edges])
    rate = np.diff(total)
    whole = (edges[-1] - edges[0]) / (report.window_end - report.window_start)
    return rate * (report.token_events * whole / rate.sum()) if rate.sum() > 0 else rate
