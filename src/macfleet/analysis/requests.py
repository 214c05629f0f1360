"""Requests as arrays: read off a run's columns once, then sliced without copying."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from macfleet.model.load import RequestOutcome

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

KEYS = ("arm", "cell", "segment")
_NANO = 1e-9


class Span(NamedTuple):
    """Rows `first` to before `last` of a frame, which are all of one arm, cell and segment."""

    key: tuple[object, object, object]
    first: int
    last: int

    @property
    def rows(self) -> slice:
        """Where they are."""
        return slice(self.first, self.last)

    def after(self, start: int) -> Span:
        """Return the same rows of a frame that begins at row `start`."""
        return Span(self.key, self.first - start, self.last - start)


class Times(NamedTuple):
    """Seconds of requests, one of each a request.

    Attributes:
        latency: end to end, to the last generated text; +∞ for a request that failed or never had any.
        first_token: to the first generated text; +∞ for one that never had any.
        token_gap: mean gap between the tokens of a complete answer of at least two; NaN for any other.
    """

    latency: np.ndarray
    first_token: np.ndarray
    token_gap: np.ndarray


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests as arrays of one length, in the order they were recorded.

    Attributes:
        kinds: outcomes; outcome: a request's index among them, 0 for one that was answered well.
        billed: whether its tokens are the engine's own count.
        warmup: sent before the window opened; status: HTTP status, 0 for none.
        close: when its stream ended, nanoseconds on the client's clock.
        begin, last: first and last generated text, the same as floats; NaN where not reached.
        tokens, prompt_tokens, cached_tokens: counts as floats; NaN where they are not known.
        latency, first_token, token_gap: see `Times`.
    """

    kinds: tuple[str, ...]
    outcome: np.ndarray
    billed: np.ndarray
    warmup: np.ndarray
    status: np.ndarray
    close: np.ndarray
    begin: np.ndarray
    last: np.ndarray
    tokens: np.ndarray
    prompt_tokens: np.ndarray
    cached_tokens: np.ndarray
    latency: np.ndarray
    first_token: np.ndarray
    token_gap: np.ndarray

    def __len__(self) -> int:
        return len(self.outcome)

    def only(self, rows: slice | np.ndarray) -> Requests:
        """Return some of the requests: without a copy by a slice, else by an array of booleans."""
        return Requests(self.kinds, *(getattr(self, name)[rows] for name in _ARRAYS))

    @property
    def measured(self) -> Requests:
        """Leave out the warm-up: by a slice where it stands first, as a run writes it."""
        import numpy as np

        first = int(np.count_nonzero(self.warmup))
        return self.only(slice(first, None) if self.warmup[:first].all() else ~self.warmup)

    @property
    def ok(self) -> np.ndarray:
        """Which were answered well."""
        found: np.ndarray = self.outcome == 0
        return found


_ARRAYS = tuple(name for name in Requests.__dataclass_fields__ if name != "kinds")


def is_open(cell: str) -> bool:
    """Whether a cell is an open loop's: ``bucket@rate/s``."""
    return cell.endswith("/s") and "@" in cell


def together(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Span]]:
    """Return rows so that each arm, cell and segment stands together, as a run writes them, and where.

    Rows of one segment keep their order; nothing is copied where they stand together already.
    """
    import polars as pl

    spans = _spans(rows)
    if len({span.key for span in spans}) == len(spans):
        return rows, spans
    parted = pl.concat(rows.partition_by(*KEYS))
    return parted, _spans(parted)


