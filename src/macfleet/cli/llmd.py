"""`macfleet compare --format llmd`: a Benchmark Report a cell, for llm-d's explorer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from macfleet.cli.whole_file import write_whole
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from macfleet.cli.fleet import FleetContext
    from macfleet.reports.comparison import Comparison
    from macfleet.reports.loaded import LoadedRun


def write_reports(
    fleet: FleetContext, comparison: Comparison, runs: Sequence[LoadedRun], folder: str | None
) -> int:
    """Write each report to a file of its own, or all to stdout as one stream of YAML documents.

    Raises:
        MacfleetError: E1006 a file cannot be written.
    """
    from macfleet.reports.llmd import llmd_reports

    reports = llmd_reports(
        comparison, runs, lambda run, node, arm, cell: _requests(fleet, run, node, arm, cell)
    )
    left_out = sorted({column.run for column in comparison.columns if column.imported})
    if left_out:
        sys.stderr.write(f"! left out, as another tool measured it: {', '.join(left_out)}\n")
    for name, report in reports.items():
        text = json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
        if folder is None:
            sys.stdout.write(f"---\n{text}")
        else:
            write_whole(Path(folder) / name, text)
    return ExitCode.DONE


def _requests(fleet: FleetContext, run: str, node: str, arm: str, cell: str) -> pl.DataFrame | None:
    """Read the requests of one cell; None where the run keeps none."""
    import polars as pl

    path = f"nodes/{node}/{arm}/samples.parquet"
    if path not in fleet.runs.manifest(run).files:
        return None
    columns = ("cell", "outcome", "t_sched", "t_send", "t_first_gen", "t_last_gen", "prompt_tokens", "tokens")
    own = fleet.runs.samples(run, path).filter((pl.col("cell") == cell) & ~pl.col("warmup"))
    return own.select(columns).collect()
