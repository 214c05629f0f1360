"""The HTML report of a comparison, written beside the runs it was made of."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from macfleet.cli.fleet import FleetContext
from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from macfleet.analysis.traces import Trace
    from macfleet.reports.comparison import Comparison


def write_page(fleet: FleetContext, comparison: Comparison, target: str | None) -> int:
    """Write the report and say where it lies.

    Raises:
        MacfleetError: E1005 the extra that draws figures is not installed; E1006 the file cannot be written.
    """
    if find_spec("matplotlib") is None:
        raise MacfleetError(
            Diagnostic(
                "E1005",
                "the HTML report needs the extra `report`, which draws its figures",
                why="matplotlib is not installed.",
                mend="pip install 'macfleet[analysis,report]', or forward macfleet compare --format md",
                exit_code=ExitCode.USAGE,
            )
        )
    from macfleet.analysis.thresholds import in_scope, load_thresholds
    from macfleet.reports.page import html

    sys.stderr.write("⌛ drawing the figures\n")
    thresholds = in_scope(load_thresholds(fleet.files), "", "")
    lines = [t.limits["tokens_per_second_drop"] for t in thresholds if t.id == "mounts-first"]
    page = html(comparison, tuple(_traces(fleet, comparison)), *lines[:1])
    path = Path(target) if target else fleet.root / ".macfleet" / "reports" / _name(comparison)
    write_whole(path, page)
    if fleet.output == "json":
        document = {"schema": 1, "kind": "report", "path": str(path), "bytes": len(page.encode())}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write(f"Report: {path}\n")
    return ExitCode.DONE


def _traces(fleet: FleetContext, comparison: Comparison) -> Iterable[Trace]:
    """Raw records of every node that has them; imported and older runs may have none."""
    import polars as pl

    from macfleet.analysis.traces import trace
    from macfleet.store.records import segment_reports

    for run, node in dict.fromkeys((column.run, column.node) for column in comparison.columns):
        folder, files = f"nodes/{node}", fleet.runs.manifest(run).files
        paths = sorted(
            name for name in files if name.startswith(f"{folder}/") and name.endswith("/samples.parquet")
        )
        if not paths or f"{folder}/segments.json" not in files or f"{folder}/series.parquet" not in files:
            continue
        reports = segment_reports(
            fleet.runs.document(run, f"{folder}/segments.json"), f"{run}/{folder}/segments.json"
        )
        samples = pl.concat([fleet.runs.samples(run, path).collect() for path in paths])
        series = fleet.runs.samples(run, f"{folder}/series.parquet").collect()
        yield trace(run, node, samples, reports, series)


def _name(comparison: Comparison) -> str:
    """The newest run, and what else was compared: the same comparison goes to the same file."""
    runs = sorted({column.run for column in comparison.columns})
    rest = hashlib.sha256(json.dumps([comparison.by, comparison.baseline, *runs]).encode()).hexdigest()[:6]
    return f"{runs[-1]}-by-{comparison.by}-{rest}.html"
