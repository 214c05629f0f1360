"""What the load client's selftest found, as lines for people."""

from __future__ import annotations

from collections.abc import Sequence

from macfleet.analysis.accuracy import ADDED_P50, ADDED_P99, BIAS, CPU, Accuracy
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
