"""A comparison as llm-d Benchmark Reports 0.2.1, one a cell, for that project's explorer.

Fields and units after the report's documentation in llm-d-benchmark. What it has no field for (our intervals,
validity, contract) stands where it leaves room: in the native part of the load, in description and keywords.
"""

# ruff: noqa: PLC0415  (numpy, scipy and polars are slow to import: only where a figure is computed)

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from macfleet.analysis.requests import is_open, known, times_of
from macfleet.model.json import Json, JsonObject
from macfleet.model.load import RequestOutcome
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary, RunManifest
from macfleet.reports.comparison import NOT_A_MAC, Column, Comparison
from macfleet.reports.exports import plain
from macfleet.reports.loaded import LoadedRun

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    Requests = Callable[[str, str, str, str], pl.DataFrame | None]
    """Requests of a run, node, arm and cell that were sent inside the windows; None where none are kept."""

VERSION = "0.2.1"
_SHARES = {
    "p0p1": 0.001,
    "p1": 0.01,
    "p5": 0.05,
    "p10": 0.10,
    "p25": 0.25,
    "p50": 0.50,
    "p75": 0.75,
    "p90": 0.90,
    "p95": 0.95,
    "p99": 0.99,
    "p99p9": 0.999,
}


def llmd_reports(
    comparison: Comparison, runs: Sequence[LoadedRun], requests: Requests
) -> dict[str, dict[str, Json]]:
    """Return one report a cell, by the name of the file that explorer looks for.

    Statistics of latencies and lengths are of complete answers, as that project's own converters make them,
    by nearest rank; a failed request counts in ``failures``, one cut off by the end in ``incomplete``. Where
    a run's requests are not kept, a mean is not known, which every statistic must have: they are left out.
    Columns that another load generator measured are left out; the tool that measured has a converter.

    Args:
        comparison: what was compared.
        runs: the runs it was made of.
        requests: where the requests of a cell are found.
    """
    loaded = {run.manifest.id: run for run in runs}
    found = {}
    for column in comparison.columns:
        if column.imported:
            continue
        run = loaded[column.run]
        for cell in column.cells:
            name = "_".join((column.run, cell.node, cell.arm, cell.cell.replace("×", "x")))
            report = _report(run, column, cell, requests(column.run, cell.node, cell.arm, cell.cell))
            found[f"benchmark_report_v0.2,_{re.sub('[^A-Za-z0-9._-]', '-', name)}.json"] = report
    return found


def _report(run: LoadedRun, column: Column, cell: CellSummary, sent: pl.DataFrame | None) -> dict[str, Json]:
    manifest, facts = run.manifest, run.facts.get(cell.node, {})
    whole = sent if sent is not None and len(sent) == cell.n else None
    answered = None if whole is None else _answered(whole)
    scenario: dict[str, Json] = {"stack": _stack(cell, facts)}
    if answered is not None and (prompts := _lengths(answered, "prompt_tokens")) is not None:
        scenario["load"] = _load(manifest, column, cell, prompts)
    return {
        "version": VERSION,
        "run": _run(manifest, cell),
        "scenario": scenario,
        "results": {"request_performance": {"aggregate": _aggregate(cell, answered)}},
    }


def _run(manifest: RunManifest, cell: CellSummary) -> dict[str, Json]:
    place = f"{manifest.id}/{cell.node}/{cell.arm}/{cell.cell}"
    words = [f"{cell.cell} on the {cell.arm} arm of {cell.node}"]
    words += [NOT_A_MAC] if manifest.simulated else []
    words += [f"INVALID: {each}" for each in cell.invalid]
    marks = [word for word, on in (("invalid", cell.invalid), ("simulated", manifest.simulated)) if on]
    return {
        "uid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"macfleet:{place}")),
        "eid": str(uuid.uuid5(uuid.NAMESPACE_URL, f"macfleet:{manifest.id}")),
        "time": {
            "start": manifest.started,
            "end": manifest.finished,
            "duration": f"PT{60 * cell.minutes:.3f}S",
        },
        "user": manifest.who,
        "description": "; ".join(words),
        "keywords": ["macfleet", cell.node, cell.arm, cell.cell, *marks],
    }


def _stack(cell: CellSummary, facts: JsonObject) -> list[Json]:
    images, versions = _mapping(facts, "images"), _mapping(facts, "versions")
    contained = cell.arm == Arm.CONTAINER
    engine: dict[str, Json] = {
        "kind": "inference_engine",
        "tool": "engine",
        "tool_version": str((images if contained else versions).get("engine") or "unknown"),
        "role": "replica",
        "replicas": 1,
        "model": {"name": str(facts.get("model") or "unknown")},
        "accelerator": {
            "model": " ".join(filter(None, (str(facts.get("chip") or ""), cell.accelerator))) or "unknown",
            "count": 0 if cell.accelerator == "cpu" else 1,
            "parallelism": {},
        },
    }
    found: list[Json] = [_component(f"{cell.node} {cell.arm}", engine)]
    if contained:
        machine: dict[str, Json] = {
            "kind": "generic",
            "tool": str(facts.get("runtime") or "unknown"),
            "tool_version": str(versions.get("colima") or "unknown"),
            "network": str(facts.get("network") or "unknown"),
            "mounts": facts.get("mounts"),
        }
        found.append(_component(f"{cell.node} virtual machine", machine))
    return found


