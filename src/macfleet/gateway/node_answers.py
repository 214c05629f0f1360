"""What the scripts of the node's half print, read as untrusted text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from macfleet.gateway.closing import LABEL
from macfleet.gateway.node_scripts import WORDS
from macfleet.rollout.drain_ports import Sight, WayIn
from macfleet.rollout.drain_state import InFlight, Service, ServiceState

_MARK = "now stopping"
_LARGEST = 2.0**53
_RULE = re.compile(rf'label "{LABEL}(\d{{1,5}})"', re.ASCII)
_OK, _FAULTS = 200, 500
_NOBODY = "7"
"""curl's exit status where a connection was refused."""
_NOT_OFFERED = ("501", "126", "127")
"""The HTTP status of llama-server for what is switched off; a shell's exit status where there is no curl."""


def read_sight(node: str, output: str) -> Sight:
    """Return what a look found; a line that is not understood says nothing."""
    found = _Lines()
    for word, rest in _lines(output):
        found.take(word, rest)
    running = any(found.containers.values())
    # Nothing runs in a VM that is not there; what a silent engine runs is unknown.
    if not running:
        in_flight = InFlight(None if found.engine == "silent" else 0, (), found.engine == "silent")
    else:
        in_flight = _in_flight(found.asked)
    in_flight = replace(in_flight, connections=tuple(sorted(set(found.connections))))
    serving = {port for port, project in found.ports.items() if project in found.projects}
    healthy = running and not found.sick and all(found.containers.values()) and serving <= found.answers
    ways = {port: WayIn(port in found.refused, found.connected(port)) for port in found.ports}
    # A rule in a filter that is off refuses nobody.
    closed = bool(ways) and all(way.closed for way in ways.values()) and not found.answers
    return Sight(
        healthy, in_flight, _service(node, found.service), found.containers, found.engine, closed, ways
    )


def read_stop(node: str, output: str) -> tuple[InFlight, dict[str, bool]]:
    """Return what was in flight when the stop began, and by id whether each container runs after it."""
    before, _, after = output.partition(f"{_MARK}\n")
    left = _Lines()
    for word, rest in _lines(after):
        left.take(word, rest)
    sight = read_sight(node, before)
    gone = dict.fromkeys(sight.containers or {}, False)
    return sight.in_flight, {**gone, **left.containers}


@dataclass(slots=True)
class _Asked:
    """What one engine said of its requests."""

    metrics: dict[str, int] = field(default_factory=dict)
    slots: int | None = None
    offers: set[str] = field(default_factory=set)

    @property
    def requests(self) -> int | None:
        if not self.metrics and self.slots is None:
            return None
        return max(sum(self.metrics.values()), self.slots or 0)

    @property
    def silent(self) -> bool:
        """Whether it did not say, though it may have something to say it with."""
        if self.requests is not None:
            return False
        return not self.offers or (_NOBODY not in self.offers and not all(map(_counts_none, self.offers)))


@dataclass(slots=True)
class _Lines:
    service: str = ""
    engine: str = "silent"
    sick: bool = False
    answers: set[int] = field(default_factory=set)
    ports: dict[int, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    connections: list[str] = field(default_factory=list)
    containers: dict[str, bool] = field(default_factory=dict)
    projects: set[str] = field(default_factory=set)
    asked: list[_Asked] = field(default_factory=list)

    def take(self, word: str, rest: str) -> None:
        if word == "service":
            self.service = rest
        elif word == "engine":
            self.engine = rest
        elif word == "port":
            number, _, project = rest.partition(" ")
            self.ports[_number(number)] = project
        elif word == "rule" and rest.startswith("block ") and (found := _RULE.search(rest)):
            self.refused.add(int(found[1]))
        elif word == "connection":
            self.connections.append(rest)
        elif word == "container":
            identifier, state, status, project, _ = [*rest.split("|", 4), "", "", "", ""][:5]
            self.containers[identifier] = state in ("running", "restarting", "paused")
            self.sick = self.sick or "(unhealthy)" in status or "starting)" in status
            self.projects.add(project)
        elif word == "asked":
            self.asked.append(_Asked())
        elif word == "answers":
            self.answers.add(_number(rest))
        elif self.asked:
            self._say(self.asked[-1], word, rest)

    def connected(self, port: int) -> int:
        """Return how many peers are connected to a port."""
        return sum(each.startswith(f"{port} ") for each in set(self.connections))

    @staticmethod
    def _say(asked: _Asked, word: str, rest: str) -> None:
        if word == "metric":
            name, _, value = rest.partition(" ")
            if name in ("processing", "deferred"):
                # One line a model where an engine has several.
                asked.metrics[name] = asked.metrics.get(name, 0) + _count(value)
        elif word == "slots":
            asked.slots = _busy(rest)
        elif word == "offers":
            asked.offers.add(rest)


def _in_flight(asked: Sequence[_Asked]) -> InFlight:
    """Add up what the engines of a node said; what one does not say is not taken for nothing."""
    if not asked or any(each.silent for each in asked):
        return InFlight(None)
    counts = all(each.requests is not None for each in asked)
    known = sum(each.requests or 0 for each in asked)
    return InFlight(known if counts or known else None, counts=counts)


def _counts_none(status: str) -> bool:
    """Whether an answer says that an engine shows no requests, now or later."""
    return status in _NOT_OFFERED or _OK <= _number(status) < _FAULTS


def _number(text: str) -> int:
    """Return a port or a status, 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= len("65535") else 0


def _lines(output: str) -> Iterator[tuple[str, str]]:
    for line in output.splitlines():
        word, _, rest = line.partition(" ")
        yield word, rest


def _count(text: str) -> int:
    try:
        return max(round(float(text)), 0)
    except (ValueError, OverflowError):
        # Not a number: somebody works, as far as anybody knows.
        return 1


def _busy(text: str) -> int | None:
    try:
        slots: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    rows = slots if isinstance(slots, list) else []
    told = [row["is_processing"] for row in rows if isinstance(row, dict) and "is_processing" in row]
    # A page without slots says nothing of them.
    return sum(each is not False for each in told) if told else None


def _service(node: str, text: str) -> Service | None:
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("state") not in set(ServiceState):
        return None

    def words(key: str) -> str:
        value = document.get(key)
        return value[:WORDS] if isinstance(value, str) else ""

    def number(key: str) -> float:
        value = document.get(key)
        return float(value) if isinstance(value, int | float) and abs(value) < _LARGEST else 0.0

    return Service(
        node,
        ServiceState(document["state"]),
        words("reason"),
        words("who"),
        number("since"),
        number("deadline"),
        failure=words("failure"),
        token=int(number("token")),
        run=words("run"),
    )
