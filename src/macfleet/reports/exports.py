"""A comparison for machines: versioned JSON and tidy CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
import math
from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal

from macfleet.model.json import Json
from macfleet.model.run import CellSummary, Interval
from macfleet.reports.comparison import Comparison

_FIGURES = (
    "tokens_per_second",
    "p50",
    "p95",
    "p99",
    "ttft_p50",
    "ttft_p95",
    "itl_p50",
    "iowait",
    "psi_io",
    "memory",
)


def json_document(comparison: Comparison) -> dict[str, Json]:
    """Return the comparison as one JSON document of schema 1; +∞ is the text ``inf``."""
    document = plain(asdict(comparison))
    if not isinstance(document, dict):
        raise TypeError("a comparison is a mapping")
    return {"kind": "comparison", **document}


def csv_text(comparison: Comparison) -> str:
    """Return one line a run, node, arm, cell and figure: value, bounds, n and validity."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    head = (
        "run",
        "node",
        "arm",
        "cell",
        "figure",
        "value",
        "low",
        "high",
        "n",
        "minutes",
        "short",
        "invalid",
    )
    writer.writerow(head)
    for column in comparison.columns:
        for cell in column.cells:
            for name, interval in _figures(cell):
                bounds = (interval.low, interval.high)
                row = (column.run, column.node, cell.arm, cell.cell, name, interval.value, *bounds)
                writer.writerow((*row, cell.n, cell.minutes, column.short, "; ".join(cell.invalid)))
    return target.getvalue()


def _figures(cell: CellSummary) -> list[tuple[str, Interval]]:
    found: list[tuple[str, Interval]] = []
    for name in _FIGURES:
        interval = getattr(cell, name)
        if isinstance(interval, Interval):
            found.append((name, interval))
    return [*found, ("qps", Interval(cell.qps)), ("errors", Interval(cell.errors))]


def plain(value: object) -> Json:
    """Return a value made of dataclasses' parts as JSON; +∞ is the text ``inf``, NaN null, amounts text."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None if math.isnan(value) else "inf"
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return str(value)  # as text, so that no digit of an amount is lost
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no place in a document")