def _component(label: str, standardized: dict[str, Json]) -> dict[str, Json]:
    return {
        "metadata": {"label": label, "cfg_id": _digest(standardized)},
        "standardized": standardized,
        "native": {},
    }


def _load(
    manifest: RunManifest, column: Column, cell: CellSummary, prompts: Mapping[str, float]
) -> dict[str, Json]:
    native: dict[str, Json] = {
        "contract": manifest.contract,
        "sent": manifest.sent,
        "vantage": manifest.vantage,
        "segments": cell.segments,
        "short": column.short,
        "invalid": list(cell.invalid),
        "intervals": {
            name: plain(asdict(getattr(cell, name)))
            for name in ("tokens_per_second", "p50", "p95", "p99", "ttft_p50", "ttft_p95", "itl_p50")
        },
    }
    standardized: dict[str, Json] = {
        "tool": "macfleet",
        "tool_version": manifest.client_version,
        "parallelism": 1,
        "source": "sampled",
        "stage": 0,
        "input_seq_len": {
            "distribution": "other",
            "value": prompts["mean"],
            "min": int(prompts["min"]),
            "max": int(prompts["max"]),
        },
    }
    if cell.concurrency:
        standardized["concurrency"] = cell.concurrency
    elif (rate := _rate(cell.cell)) is not None:
        standardized["rate_qps"] = rate
    return {
        "metadata": {"cfg_id": manifest.sent or _digest(standardized)},
        "standardized": standardized,
        "native": {"config": native},
    }


def _aggregate(cell: CellSummary, answered: pl.DataFrame | None) -> dict[str, Json]:
    cut = cell.outcomes.get(RequestOutcome.CENSORED, 0)
    requests: dict[str, Json] = {"total": cell.n, "failures": cell.n - cell.ok - cut, "incomplete": cut}
    found: dict[str, Json] = {
        "requests": requests,
        "throughput": {
            "output_token_rate": {"units": "tokens/s", "mean": cell.tokens_per_second.value},
            "request_rate": {"units": "queries/s", "mean": cell.qps},
        },
    }
    if answered is None or not len(answered):
        return found
    for name, column in (("input_length", "prompt_tokens"), ("output_length", "tokens")):
        if (lengths := _lengths(answered, column)) is not None:
            requests[name] = {"units": "count", **lengths}
    found["latency"] = _latency(answered, open_loop=is_open(cell.cell))
    return found


def _latency(answered: pl.DataFrame, *, open_loop: bool) -> dict[str, Json]:
    """Our gap between tokens is, by their definitions, the time per output token: one figure a request."""
    import numpy as np

    times = times_of(answered, np.ones(len(answered), dtype=bool), np.full(len(answered), open_loop))
    tokens = answered.get_column("tokens").to_list()
    spread = [each / count for each, count in zip(times.latency, tokens, strict=True) if count]
    named: dict[str, tuple[str, Sequence[float] | np.ndarray]] = {
        "time_to_first_token": ("s", times.first_token),
        "time_per_output_token": ("s/token", known(times.token_gap)),
        "normalized_time_per_output_token": ("s/token", spread),
        "request_latency": ("s", times.latency),
    }
    return {
        name: {"units": unit, **_statistics(values)} for name, (unit, values) in named.items() if len(values)
    }


def _answered(sent: pl.DataFrame) -> pl.DataFrame:
    """Complete answers, of which every moment is known."""
    import polars as pl

    moments = [pl.col(name).is_not_null() for name in ("t_send", "t_first_gen", "t_last_gen")]
    return sent.filter(pl.col("outcome") == RequestOutcome.OK.value, *moments)


def _lengths(answered: pl.DataFrame, column: str) -> dict[str, float] | None:
    known = answered.get_column(column).drop_nulls().to_list()
    return _statistics(known) if known else None


def _statistics(values: Sequence[float] | np.ndarray) -> dict[str, float]:
    import numpy as np

    ordered = np.sort(np.asarray(values, dtype=float))
    percentiles = {
        name: float(ordered[max(math.ceil(share * len(ordered)) - 1, 0)]) for name, share in _SHARES.items()
    }
    return {
        "mean": float(ordered.mean()),
        "stddev": float(ordered.std(ddof=1)) if len(ordered) > 1 else 0.0,
        "min": float(ordered[0]),
        **percentiles,
        "max": float(ordered[-1]),
    }


def _rate(cell: str) -> float | None:
    """Return the rate an open loop's name says: ``bucket@rate/s``."""
    try:
        return float(cell.rpartition("@")[2].removesuffix("/s"))
    except ValueError:
        return None


def _mapping(facts: JsonObject, name: str) -> JsonObject:
    found = facts.get(name)
    return found if isinstance(found, Mapping) else {}


def _digest(value: Json) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
