"""Recorded runs in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from macfleet.model.run import CellSummary, Interval, RunManifest
from macfleet.reports import figures
from macfleet.reports.notices import resumed_text
from macfleet.views.diagnostics import clean
from macfleet.views.flow import flow
from macfleet.views.table import lines as table

_NAMED = 2


def run_lines(
    manifests: Sequence[RunManifest],
    unfinished: Sequence[str],
    width: int,
    added: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[str]:
    """Yield one line a run, oldest first, with marks `added` later, and those never sealed; 0 is a pipe."""
    rows = [
        (
            each.id,
            each.kind,
            _nodes(each.nodes),
            ", ".join(each.arms),
            ", ".join((*_marks(each), *(added or {}).get(each.id, ()))),
        )
        for each in manifests
    ]
    if rows:
        yield from table(("run", "kind", "nodes", "arms", ""), rows, width, gap="  ")
    else:
        yield "No run was recorded yet."
    for run_id in unfinished:
        yield from flow([f"! {run_id} was begun and never finished", f"macfleet run show {run_id}"], width)


def _marks(manifest: RunManifest) -> list[str]:
    """Return what is to be known of a run at a glance; only what measured can be too short."""
    found = (("short", manifest.short and manifest.kind == "loadtest"), ("simulated", manifest.simulated))
    return [word for word, true in found if true]


def _nodes(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _NAMED else f"{names[0]} and {len(names) - 1} more"


def show_run(
    manifest: RunManifest,
    cells: Sequence[CellSummary],
    console: Console,
    dropped: Mapping[str, str] | None = None,
) -> None:
    """Print a run's head and one line for each of its cells; `dropped` as `Verified` says."""
    head = {
        "run": manifest.id,
        "kind": f"{manifest.kind}{' (short)' if 'short' in _marks(manifest) else ''}",
        "nodes": ", ".join(manifest.nodes),
        "arms": ", ".join(manifest.arms),
        "vantage": manifest.vantage,
        "contract": manifest.contract,
        "sent": manifest.sent,
        "commit": f"{manifest.git_commit or 'none'}{' (dirty)' if manifest.git_dirty else ''}",
        "time": f"{manifest.started} to {manifest.finished}",
        "by": f"{manifest.who}{f': {manifest.why}' if manifest.why else ''}",
        "simulated": ", ".join(manifest.simulated),
        "resumed": resumed_text(manifest),
        "files": figures.count(len(manifest.files)),
        "dropped": _dropped(dropped or {}),
    }
    for name, value in head.items():
        if value:
            console.print(Text(clean(f"{name:<10}{value}")), soft_wrap=True)
    if cells:
        console.print()
        console.print(_cells(cells))


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one run; no problem is good.

    Attributes:
        signature: its state in words; problems: in words.
        dropped: when retention dropped which of its files, RFC 3339, by path.
    """

    manifest: RunManifest
    signature: str
    problems: Sequence[str]
    dropped: Mapping[str, str]


def show_verified(results: Sequence[Verified], console: Console) -> None:
    """Print what was found of each run."""
    for each in results:
        mark = "✗" if each.problems else "✓"
        files = figures.count(len(each.manifest.files) - len(each.dropped))
        console.print(
            Text(f"{mark} {each.manifest.id}  {files} files  {clean(each.signature)}"), soft_wrap=True
        )
        if each.dropped:
            console.print(Text(clean(f"    dropped: {_dropped(each.dropped)}")), soft_wrap=True)
        for problem in each.problems:
            console.print(Text(clean(f"    {problem}")), soft_wrap=True)


def _dropped(dropped: Mapping[str, str]) -> str:
    """Say which files are not there, and that they need not be."""
    if not dropped:
        return ""
    days = sorted({when[:10] for when in dropped.values()})
    files = f"{len(dropped)} {'file' if len(dropped) == 1 else 'files'}"
    return f"token events, by retention on {', '.join(days)} ({files})"


def _cells(cells: Sequence[CellSummary]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for position, title in enumerate(("node", "arm", "cell", "n", "tokens/s", "p95", "errors", "")):
        table.add_column(title, justify="right" if 3 <= position <= 6 else "left", overflow="fold")
    for cell in cells:
        texts = (
            cell.node,
            cell.arm,
            cell.cell,
            figures.count(cell.n),
            figures.rate(Interval(cell.tokens_per_second.value)),
            figures.seconds(Interval(cell.p95.value)),
            figures.percent(cell.errors),
            "INVALID" if cell.invalid else "",
        )
        table.add_row(*(Text(clean(text)) for text in texts))
    return table
