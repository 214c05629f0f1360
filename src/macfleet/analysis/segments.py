"""One segment's requests, and what can be read off them."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from macfleet.model.load import RequestOutcome, SegmentReport

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

_NANO = 1e-9
_STEP = 1e-3
_NOISE = 1e-9
"""Of all tokens: what rounding may leave in a second that had none."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment's requests as arrays, times in seconds on the client's clock; NaN where not reached.

    Attributes:
        report: what the client said of it.
        measured: requests sent inside the window; everything: with those sent before it opened.
        rate: generated tokens in each second of the window.
        answers: first and last generated text of everything, nanoseconds, and tokens; NaN for none.
        ok: which of everything was answered well.
    """

    report: SegmentReport
    measured: pl.DataFrame
    everything: pl.DataFrame
    rate: np.ndarray
    answers: tuple[np.ndarray, np.ndarray, np.ndarray]
    ok: np.ndarray

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self.report.window_end - self.report.window_start) * _NANO


def segments_of(reports: Iterable[SegmentReport], requests: pl.DataFrame) -> list[Segment]:
    """Lay each segment's requests beside its report, in the order of the reports."""
    known = timed(requests)
    parts, none = _parts(known), known.clear()
    found = []
    for report in reports:
        own = parts.get((report.arm, report.cell, report.segment), none)
        answers = _answers(own)
        ok = (own.get_column("outcome") == RequestOutcome.OK.value).to_numpy()
        found.append(Segment(report, _measured(own), own, _rate(report, *answers), answers, ok))
    return found


def _answers(requests: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    import polars as pl

    begin, last, tokens = (
        requests.get_column(name).cast(pl.Float64).to_numpy()
        for name in ("t_first_gen", "t_last_gen", "tokens")
    )
    return begin, last, tokens


def _measured(requests: pl.DataFrame) -> pl.DataFrame:
    """Leave out the warm-up: by a slice where it stands first, as a run writes it."""
    import numpy as np

    warm = requests.get_column("warmup").to_numpy()
    first = int(np.count_nonzero(warm))
    return requests.slice(first) if warm[:first].all() else requests.filter(~warm)


def is_open(cell: str) -> bool:
    """Whether a cell is an open loop's: ``bucket@rate/s``."""
    return cell.endswith("/s") and "@" in cell


def _parts(requests: pl.DataFrame) -> dict[tuple[str, str, int], pl.DataFrame]:
    """Split by arm, cell and segment: into slices where each stands together, as a run writes them."""
    import numpy as np
    import polars as pl

    if not len(requests):
        return {}
    keys = ("arm", "cell", "segment")
    changes = [pl.col(name) != pl.col(name).shift() for name in keys]
    new = pl.any_horizontal(changes).fill_null(value=False)
    starts = requests.select(new=new).get_column("new").to_numpy()
    bounds = [0, *np.flatnonzero(starts).tolist(), len(requests)]
    heads = requests.select(keys)[bounds[:-1]].rows()
    if len(set(heads)) < len(heads):
        return requests.partition_by(*keys, as_dict=True)
    return {
        head: requests.slice(first, last - first)
        for head, first, last in zip(heads, bounds[:-1], bounds[1:], strict=True)
    }


def timed(requests: pl.DataFrame) -> pl.DataFrame:
    """Add each request's seconds as columns ``latency``, ``first_token`` and ``token_gap``.

    The first two last from the sending, or in an open loop from when it was due: an engine that stalls must
    not shorten the times of those it kept waiting. They are +∞ for a request that failed, and for one that
    never had any text. The gap is the mean one of a complete answer of at least two tokens, else null.
    """
    import polars as pl

    answered = pl.col("outcome") == RequestOutcome.OK.value
    open_cells = [cell for cell in requests.get_column("cell").unique() if is_open(cell)]
    is_due = pl.col("cell").is_in(open_cells) if open_cells else pl.lit(value=False)
    begun = pl.when(is_due).then("t_sched").otherwise("t_send")
    sent = pl.col("t_send").is_not_null()
    latency, first = ((pl.col(moment) - begun) * _NANO for moment in ("t_last_gen", "t_first_gen"))
    gap = (pl.col("t_last_gen") - pl.col("t_first_gen")) * _NANO / (pl.col("tokens") - 1)
    return requests.with_columns(
        latency=pl.when(answered & sent).then(latency).fill_null(math.inf),
        first_token=pl.when(sent).then(first).fill_null(math.inf),
        token_gap=pl.when(answered & (pl.col("tokens") > 1)).then(gap),
    )


def latencies(requests: pl.DataFrame) -> np.ndarray:
    """End to end in seconds, to the last generated text, of requests that were `timed`."""
    return requests.get_column("latency").to_numpy()


def first_tokens(requests: pl.DataFrame) -> np.ndarray:
    """Time to first generated text in seconds, of requests that were `timed`."""
    return requests.get_column("first_token").to_numpy()


def token_gaps(requests: pl.DataFrame) -> np.ndarray:
    """Mean gaps between tokens in seconds, of those requests that have one and were `timed`."""
    return present(requests.get_column("token_gap"))


def present(numbers: pl.Series) -> np.ndarray:
    """Return a column's values without its nulls, as floats."""
    import numpy as np
    import polars as pl

    values = numbers.cast(pl.Float64).to_numpy()
    found: np.ndarray = values[~np.isnan(values)]
    return found


def _rate(report: SegmentReport, begin: np.ndarray, last: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Tokens a second over the window.

    Each request's tokens are laid evenly between its first and last generated text, then all seconds are
    scaled so that they add up to the events the client counted inside the window.
    """
    import numpy as np

    start, edges = report.window_start, np.arange(report.window_start, report.window_end + 1, 1_000_000_000)
    reached = ~np.isnan(begin) & ~np.isnan(last) & (tokens > 0)
    if len(edges) < 2 or not reached.any():
        return np.zeros(max(len(edges) - 1, 0))
    begin, length, tokens = begin[reached], (last - begin)[reached] * _NANO, tokens[reached]
    begin = (begin - start) * _NANO
    rate: np.ndarray = np.diff(_laid_out(begin, length, tokens, (edges - start) * _NANO))
    rate[rate < _NOISE * tokens.sum()] = 0
    whole = (edges[-1] - edges[0]) / (report.window_end - report.window_start)
    return rate * (report.token_events * whole / rate.sum()) if rate.sum() > 0 else rate


def _laid_out(begin: np.ndarray, length: np.ndarray, tokens: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Tokens that were generated up to each edge, each answer's laid evenly over its length.

    Sums over sorted moments, so that the work grows with answers plus edges, not with their product. What
    came within a millisecond counts as a step: its rate would drown the others' digits.
    """
    import numpy as np

    def summed(moments: np.ndarray, *weights: np.ndarray) -> list[np.ndarray]:
        order = np.argsort(moments, kind="stable")
        before = np.searchsorted(moments[order], edges, side="right")
        return [np.concatenate(([0.0], np.cumsum(weight[order])))[before] for weight in weights]

    lasting = length >= _STEP
    first, last = begin[lasting], begin[lasting] + length[lasting]
    speed = tokens[lasting] / length[lasting]
    on, on_since = summed(first, speed, speed * first)
    off, off_since = summed(last, speed, speed * last)
    (steps,) = summed(begin[~lasting], tokens[~lasting])
    found: np.ndarray = edges * (on - off) - (on_since - off_since) + steps
    return np.maximum.accumulate(found)
