"""Figures reduced anew from the requests a run recorded, instead of read from its summary."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from macfleet.analysis.cells import summarise
from macfleet.analysis.requests import is_open
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import Json
from macfleet.model.load import SegmentReport
from macfleet.model.run import CellSummary, Interval

if TYPE_CHECKING:
    import polars as pl

    from macfleet.store.folder_runs import FolderRuns

COLUMNS = (
    *("arm", "cell", "segment", "warmup", "outcome", "status", "token_source"),
    *("t_send", "t_first_gen", "t_last_gen", "t_close"),
    *("tokens", "prompt_tokens", "cached_tokens"),
)
"""The columns that figures come from; the others are never read from the disk."""
OPEN_LOOP = "t_sched"
"""The column that the figures of an open loop come from as well: a closed one's requests are not due."""
_SERIES = ("arm", "cell", "segment", "host_used_pct", "vm_iowait_pct", "vm_psi_io_some_avg10")


def requests_of(runs: FolderRuns, run_id: str, node: str, *, open_loop: bool = True) -> pl.LazyFrame | None:
    """Open what one node's requests left, every arm, without reading it yet; None where none are kept.

    `open_loop` says whether there are cells of one, which need a column more.
    """
    paths = sorted(
        name
        for name in runs.manifest(run_id).files
        if name.startswith(f"nodes/{node}/") and name.endswith("/samples.parquet")
    )
    columns = (*COLUMNS, OPEN_LOOP) if open_loop else COLUMNS
    return runs.samples(run_id, *paths).select(columns) if paths else None


def summarise_records(
    runs: FolderRuns, run_id: str, node: str, accelerators: Mapping[str, str]
) -> tuple[CellSummary, ...] | None:
    """Reduce one node's requests as the run itself did; None where the run does not keep what is needed.

    Raises:
        MacfleetError: E0950, E0953, E0954 for what cannot be read, E1007 for reports that are none.
    """
    segments, series = f"nodes/{node}/segments.json", f"nodes/{node}/series.parquet"
    if not {segments, series} <= set(runs.manifest(run_id).files):
        return None
    reports = segment_reports(runs.document(run_id, segments), f"{run_id}/{segments}")
    open_loop = any(is_open(report.cell) for report in reports)
    requests = requests_of(runs, run_id, node, open_loop=open_loop)
    if requests is None:
        return None
    rows = runs.samples(run_id, series).select(_SERIES).collect()
    foreign = _foreign(runs, run_id, node)
    return summarise(requests.collect(), reports, rows, node=node, accelerators=accelerators, foreign=foreign)


def differing(told: Sequence[CellSummary], found: Sequence[CellSummary]) -> tuple[str, ...]:
    """Return the cells, as ``arm cell``, whose figures in a summary are not what the requests give."""
    known = {(cell.arm, cell.cell): cell for cell in told}
    return tuple(
        f"{cell.arm} {cell.cell}"
        for cell in found
        if (other := known.get((cell.arm, cell.cell))) is None or not _alike(cell, other)
    )


def segment_reports(rows: Json, path: str) -> list[SegmentReport]:
    """Return the reports that a run's ``segments.json`` holds (raises MacfleetError E1007)."""
    try:
        return [SegmentReport(**row) for row in rows]  # type: ignore[arg-type, union-attr]
    except TypeError as error:
        raise MacfleetError(
            Diagnostic(
                "E1007",
                f"{path} does not hold the reports of segments",
                why=str(error),
                mend="Leave the run out, or print the comparison without figures: --format md",
            )
        ) from error


def _foreign(runs: FolderRuns, run_id: str, node: str) -> dict[tuple[str, str], list[str]]:
    """Return by arm and cell what the engine served that was not the load client's, as the run says."""
    path = f"nodes/{node}/engine.json"
    document = runs.document(run_id, path) if path in runs.manifest(run_id).files else []
    found: dict[tuple[str, str], list[str]] = {}
    for row in document if isinstance(document, Sequence) else ():
        if isinstance(row, Mapping) and (told := row.get("foreign")):
            key = str(row.get("arm")), str(row.get("cell"))
            found.setdefault(key, []).append(f"segment {row.get('segment')}: {told}")
    return found


def _alike(one: CellSummary, two: CellSummary) -> bool:
    """Whether two reductions agree to a millionth, which leaves room for another order of sums."""
    figures = ("tokens_per_second", "p50", "p95", "p99", "ttft_p50", "ttft_p95", "itl_p50")
    pairs: list[tuple[Interval, Interval]] = [(getattr(one, name), getattr(two, name)) for name in figures]
    return (one.n, one.ok) == (two.n, two.ok) and all(
        math.isclose(a.value, b.value, rel_tol=1e-6) for a, b in pairs
    )
