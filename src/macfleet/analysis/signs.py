"""A node's series reduced to what a diagnosis asks of it, by arm and cell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from macfleet.analysis.frames import series_frame

if TYPE_CHECKING:
    import polars as pl

_BUSY = 20.0
"""Percent of a core from which a process beside the engine counts."""
# Spotlight, Time Machine and video calls by the names of their processes.
_BACKGROUND = re.compile(
    r"mds|mds_stores|mdworker.*|backupd|avconferenced|FaceTime|zoom\.us|CptHost|MSTeams|Microsoft T.*|Webex.*"
)


@dataclass(frozen=True, slots=True)
class Signs:
    """What the sampler saw beside one arm and cell; None where it was not sampled.

    Attributes:
        swapouts: pages swapped out during the windows; steal: share of VM CPU time; pressure: the worst
            memory pressure level, 1 being normal.
        throttled: share of the time a CPU limit held containers back; fsync: median seconds of a synced page.
        heat: the worst thermal warning level, 0 being none; background: Spotlight, Time Machine and video
            calls that took a fifth of a core or more, by process name.
        time_wait: most connections of the host in TIME_WAIT; queued: most requests waiting in the engine.
    """

    swapouts: int | None = None
    steal: float | None = None
    pressure: int | None = None
    throttled: float | None = None
    fsync: float | None = None
    heat: int | None = None
    background: tuple[str, ...] | None = None
    time_wait: int | None = None
    queued: float | None = None


def signs_of(series: pl.DataFrame) -> dict[tuple[str, str], Signs]:
    """Reduce the rows of a node's ``series.parquet`` to signs by arm and cell.

    Swap is a counter since boot: each segment's last reading less its first, added up. A column that an
    older recorder did not write is unknown.
    """
    import polars as pl  # noqa: PLC0415  (slow to import: only where a figure is computed)

    inside = _complete(series).filter(pl.col("arm").is_not_null() & pl.col("cell").is_not_null())
    segments = inside.group_by("arm", "cell", "segment").agg(
        (pl.col("swapouts").max() - pl.col("swapouts").min()).alias("swapouts"),
        pl.col("vm_steal_pct").mean().alias("steal"),
        pl.col("host_pressure_level").max().alias("pressure"),
        pl.col("container_throttled_pct").mean().alias("throttled"),
        pl.col("vm_fsync_ms").median().alias("fsync"),
        pl.col("thermal_level").max().alias("heat"),
        pl.col("host_time_wait").max().alias("time_wait"),
        pl.col("engine_queued").max().alias("queued"),
    )
    rows = segments.group_by("arm", "cell").agg(
        pl.when(pl.col("swapouts").is_not_null().any()).then(pl.col("swapouts").sum()).alias("swapouts"),
        pl.col("steal").mean() / 100,
        pl.col("pressure").max(),
        pl.col("throttled").mean() / 100,
        pl.col("fsync").median() / 1000,
        pl.col("heat").max(),
        pl.col("time_wait").max(),
        pl.col("queued").max(),
    )
    told: dict[tuple[str, str], list[str]] = {}
    for arm, cell, busiest in inside.select("arm", "cell", "busiest").drop_nulls().iter_rows():
        told.setdefault((arm, cell), []).append(busiest)
    found: dict[tuple[str, str], Signs] = {}
    for row in rows.iter_rows(named=True):
        key = row.pop("arm"), row.pop("cell")
        found[key] = Signs(**row, background=_background(told[key]) if key in told else None)
    return found


def _complete(series: pl.DataFrame) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415  (slow to import: only where a figure is computed)

    nothing = series_frame([])
    lacking = [column for column in nothing.columns if column not in series.columns]
    return series.with_columns(pl.lit(None, dtype=nothing.schema[name]).alias(name) for name in lacking)


def _background(told: Iterable[str]) -> tuple[str, ...]:
    """Names of background jobs among the busiest processes, each with its percent before it."""
    parts = [part.strip() for each in told for part in each.split(",")]
    rows = [re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,3})?) (.+)", part) for part in parts]
    busy = {row.group(2) for row in rows if row and float(row.group(1)) >= _BUSY}
    return tuple(sorted(name for name in busy if _BACKGROUND.fullmatch(name)))
