"""Lines that are drawn anew while something happens, on stderr; the only place that needs rich for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from macfleet.views.symbols import COLOURS
from macfleet.views.terminal import symbol_at

_PER_SECOND = 8


@contextmanager
def drawn(lines: Callable[[int, int], list[str]]) -> Iterator[None]:
    """Draw `lines` of a width and height several times a second; leave nothing behind at the end."""
    console = Console(stderr=True)
    with Live(
        _Lines(lines),
        console=console,
        transient=True,
        refresh_per_second=_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield


@dataclass(frozen=True, slots=True)
class _Lines:
    lines: Callable[[int, int], list[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines as they are now, each with its symbol coloured."""
        for line in self.lines(options.max_width, console.size.height):
            yield _coloured(line)


def _coloured(line: str) -> Text:
    text = Text(line, no_wrap=True, overflow="ellipsis")
    position = symbol_at(line)
    if position is not None:
        text.stylize(COLOURS[line[position]], position, position + 1)
    return text
