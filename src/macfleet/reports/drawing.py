"""A figure drawn once as SVG that takes its colours and letters from the page around it."""

# ruff: noqa: PLC0415  (matplotlib is slow to import: only where a figure is drawn)

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

INK, MUTED, GRID, ALARM, SHADE = "#000001", "#000002", "#000003", "#000004", "#000005"
_ARMS = {
    "bare": "#0072b2",
    "container": "#d55e00",
    "bare-cpu": "#009e73",
    "host-engine": "#cc79a7",
    "remote": "#e69f00",
}
"""Okabe and Ito's palette, which most colour-blind people can tell apart."""
_DASHES: Mapping[str, str | tuple[int, tuple[int, ...]]] = {
    "bare": "-",
    "container": "--",
    "bare-cpu": "-.",
    "host-engine": ":",
    "remote": (0, (5, 1, 1, 1)),
}
_MARKS = {"bare": "o", "container": "s", "bare-cpu": "^", "host-engine": "D", "remote": "v"}

PALETTE = {
    INK: "ink",
    MUTED: "muted",
    GRID: "grid",
    ALARM: "alarm",
    SHADE: "shade",
    **{colour: f"arm-{arm}" for arm, colour in _ARMS.items()},
}
"""What stands for which variable of the page's style sheet."""


@dataclass(frozen=True, slots=True)
class Width:
    """How wide a figure is drawn, in CSS pixels; `narrow` is for a telephone."""

    pixels: int
    narrow: bool


WIDE, NARROW = Width(860, narrow=False), Width(350, narrow=True)


def colour(arm: str) -> str:
    """Return an arm's colour; an arm nobody foresaw is drawn in ink."""
    return _ARMS.get(arm, INK)


def dash(arm: str) -> str | tuple[int, tuple[int, ...]]:
    """Return an arm's line style, so that arms differ without colour too."""
    return _DASHES.get(arm, "-")


def mark(arm: str) -> str:
    """Return an arm's marker."""
    return _MARKS.get(arm, "o")


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of a report.

    Attributes:
        name: unique in the page; title: what it shows; about: how to read it.
        wide, narrow: the drawing for a desk and for a telephone, as SVG.
        head, rows: the same figures as a table, for screen readers and for copying.
    """

    name: str
    title: str
    about: str
    wide: str
    narrow: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def chart(
    name: str,
    title: str,
    about: str,
    paint: Callable[[Figure, Width], None],
    heights: tuple[int, int],
    table: tuple[tuple[str, ...], Sequence[tuple[str, ...]]],
) -> Chart:
    """Draw one figure for both widths; `heights` are in CSS pixels, `table` is its head and rows."""
    wide, narrow = (
        draw(name, width, height, paint) for width, height in zip((WIDE, NARROW), heights, strict=True)
    )
    return Chart(name, title, about, wide, narrow, table[0], tuple(table[1]))


def draw(name: str, width: Width, height: int, paint: Callable[[Figure, Width], None]) -> str:
    """Return one figure as an ``<svg>`` element to put into a page.

    Args:
        name: makes the ids inside differ from those of other figures of the page.
        width: how wide it is drawn.
        height: in CSS pixels.
        paint: adds axes and marks.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[RcKeyType, object] = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"{name}-{width.pixels}",
        "font.size": 11 if width.narrow else 12,
        "axes.titlesize": "medium",
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "axes.edgecolor": MUTED,
        "axes.labelcolor": MUTED,
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "grid.color": GRID,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
    }
    with mpl.rc_context(style):
        figure = Figure(figsize=(width.pixels / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure, width)
        target = io.StringIO()
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    return embedded(target.getvalue())


def all_axes(figure: Figure, count: int, *, stacked: bool, share_x: bool = False) -> list[Axes]:
    """Add so many axes, below each other or beside each other."""
    shape = (count, 1) if stacked else (1, count)
    grid = figure.subplots(*shape, squeeze=False, sharex=share_x)
    return [axes for row in grid for axes in row]


def legend(figure: Figure, panels: Sequence[Axes]) -> None:
    """Name what is drawn above the figure, each once."""
    chosen: dict[str, Artist] = {}
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        chosen |= {
            label: handle for handle, label in zip(handles, labels, strict=True) if label not in chosen
        }
    if chosen:
        columns = min(len(chosen), 3 if figure.get_figwidth() < NARROW.pixels / 72 + 1 else 6)
        figure.legend(list(chosen.values()), list(chosen), loc="outside upper left", ncols=columns)


def embedded(svg: str) -> str:
    """Make a drawn SVG part of a page: no ids but the used ones, colours by variable, letters of the page."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r'\1 aria-hidden="true"', body)
    used = set(re.findall(r"(?:#|url\(#)([\w.-]+)", body))
    body = re.sub(r' id="([\w.-]+)"', lambda found: found[0] if found[1] in used else "", body)
    body = re.sub(r"font-family: [^;\"]*;?", "", body)
    for placeholder, variable in PALETTE.items():
        body = body.replace(placeholder, f"var(--{variable})")
    return re.sub(r"\s*\n\s*", "\n", body)
