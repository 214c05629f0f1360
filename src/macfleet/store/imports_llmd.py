"""llm-d's Benchmark Report, versions 0.2 and 0.2.1, as JSON or YAML.

Fields after the report's own documentation in llm-d-benchmark (`benchmark_report`): every statistic names
its unit; the load generator that measured is named in ``scenario.load.standardized``.
"""

from __future__ import annotations

import datetime as dt
import math

from macfleet.store.imports_cells import Figure, Imported, ImportedCell
from macfleet.store.imports_guidellm import TO_THE_CLOSE, WITHOUT_FAILED
from macfleet.store.imports_reading import Values
from macfleet.store.imports_vllm import AFTER_THE_QUEUE, COMMENTS, ROLE_CHUNK

_SECONDS = {"s": 1.0, "ms": 1e-3, "s/token": 1.0, "ms/token": 1e-3}
_PERCENTILES = {0.50: "p50", 0.95: "p95", 0.99: "p99"}
_DIFFERS = {
    "guidellm": (TO_THE_CLOSE,),
    "vllm-benchmark": (ROLE_CHUNK, AFTER_THE_QUEUE, COMMENTS),
}
_TPOT_WITH_FIRST_TOKEN = ("guidellm",)
"""Tools whose time per output token spreads the first token's wait over all tokens; their ITL does not."""


def llmd(values: Values) -> Imported:
    """Return what a report holds: one cell, percentiles without intervals."""
    load = values.at("scenario", "load", "standardized")
    tool = load.text("tool")
    whole = values.at("results", "request_performance", "aggregate")
    rate = load.number("rate_qps") or 0.0
    total = whole.count("requests", "total") or 0
    failed = whole.count("requests", "failures") or 0
    cut = whole.count("requests", "incomplete") or 0
    at_once = load.at("concurrency").value == math.inf
    concurrency = (total or None) if at_once else load.count("concurrency")
    started, finished = (_moment(values.at("run", "time", name)) for name in ("start", "end"))
    timed = started is not None and finished is not None
    throughput = whole.at("throughput")
    latency = whole.at("latency")
    ok = max(total - failed - cut, 0)
    first_choice = "inter_token_latency" if tool in _TPOT_WITH_FIRST_TOKEN else "time_per_output_token"
    cell = ImportedCell(
        concurrency=0 if rate else concurrency,
        rate=rate,
        ok=ok,
        outcomes={"ok": ok, "failed": failed, "censored": cut},
        seconds=max((finished or 0.0) - (started or 0.0), 0.0) if timed else 0.0,
        tokens_per_second=throughput.number("output_token_rate", "mean"),
        qps=throughput.number("request_rate", "mean") or 0.0,
        latency=_known(latency.at("request_latency")),
        first=_known(latency.at("time_to_first_token")),
        gap=_known(latency.first((first_choice,), ("inter_token_latency",))),
    )
    stack = [each.text("standardized", "model", "name") for each in values.items("scenario", "stack")]
    return Imported(
        tool=f"llm-d with {tool}" if tool else "llm-d",
        version=load.text("tool_version"),
        model=next(filter(None, stack), ""),
        started=started,
        finished=finished,
        cells=(cell,),
        differs=(*_DIFFERS.get(tool, ()), WITHOUT_FAILED),
    )


def _known(block: Values) -> Figure:
    unit = block.text("units")
    if block.value is not None and unit not in _SECONDS:
        block.at("units").refuse(f"{unit!r} is no unit of time")
    scale = _SECONDS.get(unit, 1.0)
    found = {share: block.number(name) for share, name in _PERCENTILES.items()}
    return Figure(known={share: value * scale for share, value in found.items() if value is not None})


def _moment(part: Values) -> float | None:
    """Seconds since the epoch; YAML may have read the text as a time already."""
    text = part.text() if isinstance(part.value, str) else str(part.value or "")
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()
