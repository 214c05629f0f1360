"""Lines of one language for every list of nodes: node, symbol, subject, words, and the mend beneath."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from macfleet.views.diagnostics import clean
from macfleet.views.flow import fold

_GAP = "   "
_ROOM = 36
"""Columns that long words need beside a subject; with fewer they go beneath it."""
_SUBJECT = 52
_DEEPER = 2
_ARROW = "→ "


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a node.

    Attributes:
        symbol: of the one symbol set.
        subject: what the line is about, aligned with the other subjects.
        words: sentences; each begins a line.
        why: more about it; mend: what to type next, after an arrow.
    """

    symbol: str
    subject: str
    words: tuple[str, ...] = ()
    why: str = ""
    mend: str = ""

    @property
    def brief(self) -> bool:
        """Whether the line has a subject alone."""
        return not (self.words or self.why or self.mend)


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that are true of one node, or of several alike."""

    nodes: tuple[str, ...]
    rows: tuple[Row, ...]


def together(blocks: Sequence[Block]) -> list[Block]:
    """Join nodes whose rows are the same, so that a fleet of equals is read once; one brief line stays."""
    joined: dict[object, Block] = {}
    for block in blocks:
        alone = len(block.rows) == 1 and block.rows[0].brief
        key = (block.nodes, block.rows) if alone else block.rows
        known = joined.get(key)
        joined[key] = Block((*known.nodes, *block.nodes), block.rows) if known else block
    return list(joined.values())


def lay_out(blocks: Sequence[Block], width: int, *, beside: bool = True) -> Iterator[str]:
    """Yield the lines of all blocks with one set of columns; `width` 0 folds nothing.

    Words stand beside their subjects, or, for sentences that need the room, all beneath.
    """
    names = max((len(block.nodes[0]) for block in blocks if len(block.nodes) == 1), default=0)
    subjects = [len(row.subject) for block in blocks for row in block.rows if row.words]
    left = names + len(_GAP) + 2
    longest = max((len(w) for block in blocks for row in block.rows for w in row.words), default=0)
    most = max(width - left - 2 - min(_ROOM, longest), 0) if width else _SUBJECT
    # A few long subjects do not push everybody's words to the right; they stand on a line of their own.
    column = max((size for size in subjects if size <= min(most, _SUBJECT)), default=0)
    column = column if beside else 0
    for block in blocks:
        label = block.nodes[0]
        if len(block.nodes) > 1:
            yield from fold(f"{', '.join(block.nodes)} ({len(block.nodes)} nodes)", width)
            label = ""
        for row in block.rows:
            yield from _row_lines(row, f"{label:<{names}}{_GAP}", column, width)
            label = ""


def _row_lines(row: Row, lead: str, column: int, width: int) -> Iterator[str]:
    blank = " " * len(lead)
    head = f"{lead}{row.symbol} {clean(row.subject)}"
    beside = len(row.subject) <= column
    inset = blank + "  " + (" " * (column + 2) if column and (beside or width == 0) else " " * _DEEPER)
    words = [line for text in row.words for line in _inset("", text, inset, width)]
    if beside and words:
        words[0] = f"{head}{' ' * (column - len(row.subject))}  {words[0].lstrip()}".rstrip()
    else:
        yield from fold(head, width, indent=blank + "  ")
    yield from words
    for paragraph in row.why.splitlines():
        yield from _inset("", paragraph, inset, width)
    for position, paragraph in enumerate(_mend(row.mend, width - len(inset) if width else 0)):
        yield from _inset("" if position else _ARROW, paragraph, inset, width)


def _mend(mend: str, room: int) -> Iterator[str]:
    """Yield the paragraphs; a command that does not fit beside its words gets a line of its own."""
    for paragraph in mend.splitlines():
        words, colon, command = paragraph.rpartition(": macfleet ")
        if colon and room and len(_ARROW + paragraph) > room:
            yield f"{words}:"
            yield f"  macfleet {command}"
        else:
            yield paragraph


def _inset(mark: str, text: str, inset: str, width: int) -> list[str]:
    room = width - len(inset) if width else 0
    if text.startswith("  macfleet "):
        return [f"{inset}{clean(text)}"]
    return [f"{inset}{line}" for line in fold(f"{mark}{clean(text)}", room, indent="  ")]
