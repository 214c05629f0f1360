"""How long comparing many large runs takes, and how much memory; keeps its section of the page."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from bench.sections import keep
from macfleet import __version__
from macfleet.analysis.cells import summarise
from macfleet.analysis.frames import sample_frame, series_frame
from macfleet.analysis.summaries import summary_document
from macfleet.model.load import SegmentReport
from macfleet.model.run import RunManifest
from macfleet.store.folder_runs import FolderRuns

if TYPE_CHECKING:
    from macfleet.store.folder_writer import FolderWriter

RUNS, REQUESTS = 200, 100_000
_TRIES = 3
_ARMS, _CELLS, _SEGMENTS, _WINDOW = ("bare", "container"), ("short×1", "short×4"), 4, 450
_SECOND = 1_000_000_000


class Cost(NamedTuple):
    """What one command took: seconds from start to end, of processor time, and its most memory in bytes."""

    seconds: float
    processor: float
    memory: int


def main() -> None:
    """Record, measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--tries", type=int, default=_TRIES)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fleet = Path(folder)
        (fleet / "macfleet.yml").write_text("name: bench\n")
        ids = [record(fleet, number, asked.requests) for number in range(asked.runs)]
        size = sum(file.stat().st_size for file in fleet.rglob("*.parquet"))
        load = os.getloadavg()[0]
        told = [_compare(fleet, ids) for _ in range(asked.tries)]
        anew = [_compare(fleet, ids, "--anew") for _ in range(asked.tries)]
    text = "\n".join(
        [
            (
                f"macfleet {__version__}, CPython {platform.python_version()}, polars {pl.__version__}, "
                f"{platform.platform()}, {os.cpu_count()} cores, load average {load:.1f} at the start. "
                f"{asked.runs} runs of {asked.requests:,} requests, {size / 1e6:,.0f} MB of Parquet; the "
                f"whole command, its start included. Medians of {asked.tries}, worst in brackets."
            ),
            "",
            "| command | seconds | of processor | most memory | promised |",
            "|---|---|---|---|---|",
            _row("macfleet compare RUN…", told, ""),
            _row("macfleet compare --anew RUN…", anew, "under 10 s and 1 GB"),
        ]
    )
    print(text)
    if (asked.runs, asked.requests) == (RUNS, REQUESTS):
        keep("compare", text)


