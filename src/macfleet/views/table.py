"""Rows in columns where they fit, else a paragraph a row: nothing is cut, nothing runs over the edge."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from macfleet.views.diagnostics import clean
from macfleet.views.flow import flow

_NOTHING = ("", "–")


def lines(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    width: int,
    right: Collection[int] = (),
    *,
    gap: str = "   ",
) -> Iterator[str]:
    """Yield a table as lines.

    Args:
        heads: titles of the columns, none for a table without a head.
        rows: cells as text.
        width: of the terminal; 0, a pipe, folds nothing.
        right: columns whose cells are aligned at the right.
        gap: what stands between two columns.
    """
    cells = [[clean(cell) for cell in row] for row in ([heads, *rows] if heads else rows)]
    if not cells:
        return
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    if width and sum(widths) + len(gap) * (len(widths) - 1) > width:
        yield from _paragraphs(heads, cells[1:] if heads else cells, width)
        return
    for row in cells:
        shown = (
            cell.rjust(size) if column in right else cell.ljust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        )
        yield gap.join(shown).rstrip()


def _paragraphs(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield each row as its first cell, and beneath it the others with the names of their columns."""
    for first, *others in rows:
        yield first
        names = [head.lower() for head in heads[1:]] or [""] * len(others)
        parts = [
            f"{name} {cell}".strip() for name, cell in zip(names, others, strict=True) if cell not in _NOTHING
        ]
        yield from (f"  {line}" for line in flow(parts, width - 2))
