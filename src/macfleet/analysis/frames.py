"""The columns of samples and series, in one place for writing, reading and reducing."""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from macfleet.model.json import Json, JsonObject
from macfleet.model.load import Sample

if TYPE_CHECKING:
    import polars as pl

SERIES_COLUMNS: Mapping[str, str] = {
    "t_wall_ns": "Int64",
    "host_used_pct": "Float64",
    "host_pressure_level": "Int64",
    "swapouts": "Int64",
    "host_swap_used": "Int64",
    "host_open_files": "Int64",
    "host_sockets": "Int64",
    "host_time_wait": "Int64",
    "host_disk_bytes_per_s": "Float64",
    "thermal_level": "Int64",
    "on_battery": "Boolean",
    "lid_closed": "Boolean",
    "slept_at": "Int64",
    "woke_at": "Int64",
    "busiest": "String",
    "vm_iowait_pct": "Float64",
    "vm_steal_pct": "Float64",
    "vm_psi_io_some_avg10": "Float64",
    "vm_psi_memory_some_avg10": "Float64",
    "vm_psi_cpu_some_avg10": "Float64",
    "vm_mem_used": "Int64",
    "vm_sockets": "Int64",
    "vm_time_wait": "Int64",
    "vm_open_files": "Int64",
    "vm_disk_read_bytes_per_s": "Float64",
    "vm_disk_written_bytes_per_s": "Float64",
    "vm_fsync_ms": "Float64",
    "vm_clock_offset_s": "Int64",
    "container_memory": "Int64",
    "container_throttled_pct": "Float64",
    "container_major_faults_per_s": "Float64",
    "engine_busy": "Float64",
    "engine_queued": "Float64",
    "engine_kv_pct": "Float64",
    "clock_offset_s": "Float64",
    "sampler_cpu_s": "Float64",
    "vm_sampler_cpu_s": "Float64",
    "arm": "String",
    "cell": "String",
    "segment": "Int64",
}
"""What a series always has, by polars type; further columns a recorder adds are kept as they come."""

_SAMPLE_TEXT = ("cell", "arm", "fixture", "outcome", "token_source", "detail")
_SAMPLE_FLAGS = ("reused", "warmup")


def sample_frame(samples: Iterable[Sample]) -> pl.DataFrame:
    """Return one row a request with the fields of `Sample` as columns."""
    import polars as pl

    names = Sample.__dataclass_fields__
    schema = {
        name: pl.String if name in _SAMPLE_TEXT else pl.Boolean if name in _SAMPLE_FLAGS else pl.Int64
        for name in names
    }
    rows = [tuple(asdict(sample).values()) for sample in samples]
    return pl.DataFrame(rows, schema=schema, orient="row")


def series_frame(rows: Sequence[JsonObject]) -> pl.DataFrame:
    """Return one row a second; missing keys become nulls, unknown keys further columns, sorted by name."""
    import polars as pl

    further = sorted({key for row in rows for key in row} - set(SERIES_COLUMNS))
    columns: dict[str, list[Json]] = {name: [row.get(name) for row in rows] for name in SERIES_COLUMNS}
    frame = pl.DataFrame(
        {name: pl.Series(name, values, dtype=_type(name), strict=False) for name, values in columns.items()}
    )
    for name in further:
        frame = frame.with_columns(pl.Series(name, [row.get(name) for row in rows], strict=False))
    return frame


def _type(name: str) -> pl.DataType:
    import polars as pl

    types: dict[str, pl.DataType] = {
        "Int64": pl.Int64(),
        "Float64": pl.Float64(),
        "String": pl.String(),
        "Boolean": pl.Boolean(),
    }
    return types[SERIES_COLUMNS[name]]
