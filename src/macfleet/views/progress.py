"""What happens right now, on stderr: a line a node on a terminal, a line an event elsewhere, or NDJSON."""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.model.ports import Events
from macfleet.model.stage import Outcome
from macfleet.rollout.result import NodeOutcome
from macfleet.views.diagnostics import clean
from macfleet.views.drain_events import event_words
from macfleet.views.symbols import NODES, OUTCOMES
from macfleet.views.terminal import drawable

_BAR = 12
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PER_SECOND = 8
_COMMANDS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What a program writes to move the cursor and to colour."""
_AROUND = 4
"""Lines of the terminal left to the head, the foot and the shell's prompt."""


@contextmanager
def watching(
    title: str, nodes: Sequence[str], *, as_json: bool = False, on_stdout: bool = False
) -> Iterator[Events]:
    """Yield a sink that shows events of `nodes` until the block ends; a live view leaves nothing behind."""
    if as_json:
        yield EventLines(as_json=True, on_stdout=on_stdout)
        return
    if not drawable(sys.stderr):
        count = f"{len(nodes)} node{'' if len(nodes) == 1 else 's'}"
        print(f"{title}: connecting to {count} and planning", file=sys.stderr, flush=True)
        yield EventLines(as_json=False)
        return
    from macfleet.views.live import drawn  # noqa: PLC0415  (rich is loaded only where a terminal shows it)

    board = Board(title, nodes, time.monotonic)
    with drawn(board.lines):
        yield board


@contextmanager
def asking(title: str, nodes: Sequence[str]) -> Iterator[Callable[[str], None]]:
    """Yield what is told of each node that answered; on a terminal the others are seen to be waited for."""
    if not drawable(sys.stderr):
        yield lambda _node: None
        return
    from macfleet.views.live import drawn  # noqa: PLC0415  (rich is loaded only where a terminal shows it)

    board = Board(title, nodes, time.monotonic, "asking")
    with drawn(board.lines):
        yield board.answered


class EventLines:
    """An `Events` sink of one line an event, from any thread; as JSON, NDJSON of schema 1."""

    def __init__(self, *, as_json: bool, on_stdout: bool = False) -> None:
        self._as_json = as_json
        self._on_stdout = on_stdout
        self._lock = threading.Lock()

    def emit(self, event: Event) -> None:
        """Write one event to stderr, or to stdout where that was asked for."""
        line = _json_line(event) if self._as_json else _plain_line(event)
        if line:
            with self._lock:
                print(line, file=sys.stdout if self._on_stdout else sys.stderr, flush=True)


@dataclass(slots=True)
class _Standing:
    """Where one node stands.

    Attributes:
        since: monotonic second at which it came there.
        segments: how many of a load test began; of: how many there are; seconds: length of each.
        first: monotonic second at which the first segment began.
        said: the last line that a detached step printed.
        late: 1 while the segment that began last is to be measured again.
    """

    symbol: str
    words: str
    since: float
    settled: bool = False
    segments: int = 0
    of: int = 0
    seconds: float = 0.0
    first: float = 0.0
    late: int = 0
    said: str = ""


class Board:
    """An `Events` sink that knows where every node stands; `lines` may be called from another thread."""

    def __init__(
        self,
        title: str,
        nodes: Sequence[str],
        clock: Callable[[], float],
        words: str = "connecting and planning",
    ) -> None:
        self._title = title
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._nodes = {node: _Standing("⌛", words, self._began) for node in nodes}

    def emit(self, event: Event) -> None:
        """Take one event in."""
        with self._lock:
            known = self._nodes.get(event.node)
            if known is not None:
                _advance(known, event, self._clock())

    def answered(self, node: str) -> None:
        """Take in that a node needs nothing more, whatever it said."""
        with self._lock:
            self._nodes[node] = _Standing("·", "answered", self._clock(), settled=True)

    def lines(self, width: int, height: int) -> list[str]:
        """Return the board's lines: at most `height`, nodes at work first, each cut at `width`."""
        with self._lock:
            now = self._clock()
            done = sum(standing.settled for standing in self._nodes.values())
            turn = _SPINNER[int(now * _PER_SECOND) % len(_SPINNER)]
            spent = _clock(now - self._began)
            head = f"{turn} {self._title} · {done} of {len(self._nodes)} nodes done · {spent}"
            busy = [name for name, standing in self._nodes.items() if not standing.settled]
            room = max(height - _AROUND, 1)
            names = list(self._nodes)
            if len(names) > room:
                names = [*busy, *(name for name in names if name not in busy)][:room]
            column = max(map(len, names), default=0)
            rows = [f"{name:<{column}}   {_text(self._nodes[name], now)}" for name in names]
            more = len(self._nodes) - len(names)
            foot = [f"and {more} nodes more"] if more else []
        return [_cut(line, width) for line in (head, *rows, *foot)]


def _advance(standing: _Standing, event: Event, now: float) -> None:
    data = event.data
    if event.kind == "node.planned":
        pending = data.get("pending")
        words = f"planned: {pending} change{'' if pending == 1 else 's'}" if pending else "nothing to change"
        standing.symbol, standing.words = ("~" if pending else "·"), words
        if data.get("current"):
            standing.words, standing.settled = "current", True
    elif event.kind == "loadtest.segment":
        seconds, of = data.get("seconds"), data.get("of")
        standing.segments = standing.segments - standing.late + 1
        standing.late = 0
        standing.first = standing.first or now
        standing.seconds = float(seconds) if isinstance(seconds, int | float) else 0.0
        standing.of = of if isinstance(of, int) else 0
        standing.symbol, standing.words = "⌛", clean(f"{data.get('arm')} {data.get('cell')}")
    elif event.kind == "loadtest.late":
        standing.late = 1
        return
    elif event.kind == "change.output":
        standing.said = _last_line(event) or standing.said
        return
    elif event.kind in ("node.settled", "node.unplanned"):
        standing.symbol, standing.words = _words(event) or _outcome(event)
        standing.settled = True
    elif text := _words(event):
        standing.symbol, standing.words = text
        standing.of, standing.said = 0, ""
    standing.since = now


