"""A comparison in the terminal: at 80 columns, without colour and without a terminal too."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from macfleet.reports.comparison import Comparison
from macfleet.reports.layout import Layout, Section, lay_out

_LABEL = 24
_COLUMN = 25
_STYLES = {"✓": "green", "!": "bold yellow", "✗": "bold red", "?": "cyan", "·": "dim"}


def show_comparison(comparison: Comparison, console: Console) -> None:
    """Print a comparison: head, notices, one table for as many columns as fit, then what follows."""
    layout = lay_out(comparison)
    console.print(Group(*_parts(layout, console.width)), highlight=False, markup=False, soft_wrap=False)


def _parts(layout: Layout, width: int) -> Iterator[RenderableType]:
    yield Text(layout.head, style="bold")
    yield Text(" · ".join(layout.environment))
    for notice in layout.notices:
        yield Text(f"! {notice}", style=_STYLES["!"])
    yield Text("")
    at_once = max(1, (width - _LABEL - 2) // (_COLUMN + 2))
    for first in range(0, len(layout.titles), at_once):
        yield _table(layout, first, first + at_once)
        yield Text("")
    for sentence in layout.advice:
        yield Text(sentence)
    if layout.evidence:
        yield Text(f"Evidence: {', '.join(layout.evidence)}")


def _table(layout: Layout, first: int, last: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=True, header_style="bold")
    table.add_column("", width=_LABEL, no_wrap=True, overflow="ellipsis")
    for title in layout.titles[first:last]:
        table.add_column(Text(title), justify="right", width=_COLUMN)
    for section in layout.sections:
        _add(table, section, first, last)
    return table


def _add(table: Table, section: Section, first: int, last: int) -> None:
    table.add_row(Text(section.title, style="bold"))
    for row in section.rows:
        texts = [_marked(text) for text in row.texts[first:last]]
        table.add_row(Text(f" {row.label}"), *texts, style="bold" if row.label == "verdict" else "")


def _marked(text: str) -> Text:
    """Colour repeats what the symbol says; it never says it alone."""
    styles = [style for symbol, style in _STYLES.items() if text.startswith(symbol) or text.endswith(symbol)]
    return Text(text, style=styles[0] if styles else "")