def arrays(requests: pl.DataFrame, spans: Sequence[Span]) -> Requests:
    """Read the columns of requests that `together` returned.

    Times are right inside `spans`: of those rows the cell is looked at. Only where one is an open loop's is
    there need of ``t_sched``.
    """
    import numpy as np

    due = np.zeros(len(requests), dtype=bool)
    for span in spans:
        due[span.rows] = is_open(str(span.key[1]))
    kinds, outcome = _outcomes(requests)
    times = times_of(requests, outcome == 0, due)
    return Requests(
        kinds=kinds,
        outcome=outcome,
        billed=(requests.get_column("token_source") == "usage").to_numpy(),
        warmup=requests.get_column("warmup").to_numpy(),
        status=requests.get_column("status").to_numpy(),
        close=requests.get_column("t_close").to_numpy(),
        begin=floats(requests, "t_first_gen"),
        last=floats(requests, "t_last_gen"),
        tokens=floats(requests, "tokens"),
        prompt_tokens=floats(requests, "prompt_tokens"),
        cached_tokens=floats(requests, "cached_tokens"),
        latency=times.latency,
        first_token=times.first_token,
        token_gap=times.token_gap,
    )


def times_of(requests: pl.DataFrame, ok: np.ndarray, due: np.ndarray) -> Times:
    """Return each request's seconds, from the sending, or where `due` says so from when it was due.

    In an open loop an engine that stalls must not shorten the times of those it kept waiting.

    Args:
        requests: their moments and tokens as columns; ``t_sched`` only where any is due.
        ok: which were answered well.
        due: which belong to an open loop.
    """
    import numpy as np

    begun, sent = _moments(requests, "t_send")
    if due.any():
        begun = np.where(due, requests.get_column("t_sched").to_numpy(), begun)
    first, began = _moments(requests, "t_first_gen")
    last, ended = _moments(requests, "t_last_gen")
    latency, first_token, token_gap = (
        (last - begun) * _NANO,
        (first - begun) * _NANO,
        (last - first) * _NANO,
    )
    latency[~(ok & sent & ended)] = math.inf
    first_token[~(sent & began)] = math.inf
    tokens = floats(requests, "tokens")
    several = ok & began & ended & (tokens > 1)
    np.divide(token_gap, tokens - 1, out=token_gap, where=several)
    token_gap[~several] = math.nan
    return Times(latency, first_token, token_gap)


def floats(rows: pl.DataFrame, name: str) -> np.ndarray:
    """Return a column as floats, NaN for null."""
    import polars as pl

    return rows.get_column(name).cast(pl.Float64).to_numpy()


def known(values: np.ndarray) -> np.ndarray:
    """Return the values without those that are NaN."""
    import numpy as np

    missing = np.isnan(values)
    return values[~missing] if missing.any() else values


def _spans(rows: pl.DataFrame) -> list[Span]:
    """Stretches of rows of one arm, cell and segment, in order.

    File by file: text that lies in several pieces is compared at twice the price, or copied.
    """
    import polars as pl

    keys = pl.DataFrame([rows.get_column(name) for name in KEYS])
    found: list[Span] = []
    start = 0
    for length in keys.to_series().chunk_lengths():
        stretches = keys.slice(start, length).to_struct().rle().struct.unnest()
        for count, key in zip(
            *(stretches.get_column(name).to_list() for name in ("len", "value")), strict=True
        ):
            head = (key["arm"], key["cell"], key["segment"])
            first = found.pop().first if found and found[-1].key == head else start
            start += count
            found.append(Span(head, first, start))
    return found


def _outcomes(requests: pl.DataFrame) -> tuple[tuple[str, ...], np.ndarray]:
    """Outcomes as numbers, 0 for ``ok``; only those of failures are looked up by name."""
    import numpy as np
    import polars as pl

    outcomes = requests.get_column("outcome")
    failed = outcomes != RequestOutcome.OK.value
    found = np.zeros(len(requests), dtype=np.uint32)
    if not failed.any():
        return (RequestOutcome.OK.value,), found
    names = outcomes.filter(failed)
    kinds = (RequestOutcome.OK.value, *names.unique().sort())
    found[failed.to_numpy()] = names.cast(pl.Enum(kinds)).to_physical().to_numpy()
    return kinds, found


def _moments(requests: pl.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A column of nanoseconds as whole numbers, 0 for null, and where it is known."""
    import numpy as np

    moments = requests.get_column(name)
    if not moments.null_count():
        return moments.to_numpy(), np.ones(len(moments), dtype=bool)
    return moments.fill_null(0).to_numpy(), moments.is_not_null().to_numpy()
