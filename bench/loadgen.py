"""`make bench-loadgen`: the load client's accuracy, under a hog, beside its peers.

Keeps its section of the page; with names of tables, only those are measured anew.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.report import Table, tables_in
from bench.sections import keep, kept
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

TITLES = {
    "accuracy": "On a quiet machine",
    "hog": "Under a hog",
    "peers": "Beside GuideLLM and AIPerf",
}
"""What is measured, with its table's title, in the page's order."""
STREAMS, RATE, SECONDS, RUNS = 64, 50, 10.0, 3
HOG_TRIES, HOG_SECONDS = 20, 1.5
LIGHT_STREAMS, BESIDE_SECONDS = 4, 6.0
PEERS = Path(__file__).parent.parent / ".peers-load"
CPU_SHARE = 0.5
"""What our client may use of a peer's CPU for each event."""
_HOG = "while True: pass"


def main() -> None:
    """Measure what is asked for, print it, and keep it beside what was measured before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", help=f"which of {', '.join(TITLES)}; all unless named")
    chosen = parser.parse_args().tables or list(TITLES)
    if unknown := [name for name in chosen if name not in TITLES]:
        parser.error(f"there is no table {unknown[0]}; there are {', '.join(TITLES)}")
    parts: Mapping[str, Callable[[], Table]] = {"accuracy": _quiet, "hog": _under_hogs, "peers": _beside}
    for name in chosen:
        machine = (
            f"macfleet {__version__}, CPython {platform.python_version()}, {platform.platform()}, "
            f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the start."
        )
        table = parts[name]()
        text = replace(table, prose=f"{machine} {table.prose}").markdown()
        print(f"\n{text}", flush=True)
        # After each: what was measured stays when the rest is stopped.
        tables = tables_in(kept("loadgen")) | {table.title: text}
        keep("loadgen", "\n".join(tables[title] for title in TITLES.values() if title in tables))


def _quiet() -> Table:
    """Return the client's figures beside the engine's own stamps."""
    quiet = [_measure() for _ in range(RUNS)]
    wrong = misread_streams()
    prose = (
        f"{RUNS} runs of {SECONDS:g} s, {STREAMS} streams × {RATE} tokens/s, one client process, "
        "engine and client on the same machine. Medians of the runs, worst in brackets."
    )
    late = sum(late for *_, late in quiet)
    rows = [
        ("figure", "measured", "promised"),
        *_rows([found for found, _, _ in quiet], [report for _, report, _ in quiet]),
        ("runs INVALID: the client was late", f"{late} of {RUNS}", "0"),
        ("hostile streams misread", f"{len(wrong)} of {len(HOSTILE_STREAMS)}", "0"),
    ]
    return Table(TITLES["accuracy"], prose, rows)


def _under_hogs() -> Table:
    """Return how often the client says that it is no judge while others want every core."""
    tries = f"{HOG_TRIES} of {HOG_TRIES}"
    row = (f"{2 * (os.cpu_count() or 1)} busy processes", f"{_invalid_under_hogs()} of {HOG_TRIES}", tries)
    prose = f"{HOG_SECONDS:g} s a try, {STREAMS} streams × {RATE} tokens/s."
    return Table(TITLES["hog"], prose, [("beside the client", "INVALID", "promised"), row])


def _beside() -> Table:
    """Put the peers beside ours at two loads; a sentence instead where they are not installed."""
    head = [
        *("streams", "client", "n", "TTFT, ms", "ITL, ms", "tokens/s"),
        *("agrees with the engine", "agrees with macfleet", "µs CPU an event", "ours of it"),
    ]
    if not (PEERS / ".ready").exists():
        return Table(TITLES["peers"], "They were not installed: `scripts/peers-load.sh`.", [head])
    os.environ["PATH"] = f"{PEERS / 'bin'}{os.pathsep}{os.environ['PATH']}"
    prose = (
        f"{_versions()} in turn on the same engine, streams entering over {RAMP:g} s, then "
        f"{BESIDE_SECONDS:g} s. Medians of answers; in brackets what the engine stamped in the same run, "
        "from a request read to its first token written. Agreement, with the engine's stamps of the same run "
        "and with what macfleet read at as many streams: 1 % or 2 ms. AIPerf starts its clock before aiohttp "
        "prepares the request: nearly all that it reads over the engine lies before the engine has read the "
        "request, next to nothing between a token's writing and its reading. CPU is that of all the client's "
        f"processes while every stream was busy; ours is promised to use {CPU_SHARE:g} × each peer's at most."
    )
    rows: list[Sequence[str]] = [head]
    for streams in (STREAMS, LIGHT_STREAMS):
        ours: Beside | None = None
        for client in clients():
            try:
                run = beside(client, streams, RATE, BESIDE_SECONDS)
            except MacfleetError as error:
                why = " ".join(f"{each.summary}: {each.why}" for each in error.diagnostics)
                rows.append((str(streams), client.name, " ".join(why.split()), *[""] * (len(head) - 3)))
                continue
            ours = ours or (run if run.client == "macfleet" else None)
            rows.append(_beside_row(streams, run, ours))
    return Table(TITLES["peers"], prose, rows)


def _beside_row(streams: int, run: Beside, ours: Beside | None) -> Sequence[str]:
    own, true = run.reading, run.truth
    cpu = "not measured" if run.cpu is None else f"{1e6 * run.cpu:.0f}"
    with_ours = share = ""
    if run is not ours:
        with_ours = "not known" if ours is None else _agrees(replace(run, truth=ours.reading))
        if ours is not None and run.cpu and ours.cpu:
            met = "met" if ours.cpu <= CPU_SHARE * run.cpu else "**missed**"
            share = f"{ours.cpu / run.cpu:.2f} ×, {met}"
    return (
        str(streams),
        run.client,
        str(own.answers),
        f"{1e3 * own.ttft:.2f} ({1e3 * true.ttft:.2f})",
        f"{1e3 * own.itl:.3f} ({1e3 * true.itl:.3f})",
        f"{own.rate:.2f} ({true.rate:.2f})",
        _agrees(run),
        with_ours,
        cpu,
        share,
    )


def _agrees(run: Beside) -> str:
    return "yes" if not run.misses() else f"**no**: {'; '.join(run.misses())}"


def _versions() -> str:
    pinned = (Path(__file__).parent / "peers-load.txt").read_text(encoding="utf-8").splitlines()
    found = [line.split()[0] for line in pinned if line.startswith(("guidellm==", "aiperf=="))]
    return " and ".join(
        each.replace("guidellm==", "GuideLLM ").replace("aiperf==", "AIPerf ") for each in found
    )


def _rows(found: list[Accuracy], reports: list[SegmentReport]) -> list[tuple[str, str, str]]:
    def row(name: str, values: list[float], unit: str, promise: str) -> tuple[str, str, str]:
        worst = max(values, key=abs)
        return name, f"{statistics.median(values):.2f} {unit} [{worst:.2f}]", promise

    miscounted, answers = sum(f.miscounted for f in found), sum(f.answers for f in found)
    return [
        row("added latency, median", [1e3 * f.added_p50 for f in found], "ms", f"≤ {1e3 * ADDED_P50:g} ms"),
        row("added latency, p99", [1e3 * f.added_p99 for f in found], "ms", f"≤ {1e3 * ADDED_P99:g} ms"),
        row("bias of TTFT", [100 * f.ttft_bias for f in found], "%", f"within {100 * BIAS:g} %"),
        row("bias of ITL", [100 * f.itl_bias for f in found], "%", f"within {100 * BIAS:g} %"),
        row("bias of tokens/s", [100 * f.rate_bias for f in found], "%", f"within {100 * BIAS:g} %"),
        row("CPU an event", [1e6 * (f.cpu or 0.0) for f in found], "µs", f"≤ {1e6 * CPU:g} µs"),
        row("client loop late, p99", [1e3 * r.loop_lag_p99 for r in reports], "ms", "under 5 ms"),
        ("answers miscounted", f"{miscounted} of {answers:,}", "0"),
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
