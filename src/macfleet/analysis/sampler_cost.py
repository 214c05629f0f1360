"""What watching a node cost it, and how far its clock is from ours, from the node's own series."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


_LEAST = 5.0
"""Seconds between readings from which a share says something."""


@dataclass(frozen=True, slots=True)
class SamplerCost:
    """The sampler's own cost over a run.

    Attributes:
        host, vm: CPU seconds a second the script took on the host and in the VM; None where it did not say.
        clock_offset: seconds the node's clock was ahead of the controller's, the largest of any segment.
    """

    host: float | None
    vm: float | None
    clock_offset: float | None


def sampler_cost(series: pl.DataFrame) -> SamplerCost:
    """Reduce the rows of a node's ``series.parquet``; each segment's sampler counts its own time from 0."""
    import polars as pl  # noqa: PLC0415  (slow to import: only where a figure is computed)

    names = ("sampler_cpu_s", "vm_sampler_cpu_s", "clock_offset_s")
    if any(name not in series.columns for name in names):
        return SamplerCost(None, None, None)
    ordered = series.sort("t_wall_ns")
    offsets = [each for each in ordered.get_column("clock_offset_s").to_list() if each is not None]
    return SamplerCost(
        host=_share(ordered.select("t_wall_ns", pl.col("sampler_cpu_s").alias("cpu"))),
        vm=_share(ordered.select("t_wall_ns", pl.col("vm_sampler_cpu_s").alias("cpu"))),
        clock_offset=max(offsets, key=abs, default=None),
    )


def _share(readings: pl.DataFrame) -> float | None:
    """CPU seconds a second between neighbouring readings of one sampler; a smaller one begins the next."""
    known = readings.drop_nulls().rows()
    spent = passed = 0.0
    for (before, least), (now, most) in itertools.pairwise(known):
        if most >= least:
            spent, passed = spent + most - least, passed + (now - before) / 1e9
    return spent / passed if passed >= _LEAST else None
