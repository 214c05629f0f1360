"""The load client here: accuracy, behaviour under a hog, peers beside it; keeps its section of the page."""

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
from pathlib import Path

from bench.sections import keep
from macfleet import __version__
from macfleet.analysis.accuracy import ADDED_P50, ADDED_P99, BIAS, CPU, Accuracy, accuracy
from macfleet.analysis.agreement import Beside
from macfleet.analysis.validity import client_was_late
from macfleet.cli.selftest import golden_engine, measured, misread_streams, segment_of
from macfleet.cli.selftest_peers import RAMP, beside, clients
from macfleet.loadgen.measure import measure
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.load import Sample, SegmentReport
from macfleet.testing.hostile_streams import HOSTILE_STREAMS

STREAMS, RATE, SECONDS, RUNS = 64, 50, 10.0, 3
HOG_TRIES, HOG_SECONDS = 20, 1.5
LIGHT_STREAMS, BESIDE_SECONDS = 4, 6.0
PEERS = Path(__file__).parent.parent / ".peers-load"
CPU_SHARE = 0.5
"""What our client may use of a peer's CPU for each event."""
_HOG = "while True: pass"


def main() -> None:
    """Measure, print, keep."""
    load = os.getloadavg()[0]
    quiet = [_measure() for _ in range(RUNS)]
    wrong = misread_streams()
    invalid = _invalid_under_hogs()
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
            *_rows([found for found, _, _ in quiet], [report for _, report, _ in quiet]),
            f"| runs INVALID: the client was late | {sum(late for *_, late in quiet)} of {RUNS} | 0 |",
            f"| hostile streams misread | {len(wrong)} of {len(HOSTILE_STREAMS)} | 0 |",
            (
                f"| INVALID under a hog ({2 * (os.cpu_count() or 1)} busy processes), "
                f"{HOG_SECONDS:g} s a try | {invalid} of {HOG_TRIES} | {HOG_TRIES} of {HOG_TRIES} |"
            ),
            "",
            *_beside(),
        ]
    )
    print(text)
    keep("loadgen", text)


def _beside() -> list[str]:
    """Put the peers beside ours at two loads; a sentence instead where they are not installed."""
    if not (PEERS / ".ready").exists():
        return ["GuideLLM and AIPerf were not installed beside it: `scripts/peers-load.sh`."]
    os.environ["PATH"] = f"{PEERS / 'bin'}{os.pathsep}{os.environ['PATH']}"
    lines = [
        (
            f"{_versions()} in turn on the same engine, streams entering over {RAMP:g} s, then "
            f"{BESIDE_SECONDS:g} s. Medians of answers; in brackets what the engine stamped in the same run, "
            "from a request read to its first token written. Agreement: 1 % or 2 ms. CPU is that of all the "
            f"client's processes while every stream was busy; ours is promised to use {CPU_SHARE:g} × each "
            "peer's at most."
        ),
        "",
        "| streams | client | n | TTFT, ms | ITL, ms | tokens/s | agrees | µs CPU an event | ours of it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for streams in (STREAMS, LIGHT_STREAMS):
        ours: Beside | None = None
        for client in clients():
            try:
                run = beside(client, streams, RATE, BESIDE_SECONDS)
            except MacfleetError as error:
                why = " ".join(f"{each.summary}: {each.why}" for each in error.diagnostics)
                lines.append(f"| {streams} | {client.name} | {' '.join(why.split())} |||||||")
                continue
            ours = ours or run
            lines.append(_beside_row(streams, run, ours))
    return lines


def _beside_row(streams: int, run: Beside, ours: Beside) -> str:
    own, true = run.reading, run.truth
    agrees = "yes" if not run.misses() else f"**no**: {'; '.join(run.misses())}"
    cpu = "not measured" if run.cpu is None else f"{1e6 * run.cpu:.0f}"
    share = ""
    if run is not ours and run.cpu and ours.cpu:
        met = "met" if ours.cpu <= CPU_SHARE * run.cpu else "**missed**"
        share = f"{ours.cpu / run.cpu:.2f} ×, {met}"
    return (
        f"| {streams} | {run.client} | {own.answers} "
        f"| {1e3 * own.ttft:.2f} ({1e3 * true.ttft:.2f}) | {1e3 * own.itl:.3f} ({1e3 * true.itl:.3f}) "
        f"| {own.rate:.2f} ({true.rate:.2f}) | {agrees} | {cpu} | {share} |"
    )


def _versions() -> str:
    pinned = (Path(__file__).parent / "peers-load.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split()[0] for line in pinned if line.startswith(("guidellm==", "aiperf=="))]
    return " and ".join(
        each.replace("guidellm==", "GuideLLM ").replace("aiperf==", "AIPerf ") for each in found
    )


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


def _measure() -> tuple[Accuracy, SegmentReport, bool]:
    with golden_engine(100, 200.0, 1000 / RATE) as url:
        samples, answers, report = measured(segment_of(url, STREAMS, SECONDS))
    found = accuracy(answers)
    late = client_was_late(report, samples)
    if found is None:
        # Starved so far that no answer was whole; the report alone says whether it is INVALID.
        found = Accuracy(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0)
    window = (report.window_end - report.window_start) / 1e9
    return replace(found, cpu=report.cpu_share * window / max(report.token_events, 1)), report, late


def _invalid_under_hogs() -> int:
    """Return how many short tries say INVALID while every core is busy twice over."""
    invalid = 0
    with golden_engine(100, 200.0, 1000 / RATE) as url, _hogs():
        for _ in range(HOG_TRIES):
            samples: list[Sample] = []
            spec = replace(segment_of(url, STREAMS, HOG_SECONDS), warmup=0.5, grace=0.2)
            report = measure(spec, samples.append)
            invalid += client_was_late(report, samples)
    return invalid


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
