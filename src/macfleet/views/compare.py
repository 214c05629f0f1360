"""A comparison in the terminal: at 80 columns, without colour and without a terminal too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.text import Text

from macfleet.reports.comparison import Comparison
from macfleet.reports.layout import Layout, Row, Section, lay_out
from macfleet.reports.verdicts import NodeVerdict
from macfleet.views import rows
from macfleet.views.diagnostics import clean
from macfleet.views.flow import flow, fold
from macfleet.views.symbols import COLOURS
from macfleet.views.terminal import symbol_at

_LABEL = 24
_COLUMN = 25
_FIGURE = 9
_GAP = "  "
_INTERVAL = re.compile(r"^(?P<figure>[^\[(]+) (?P<rest>[\[(].*)$")
_REASONS = 4
"""Sentences shown of each verdict; the file to forward has them all."""


def show_comparison(comparison: Comparison, console: Console) -> None:
    """Print a comparison: verdicts, notices, tables of as many columns as fit, then what is around them."""
    for line in _lines(lay_out(comparison), console.width):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _lines(layout: Layout, width: int) -> Iterator[Text]:
    for verdict in _verdicts(layout.verdicts, width):
        yield _coloured(verdict)
    yield Text("")
    for notice in dict.fromkeys(layout.notices):
        yield from (_coloured(line) for line in fold(f"! {clean(notice)}", width, indent="  "))
    for part in (flow(layout.head.split(" · "), width), flow(layout.environment, width)):
        yield from (Text(clean(line)) for line in part)
    at_once = max(1, (width - _LABEL) // (_COLUMN + len(_GAP)))
    for first in range(0, len(layout.titles), at_once):
        yield Text("")
        yield from _table(layout, slice(first, first + at_once))
    yield Text("")
    if layout.same:
        head = "Same everywhere" if len(layout.titles) > 1 else "Environment"
        yield from (
            Text(clean(line)) for line in flow([f"{head}: {layout.same[0]}", *layout.same[1:]], width)
        )
    for file in layout.evidence:
        yield Text(f"Evidence: {clean(file)}")


def _verdicts(verdicts: Iterable[NodeVerdict], width: int) -> Iterator[str]:
    blocks = [
        rows.Block((v.node,), (rows.Row(v.symbol, v.text, _reasons(v), mend=v.mend),)) for v in verdicts
    ]
    return rows.lay_out(blocks, width, beside=False)


def _reasons(verdict: NodeVerdict) -> tuple[str, ...]:
    if len(verdict.why) <= _REASONS + 1:
        return (*verdict.why, *verdict.invalid)
    more = f"and {len(verdict.why) - _REASONS} reasons more: macfleet compare --format md"
    return (*verdict.why[:_REASONS], more, *verdict.invalid)


def _table(layout: Layout, shown: slice) -> Iterator[Text]:
    heads = [_title(title) for title in layout.titles[shown]]
    for texts in zip(*heads, strict=True):
        yield Text(_line("", texts), style="bold")
    for section in layout.sections:
        yield from _section(section, shown)


def _title(title: str) -> tuple[str, str]:
    """Return group and node above chip and memory, each cut where it would not fit."""
    name, _, about = title.partition(" (")
    return tuple(_beside(_cut(part, _COLUMN)) for part in (name, about.removesuffix(")")))  # type: ignore[return-value]


def _section(section: Section, shown: slice) -> Iterator[Text]:
    yield Text(section.title, style="bold")
    for row in section.rows:
        yield _row(row, shown)


def _row(row: Row, shown: slice) -> Text:
    text = _coloured(_line(f" {_cut(row.label, _LABEL - 1)}", [_cell(each) for each in row.texts[shown]]))
    if row.label == "verdict":
        text.stylize("bold")
    return text


def _line(label: str, texts: Iterable[str]) -> str:
    return _GAP.join([f"{label:<{_LABEL - len(_GAP)}}", *texts]).rstrip()


def _cell(text: str) -> str:
    """Return a figure right-aligned and its interval behind it; words stand where figures end."""
    found = _INTERVAL.match(text)
    if found and len(found["figure"]) <= _FIGURE:
        return f"{found['figure']:>{_FIGURE}} {found['rest']:<{_COLUMN - _FIGURE - 1}}"
    if len(text) <= _FIGURE and not text[:1].isalpha() and symbol_at(text) is None:
        return f"{text:>{_FIGURE}}{'':<{_COLUMN - _FIGURE}}"
    short = text if len(text) <= _COLUMN else text.replace("inconclusive: ", "")
    return _beside(_cut(short, _COLUMN))


def _beside(text: str) -> str:
    return f"{text:<{_COLUMN}}"


def _cut(text: str, width: int) -> str:
    shown = clean(text)
    return shown if len(shown) <= width else f"{shown[: width - 1]}…"


def _coloured(line: str) -> Text:
    """Colour repeats what the symbols say; it never says it alone."""
    text = Text(line)
    for position, character in enumerate(line):
        if character in COLOURS and symbol_at(line[max(position - 1, 0) : position + 2]) is not None:
            text.stylize(COLOURS[character], position, position + 1)
    return text
