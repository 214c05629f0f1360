"""AIPerf's ``profile_export_aiperf.json`` and its records, ``profile_export.jsonl``.

Fields after NVIDIA's pages "profile_export_aiperf.json Schema" (1.0 to 1.5) and "Working with Profile
Export Files". A block's unit is authoritative; fields nobody knows are left alone, as those pages ask.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from macfleet.store.imports_cells import Figure, Imported, ImportedCell
from macfleet.store.imports_guidellm import WITHOUT_FAILED
from macfleet.store.imports_reading import Values

_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
_PERCENTILES = {0.50: "p50", 0.95: "p95", 0.99: "p99"}


def aiperf(values: Values) -> Imported:
    """Return what a summary holds: one cell, percentiles without intervals."""
    ok = values.count("request_count", "avg") or 0
    failed = values.count("error_request_count", "avg")
    if failed is None:
        failed = sum(each.count("count") or 0 for each in values.items("error_summary"))
    started, finished = (_moment(values.text(name)) for name in ("start_time", "end_time"))
    duration = values.at("benchmark_duration")
    seconds = duration.number("avg")
    if seconds is not None:
        seconds *= _scale(duration)
    elif started is not None and finished is not None:
        seconds = max(finished - started, 0.0)
    config = values.at("input_config")
    loads = (config.at("loadgen"), config.at("phases", "profiling"), config.at("phases", 0))
    rate = next(filter(None, (load.number("request_rate") for load in loads)), 0.0)
    concurrency = next(filter(None, (load.count("concurrency") for load in loads)), None)
    cell = ImportedCell(
        concurrency=0 if rate else concurrency,
        rate=rate,
        ok=ok,
        outcomes={"ok": ok, "failed": failed},
        seconds=seconds or 0.0,
        tokens_per_second=values.number("output_token_throughput", "avg"),
        qps=values.number("request_throughput", "avg") or 0.0,
        latency=_known(values.at("request_latency")),
        first=_known(values.at("time_to_first_token")),
        gap=_known(values.at("inter_token_latency")),
    )
    model = config.first(("endpoint", "model_names"), ("models",)).at(0).text()
    version = values.text("aiperf_version")
    return Imported("AIPerf", version, model, started, finished, (cell,), (WITHOUT_FAILED,))


def aiperf_records(lines: Sequence[Values]) -> Imported:
    """Return what the records of a run hold: one cell, whose load the records do not say."""
    own = [line for line in lines if line.text("metadata", "benchmark_phase") in ("", "profiling")]
    latency, first, gap = [], [], []
    tokens, ok, cut = 0, 0, 0
    begun, ended = [], []
    for line in own:
        begun += [found for found in [line.number("metadata", "request_start_ns")] if found is not None]
        ended += [found for found in [line.number("metadata", "request_end_ns")] if found is not None]
        whole = _value(line, "request_latency")
        cancelled = line.at("metadata", "was_cancelled").value is True
        if cancelled or line.at("error").value is not None or whole is None:
            cut += cancelled
            latency.append(math.inf)
            first.append(math.inf)
            continue
        ok += 1
        latency.append(whole)
        reached = _value(line, "time_to_first_token")
        first.append(math.inf if reached is None else reached)
        between = _value(line, "inter_token_latency")
        gap += [] if between is None else [between]
        tokens += line.count("metrics", "output_sequence_length", "value") or 0
    start, end = min(begun, default=0.0) * 1e-9, max(ended, default=0.0) * 1e-9
    seconds = max(end - start, 0.0)
    cell = ImportedCell(
        concurrency=None,
        rate=0.0,
        ok=ok,
        outcomes={"ok": ok, "failed": len(own) - ok - cut, "censored": cut},
        seconds=seconds,
        tokens_per_second=tokens / seconds if seconds else None,
        qps=ok / seconds if seconds else 0.0,
        latency=Figure(tuple(latency)),
        first=Figure(tuple(first)),
        gap=Figure(tuple(gap)),
    )
    return Imported("AIPerf", "", "", start or None, end or None, (cell,), ())


def _known(block: Values) -> Figure:
    scale = _scale(block)
    found = {share: block.number(name) for share, name in _PERCENTILES.items()}
    return Figure(known={share: value * scale for share, value in found.items() if value is not None})


def _value(line: Values, metric: str) -> float | None:
    block = line.at("metrics", metric)
    value = block.number("value")
    return None if value is None else value * _scale(block)


def _scale(block: Values) -> float:
    """Seconds of one unit of a block; a unit nobody knows is a problem, not a guess."""
    unit = block.text("unit")
    if unit not in _SECONDS and block.value is not None:
        block.at("unit").refuse(f"{unit!r} is no unit of time")
    return _SECONDS.get(unit, 1.0)


def _moment(text: str) -> float | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