def record(fleet: Path, number: int, requests: int) -> str:
    """Write one run of its own node with as many requests, seeded by its number; return its id."""
    dice = np.random.default_rng(number)
    run_id, node = f"20261123T{number:06d}Z-bench", f"mac-{number:03d}"
    writer = FolderRuns(fleet / ".macfleet" / "runs").create(run_id)
    reports: list[SegmentReport] = []
    frames = {arm: _arm(arm, requests // len(_ARMS), dice, reports) for arm in _ARMS}
    series = _series(reports, dice)
    for arm, frame in frames.items():
        _write(writer, f"nodes/{node}/{arm}/samples.parquet", frame)
    _write(writer, f"nodes/{node}/series.parquet", series)
    writer.json(f"nodes/{node}/segments.json", [report.document() for report in reports])
    writer.json(
        "summary.json", summary_document(summarise(pl.concat(frames.values()), reports, series, node=node))
    )
    writer.finish(_manifest(run_id, node))
    return run_id


def _compare(fleet: Path, ids: list[str], *options: str) -> Cost:
    command = [sys.executable, "-m", "macfleet", "compare", *ids, *options, "--format", "csv"]
    began = time.monotonic()
    child = subprocess.Popen([*command, "--fleet", str(fleet)], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    seconds = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"macfleet compare ended with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def _row(name: str, costs: list[Cost], promise: str) -> str:
    seconds, memory = [cost.seconds for cost in costs], [cost.memory / 1e6 for cost in costs]
    return (
        f"| `{name}` | {statistics.median(seconds):.1f} [{max(seconds):.1f}] "
        f"| {statistics.median(cost.processor for cost in costs):.1f} "
        f"| {statistics.median(memory):.0f} MB [{max(memory):.0f}] | {promise} |"
    )


def _arm(arm: str, requests: int, dice: np.random.Generator, reports: list[SegmentReport]) -> pl.DataFrame:
    each = requests // (len(_CELLS) * _SEGMENTS)
    parts = [
        _segment(arm, cell, segment, each, dice, reports) for cell in _CELLS for segment in range(_SEGMENTS)
    ]
    return pl.concat(parts)


def _segment(
    arm: str, cell: str, segment: int, count: int, dice: np.random.Generator, reports: list[SegmentReport]
) -> pl.DataFrame:
    """One segment: streams that ask again as soon as they were answered, with lognormal noise."""
    window = (1_000 + 500 * len(reports)) * _SECOND
    sent = window + (np.arange(count) * (_WINDOW * _SECOND / count)).astype(np.int64)
    length = int(cell.rpartition("×")[2]) * _WINDOW * _SECOND / count
    spread = dice.lognormal(-0.02, 0.2, count)
    first = sent + (0.2 * length * spread).astype(np.int64)
    last = sent + (0.98 * length * spread).astype(np.int64)
    tokens = dice.integers(16, 64, count)
    reports.append(
        SegmentReport(
            cell=cell,
            segment=segment,
            arm=arm,
            window_start=window,
            window_end=window + _WINDOW * _SECOND,
            wall_start=window,
            token_events=int(tokens.sum()),
            requests=count,
            loop_lag_p99=0.0005,
            dispatch_delay_p95=0.0,
            cpu_share=0.1,
            client_version=__version__,
            archive="",
        )
    )
    known: dict[str, object] = {
        "cell": cell,
        "segment": segment,
        "arm": arm,
        "index": np.arange(count),
        "fixture": "one",
        "outcome": "ok",
        "status": 200,
        "t_sched": sent,
        "t_send": sent,
        "t_headers": sent + 1000,
        "t_first_event": first,
        "t_first_gen": first,
        "t_first_visible": first,
        "t_last_gen": last,
        "t_close": last + 1000,
        "tokens": tokens,
        "token_source": "usage",
        "cached_tokens": 0,
        "prompt_tokens": dice.integers(400, 600, count),
        "bytes_read": tokens * 180,
        "reused": True,
        "warmup": False,
        "detail": "",
    }
    schema = sample_frame(()).schema
    columns = [pl.Series(name, _column(known[name], count), dtype=kind) for name, kind in schema.items()]
    return pl.DataFrame(columns)


def _column(value: object, count: int) -> object:
    return value if isinstance(value, np.ndarray) else [value] * count


def _series(reports: list[SegmentReport], dice: np.random.Generator) -> pl.DataFrame:
    return series_frame(
        [
            {
                "t_wall_ns": report.wall_start + second * _SECOND,
                "host_used_pct": float(60 + dice.normal()),
                "vm_iowait_pct": float(abs(dice.normal())),
                "vm_psi_io_some_avg10": float(abs(dice.normal())),
                "arm": report.arm,
                "cell": report.cell,
                "segment": report.segment,
            }
            for report in reports
            for second in range(_WINDOW)
        ]
    )


def _write(writer: FolderWriter, path: str, frame: pl.DataFrame) -> None:
    place = writer.partial / path
    place.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(place, compression="zstd")


def _manifest(run_id: str, node: str) -> RunManifest:
    return RunManifest(
        id=run_id,
        kind="loadtest",
        stage="loadtest",
        contract="c" * 64,
        sent="5" * 64,
        git_commit="",
        git_dirty=False,
        nodes=(node,),
        arms=_ARMS,
        vantage="node-loopback",
        started="2026-11-23T04:12:05Z",
        finished="2026-11-23T06:12:05Z",
        who="bench",
        why="",
        client_version=__version__,
        short=False,
    )


if __name__ == "__main__":
    main()