def _last_line(event: Event) -> str:
    """Return what a program that draws its progress anew shows at the moment."""
    lines = _COMMANDS.sub("", str(event.data.get("text"))).replace("\r", "\n").split("\n")
    return next((clean(line.strip()) for line in reversed(lines) if line.strip()), "")


def _text(standing: _Standing, now: float) -> str:
    spent = now - standing.since
    if standing.settled:
        return f"{standing.symbol} {standing.words}"
    if not (standing.of and standing.seconds):
        waited = f"  {_clock(spent)}" if spent >= 2 else ""
        said = f"  {standing.said}" if standing.said else ""
        return f"{standing.symbol} {standing.words}{waited}{said}"
    # Changing engines and measuring again take time as well: what the segments before took is the pace.
    done = standing.segments - 1
    pace = max(standing.seconds, (standing.since - standing.first) / done if done else 0.0)
    gone = min(done + min(spent / pace, 1.0), standing.of)
    full = int(_BAR * gone / standing.of)
    bar = "█" * full + "░" * (_BAR - full)
    left = f"about {_clock(pace * (standing.of - gone))} left" if gone < standing.of else "finishing"
    return f"{standing.symbol} {standing.segments}/{standing.of}  {standing.words:<18}  {bar}  {left}"


def _words(event: Event) -> tuple[str, str] | None:
    """Return the symbol and the words of what a node is at; None for what nobody waits for."""
    data = event.data
    if event.kind == "change.started":
        symbols = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
        return symbols.get(str(data.get("action")), "±"), clean(str(data.get("address")).replace(".", " ", 1))
    plain = {
        "node.unplanned": ("✗", str(data.get("problem"))),
        "lock.waiting": ("⌛", f"waiting for {data.get('holder')}"),
        "change.followed": ("⌛", f"{data.get('address')} goes on".replace(".", " ", 1)),
        "part.brought": ("⌛", f"{str(data.get('part'))[:19]}… from {data.get('from') or 'here'}"),
        "change.noted": ("!", str(data.get("text"))),
        "relay.failed": ("!", str(data.get("words"))),
        "network.mode": ("⌛", f"measuring {data.get('mode')} mode"),
        "loadtest.omitted": ("!", f"{data.get('arm')} is not measured: {data.get('why')}"),
        "loadtest.pilot": ("⌛", f"pilot of {data.get('arm')} {data.get('cell')}"),
        "loadtest.sized": ("·", _sized(data)),
        "loadtest.resumed": (
            "⌛",
            f"{data.get('segments')} segments are there, {data.get('cut')} cut and measured again",
        ),
    }
    if event.kind in plain:
        symbol, words = plain[event.kind]
        return symbol, clean(words)
    if event.kind == "gate.judged":
        outcome = str(data.get("outcome"))
        symbol = OUTCOMES[Outcome(outcome)] if outcome in set(Outcome) else "?"
        return symbol, clean(f"gate {data.get('gate')}: {outcome}")
    told = event_words(event)
    return (told[0], clean(told[1])) if told else None


def _sized(data: Mapping[str, Json]) -> str:
    cell, segments, planned = data.get("cell"), data.get("segments"), data.get("planned")
    if not data.get("arm"):
        return f"{cell}: no arm answered its pilot, so it has the {planned} segments planned"
    instead = "segments as planned" if segments == planned else f"segments instead of {planned}"
    words = f"{cell}: {segments} {instead}, {data.get('expected')} requests or more in the slowest arm"
    lacking = data.get("minutes_lacking")
    if isinstance(lacking, int | float) and lacking:
        words += f" ({data.get('arm')}): inconclusive, {lacking:.0f} more minutes an arm would be needed"
    return words


def _outcome(event: Event) -> tuple[str, str]:
    outcome = str(event.data.get("outcome"))
    return (NODES[NodeOutcome(outcome)] if outcome in set(NodeOutcome) else "?"), clean(outcome)


def _plain_line(event: Event) -> str:
    data = event.data
    if event.kind == "loadtest.segment":
        symbol, words = "⌛", clean(f"{data.get('arm')} {data.get('cell')} segment {data.get('segment')}")
    elif event.kind == "loadtest.late":
        symbol, words = "⌛", clean(f"{data.get('arm')} {data.get('cell')}: the client was late, once more")
    elif event.kind == "node.settled":
        symbol, words = _outcome(event)
    else:
        found = _words(event)
        if found is None:
            return ""
        symbol, words = found
    return f"  {event.node}  {symbol} {words}"


def _json_line(event: Event) -> str:
    at = dt.datetime.now(tz=dt.UTC).isoformat(timespec="milliseconds")
    from macfleet.views.event_kinds import document  # noqa: PLC0415  (people are told without it)

    return json.dumps(document(event, at), ensure_ascii=False, default=str)


def _clock(seconds: float) -> str:
    whole = max(round(seconds), 0)
    hours, rest = divmod(whole, 3600)
    minutes = f"{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
    return f"{hours}:{minutes}" if hours else minutes


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: max(width - 1, 0)]}…"
