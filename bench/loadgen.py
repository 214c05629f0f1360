"""The load client's accuracy on this machine, quiet and under a hog; keeps its section of the page."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from bench.sections import keep
from macfleet import __version__
from macfleet.analysis.accuracy import ADDED_P50, ADDED_P99, BIAS, CPU, Accuracy, accuracy
from macfleet.analysis.validity import client_was_late
from macfleet.cli.selftest import golden_engine, measured, misread_streams, segment_of
from macfleet.model.load import SegmentReport
from macfleet.testing.hostile_streams import HOSTILE_STREAMS

STREAMS, RATE, SECONDS, RUNS = 64, 50, 20.0, 5
HOG_TRIES, HOG_SECONDS = 20, 3.0
_HOG = "while True: pass"


def main() -> None:
    """Measure, print, keep."""
    load = os.getloadavg()[0]
    quiet = [_measure(STREAMS, SECONDS) for _ in range(RUNS)]
    found = [each for each, _, _ in quiet]
    wrong = misread_streams()
    with _hogs():
        invalid = sum(_measure(STREAMS, HOG_SECONDS)[2] for _ in range(HOG_TRIES))
    text = "\n".join(
        [
            (
                f"macfleet {__version__}, CPython {platform.python_version()}, {platform.platform()}, "
                f"{os.cpu_count()} cores, load average {load:.1f} at the start. "
                f"{RUNS} runs of {SECONDS:g} s, {STREAMS} streams × {RATE} tokens/s, one client process, "
                "engine and client on the same machine. Medians of the runs, worst in brackets."
            ),
            "",
            "| figure | measured | promised |",
            "|---|---|---|",
            *_rows(found, [report for _, report, _ in quiet]),
            f"| runs INVALID: the client was late | {sum(late for *_, late in quiet)} of {RUNS} | 0 |",
            f"| hostile streams misread | {len(wrong)} of {len(HOSTILE_STREAMS)} | 0 |",
            (
                f"| INVALID under a hog ({2 * (os.cpu_count() or 1)} busy processes) "
                f"| {invalid} of {HOG_TRIES} | {HOG_TRIES} of {HOG_TRIES} |"
            ),
        ]
    )
    print(text)
    keep("loadgen", text)


def _rows(found: list[Accuracy], reports: list[SegmentReport]) -> list[str]:
    def row(name: str, values: list[float], unit: str, promise: str) -> str:
        worst = max(values, key=abs)
        return f"| {name} | {statistics.median(values):.2f} {unit} [{worst:.2f}] | {promise} |"

    return [
        row("added latency, median", [1e3 * f.added_p50 for f in found], "ms", f"≤ {1e3 * ADDED_P50:g} ms"),
        row("added latency, p99", [1e3 * f.added_p99 for f in found], "ms", f"≤ {1e3 * ADDED_P99:g} ms"),
        row("bias of TTFT", [100 * f.ttft_bias for f in found], "%", f"within {100 * BIAS:g} %"),
        row("bias of ITL", [100 * f.itl_bias for f in found], "%", f"within {100 * BIAS:g} %"),
        row("bias of tokens/s", [100 * f.rate_bias for f in found], "%", f"within {100 * BIAS:g} %"),
        row("CPU an event", [1e6 * (f.cpu or 0.0) for f in found], "µs", f"≤ {1e6 * CPU:g} µs"),
        row("client loop late, p99", [1e3 * r.loop_lag_p99 for r in reports], "ms", "under 5 ms"),
        (
            f"| answers miscounted | {sum(f.miscounted for f in found)} of "
            f"{sum(f.answers for f in found):,} | 0 |"
        ),
    ]


def _measure(streams: int, seconds: float) -> tuple[Accuracy, SegmentReport, bool]:
    with golden_engine(100, 200.0, 1000 / RATE) as url:
        samples, answers, report = measured(segment_of(url, streams, seconds))
    found = accuracy(answers)
    late = client_was_late(report, samples)
    if found is None:
        # Starved so far that no answer was whole; the report alone says whether it is INVALID.
        found = Accuracy(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    window = (report.window_end - report.window_start) / 1e9
    return replace(found, cpu=report.cpu_share * window / max(report.token_events, 1)), report, late


@contextmanager
def _hogs() -> Iterator[None]:
    """Keep every core busy twice over."""
    hogs = [subprocess.Popen([sys.executable, "-c", _HOG]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        time.sleep(0.5)  # until they run: their start is not what is measured
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


if __name__ == "__main__":
    main()
