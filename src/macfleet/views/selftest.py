"""What the load client's selftest found, as lines for people."""

from __future__ import annotations

from collections.abc import Sequence

from macfleet.analysis.accuracy import ADDED_P50, ADDED_P99, BIAS, CPU, Accuracy
from macfleet.analysis.agreement import Beside
from macfleet.analysis.validity import WITHOUT_CPU
from macfleet.model.load import SegmentReport


def selftest_lines(
    found: Accuracy, wrong: Sequence[str], streams: int, report: SegmentReport, *, late: bool
) -> list[str]:
    """Return the accuracy table, the hostile streams and the last word."""
    rows = [
        ("added latency, median", f"{1e3 * found.added_p50:.2f} ms", f"≤ {1e3 * ADDED_P50:g} ms"),
        ("added latency, p99", f"{1e3 * found.added_p99:.2f} ms", f"≤ {1e3 * ADDED_P99:g} ms"),
        ("bias of time to first token", f"{100 * found.ttft_bias:+.2f} %", f"within {100 * BIAS:g} %"),
        ("bias of time between tokens", f"{100 * found.itl_bias:+.2f} %", f"within {100 * BIAS:g} %"),
        ("bias of tokens/s", f"{100 * found.rate_bias:+.2f} %", f"within {100 * BIAS:g} %"),
        ("answers miscounted", f"{found.miscounted} of {found.answers:,}", "0"),
        ("client CPU an event", f"{1e6 * (found.cpu or 0):.0f} µs", f"≤ {1e6 * CPU:g} µs"),
        ("client loop late, p99", f"{1e3 * report.loop_lag_p99:.2f} ms", ""),
        ("client given no CPU before", f"{report.without_cpu:.0%}", f"≤ {WITHOUT_CPU:.0%}"),
        ("hostile streams misread", f"{len(wrong)} of {streams}", "0"),
    ]
    left = max(len(name) for name, _, _ in rows)
    middle = max(len(value) for _, value, _ in rows)
    lines = [f"{name:<{left}}  {value:>{middle}}   {bound}".rstrip() for name, value, bound in rows]
    lines += [f"✗ {words}" for words in (*wrong, *found.misses())]
    if late:
        lines.append("! INVALID: the client itself was late; a cell measured now would not be judged")
    elif not wrong and not found.misses():
        lines.append("✓ figures measured from here can be trusted")
    return lines


def beside_lines(runs: Sequence[Beside], problems: Sequence[str]) -> list[str]:
    """Return load clients beside each other, each with what the engine stamped in its own run."""
    if not runs and not problems:
        return []
    rows = [("client", "answers", "TTFT ms (true)", "ITL ms (true)", "tokens/s (true)", "CPU an event")]
    rows += [
        (
            each.client,
            f"{each.reading.answers:,}",
            f"{1e3 * each.reading.ttft:.2f} ({1e3 * each.truth.ttft:.2f})",
            f"{1e3 * each.reading.itl:.3f} ({1e3 * each.truth.itl:.3f})",
            f"{each.reading.rate:.2f} ({each.truth.rate:.2f})",
            "not measured" if each.cpu is None else f"{1e6 * each.cpu:.0f} µs",
        )
        for each in runs
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["", "Beside other clients, medians of answers, the engine's own stamps in brackets:"]
    lines += [
        "  ".join(
            f"{cell:>{width}}" if place else f"{cell:<{width}}"
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines += [f"! {each.client} reads {words}" for each in runs for words in each.misses()]
    return lines + [f"! {words}" for words in problems]
