"""Cell summaries as the JSON of ``summary.json`` and back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.run import CellSummary, Interval

SCHEMA = 1
_INTERVALS = (
    "tokens_per_second",
    "p50",
    "p95",
    "p99",
    "ttft_p50",
    "ttft_p95",
    "itl_p50",
    "itl_p95",
    "iowait",
    "psi_io",
    "memory",
)


def summary_document(cells: Iterable[CellSummary]) -> dict[str, Json]:
    """Return the document of ``summary.json``; +∞ is written as text, NaN (nobody recorded it) as null."""
    return {"schema": SCHEMA, "cells": [_write(asdict(cell)) for cell in cells]}


def parse_summary(document: Json, file: str = "summary.json") -> tuple[CellSummary, ...]:
    """Return the cells of a summary.

    Raises:
        MacfleetError: E0957 when the document is not one this version understands.
    """
    try:
        return tuple(_cell(cell) for cell in _cells(document))
    except (KeyError, TypeError, ValueError) as error:
        raise MacfleetError(
            Diagnostic(
                "E0957",
                f"{file} is not a summary this version can read",
                why=f"{type(error).__name__}: {error}",
                mend="macfleet run verify RUN",
                exit_code=ExitCode.INTERNAL,
            )
        ) from error


def _write(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf"
    if isinstance(value, Mapping):
        return {key: _write(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_write(item) for item in value]
    return value


def _cells(document: Json) -> Sequence[Json]:
    if not isinstance(document, Mapping) or document["schema"] != SCHEMA:
        raise ValueError(f"its schema version is not {SCHEMA}")
    cells = document["cells"]
    if not isinstance(cells, list):
        raise TypeError("its cells are not a list")
    return cells


def _cell(value: Json) -> CellSummary:
    if not isinstance(value, Mapping):
        raise TypeError("a cell is not a mapping")
    known = {each.name for each in fields(CellSummary)}
    if unknown := sorted(set(value) - known):
        raise ValueError(f"unknown keys {', '.join(unknown)}")
    read: dict[str, object] = {}
    for name, item in value.items():
        if name in _INTERVALS:
            read[name] = _interval(item)
        elif isinstance(item, Mapping):
            read[name] = dict(item)
        elif isinstance(item, list):
            read[name] = tuple(each if name == "invalid" else _number(each) for each in item)
        else:
            read[name] = item
    return CellSummary(**read)  # type: ignore[arg-type]


def _interval(value: Json) -> Interval | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError("an interval is not a mapping")
    low, high = value.get("low"), value.get("high")
    return Interval(
        _number(value["value"]),
        None if low is None else _number(low),
        None if high is None else _number(high),
    )


def _number(value: Json) -> float:
    if value is None:
        return math.nan
    if value == "inf":
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is not a number")
    return float(value)
