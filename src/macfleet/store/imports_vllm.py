"""The JSON that ``vllm bench serve --save-result`` writes, one document or, appended, one a line.

Fields after vLLM's ``benchmarks/serve.py``: means and percentiles of ttft, tpot, itl and e2el in
milliseconds, as many as were asked for; with ``--save-detailed`` lists of every request, in seconds.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple

from macfleet.store.imports_cells import Figure, Imported, ImportedCell
from macfleet.store.imports_guidellm import WITHOUT_FAILED
from macfleet.store.imports_reading import Values

ROLE_CHUNK = (
    "the first token is taken to be there with the first chunk, even an empty one that only names a role; "
    "ours is the first generated text"
)
AFTER_THE_QUEUE = "its clock starts after the wait for a place among --max-concurrency"
COMMENTS = "comment lines that keep a stream alive make it count answers as failed"
_PERCENTILES = {0.50: ("median_{}_ms", "p50_{}_ms"), 0.95: ("p95_{}_ms",), 0.99: ("p99_{}_ms",)}


def vllm(documents: Sequence[Values]) -> Imported:
    """Return what one result holds, or several that were appended to one file; each is a cell."""
    detailed = [_detailed(each) for each in documents]
    cells = [_cell(each, own) for each, own in zip(documents, detailed, strict=True)]
    ends = [moment for each in documents if (moment := _moment(each.text("date"))) is not None]
    known = (WITHOUT_FAILED,) if any(own is None for own in detailed) else ()
    return Imported(
        tool="vLLM bench",
        version="",
        model=documents[0].text("model_id"),
        started=min(ends) - cells[0].seconds if ends else None,
        finished=max(ends, default=None),
        cells=tuple(cells),
        differs=(ROLE_CHUNK, AFTER_THE_QUEUE, COMMENTS, *known),
    )


class _Answer(NamedTuple):
    whole: float
    first: float
    gap: float | None


def _cell(result: Values, answers: list[_Answer] | None) -> ImportedCell:
    ok = result.count("completed") or 0
    total = result.count("num_prompts")
    failed = result.count("failed")
    lost = failed if failed is not None else max((total or ok) - ok, 0)
    unlimited = result.at("request_rate").value in ("inf", math.inf)
    rate = 0.0 if unlimited else result.number("request_rate") or 0.0
    if answers is None:
        latency, first, gap = (_known(result, name) for name in ("e2el", "ttft", "tpot"))
    else:
        latency = Figure(tuple(each.whole for each in answers))
        first = Figure(tuple(each.first for each in answers))
        gap = Figure(tuple(each.gap for each in answers if each.gap is not None))
    return ImportedCell(
        concurrency=0 if rate else result.count("max_concurrency") or (total if unlimited else None),
        rate=rate,
        ok=ok,
        outcomes={"ok": ok, "failed": lost},
        seconds=result.number("duration") or 0.0,
        tokens_per_second=result.number("output_throughput"),
        qps=result.number("request_throughput") or 0.0,
        latency=latency,
        first=first,
        gap=gap,
    )


def _detailed(result: Values) -> list[_Answer] | None:
    """Every request, from lists that lie side by side; None where they are missing or of unlike length."""
    lists = [result.items(name) for name in ("ttfts", "itls", "output_lens", "errors")]
    ttfts, itls, lengths, errors = lists
    if not ttfts or len({len(each) for each in lists}) > 1:
        return None
    return [_answer(*each) for each in zip(ttfts, itls, lengths, errors, strict=True)]


def _answer(ttft: Values, itl: Values, length: Values, error: Values) -> _Answer:
    tokens = length.count() or 0
    first = ttft.number()
    if error.text() or first is None or not tokens:
        return _Answer(math.inf, math.inf, None)
    rest = sum(each.number() or 0.0 for each in itl.items())
    return _Answer(first + rest, first, rest / (tokens - 1) if tokens > 1 else None)


def _known(result: Values, metric: str) -> Figure:
    found = {
        share: result.first(*((name.format(metric),) for name in names)).number()
        for share, names in _PERCENTILES.items()
    }
    return Figure(known={share: value / 1e3 for share, value in found.items() if value is not None})


def _moment(date: str) -> float | None:
    """Return when a result was written; the tool notes its machine's time without a zone, read as UTC."""
    try:
        return dt.datetime.strptime(date, "%Y%m%d-%H%M%S").replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        return None
