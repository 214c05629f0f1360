"""GuideLLM's ``benchmarks.json``: the report of schema 1 (up to 0.6) and 2 (since 0.7).

Fields after GuideLLM's own schemas (`GenerativeBenchmark`, `GenerativeRequestStats`, `RequestTimings`):
each benchmark has the strategy it ran with, metrics by outcome and, unless they were sampled, every request.
"""

from __future__ import annotations

import math

from macfleet.store.imports_cells import Figure, Imported, ImportedCell
from macfleet.store.imports_reading import Values

TO_THE_CLOSE = "end to end lasts until the stream is closed; ours ends with the last generated text"
WITHOUT_FAILED = "its percentiles leave failed requests out; in ours they count as infinitely slow"
_PERCENTILES = {0.50: "p50", 0.95: "p95", 0.99: "p99"}
_RATED = ("constant", "poisson", "async")


def guidellm(values: Values) -> Imported:
    """Return what a report holds; each of its benchmarks is a cell."""
    benchmarks = values.items("benchmarks")
    each = [_requests(benchmark) for benchmark in benchmarks]
    cells = [_cell(benchmark, own) for benchmark, own in zip(benchmarks, each, strict=True)]
    sampled = any(own is None for own in each)
    return Imported(
        tool="GuideLLM",
        version=values.text("metadata", "guidellm_version"),
        model=values.first(("config", "spec", "backend", "model"), ("args", "model")).text(),
        started=min(filter(None, (each.number("start_time") for each in benchmarks)), default=None),
        finished=max(filter(None, (each.number("end_time") for each in benchmarks)), default=None),
        cells=tuple(cells),
        differs=(TO_THE_CLOSE, WITHOUT_FAILED) if sampled else (),
    )


def _cell(benchmark: Values, requests: list[tuple[float, float, float]] | None) -> ImportedCell:
    metrics = benchmark.at("metrics")
    totals = metrics.at("request_totals")
    ok, failed, cut = (totals.count(name) or 0 for name in ("successful", "errored", "incomplete"))
    seconds = benchmark.number("duration") or 0.0
    concurrency, rate = _load(benchmark)
    lost = (math.inf,) * (failed + cut)
    if requests is None:
        latency = _known(metrics.at("request_latency", "successful"), 1.0)
        first = _known(metrics.at("time_to_first_token_ms", "successful"), 1e-3)
        gap = _known(metrics.at("inter_token_latency_ms", "successful"), 1e-3)
    else:
        latency = Figure((*(each[0] for each in requests), *lost))
        first = Figure((*(each[1] for each in requests), *lost))
        gap = Figure(tuple(each[2] for each in requests if not math.isnan(each[2])))
    return ImportedCell(
        concurrency=concurrency,
        rate=rate,
        ok=ok,
        outcomes={"ok": ok, "failed": failed, "censored": cut},
        seconds=seconds,
        tokens_per_second=metrics.number("output_tokens_per_second", "successful", "mean"),
        qps=metrics.number("requests_per_second", "successful", "mean") or 0.0,
        latency=latency,
        first=first,
        gap=gap,
    )


def _requests(benchmark: Values) -> list[tuple[float, float, float]] | None:
    """Seconds to the last token, to the first one, and between two, of each answer; None if some are missing.

    With every time stamp at hand, end to end can end where ours does.
    """
    found = []
    for request in benchmark.items("requests", "successful"):
        timings = request.at("info", "timings")
        sent = timings.number("request_start")
        last = timings.number("last_token_iteration")
        first = request.number("time_to_first_token_ms")
        gap = request.number("inter_token_latency_ms")
        if sent is None or last is None or first is None or last < sent:
            return None
        found.append((last - sent, first / 1e3, math.nan if gap is None else gap / 1e3))
    whole = benchmark.count("metrics", "request_totals", "successful")
    return found if found and len(found) == whole else None


def _load(benchmark: Values) -> tuple[int | None, float]:
    """Streams in flight and rate, of the strategy that was carried out, not of the one asked for."""
    strategy = benchmark.first(("config", "strategy"), ("scheduler", "strategy"), ("args", "strategy"))
    kind = strategy.text("type_")
    rate = strategy.number("rate")
    if kind in _RATED and rate:
        return 0, rate
    if kind == "synchronous":
        return 1, 0.0
    streams = strategy.count("streams") or (
        strategy.count("max_concurrency") if kind == "concurrent" else None
    )
    if streams:
        return streams, 0.0
    seen = benchmark.number("metrics", "request_concurrency", "successful", "mean")
    return (round(seen) or None) if seen else None, 0.0


def _known(summary: Values, scale: float) -> Figure:
    found = {share: summary.number("percentiles", name) for share, name in _PERCENTILES.items()}
    return Figure(known={share: value * scale for share, value in found.items() if value is not None})
