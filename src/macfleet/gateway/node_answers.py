"""What the scripts of the node's half print, read as untrusted text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from macfleet.rollout.drain_ports import Sight
from macfleet.rollout.drain_state import InFlight, Service, ServiceState

_MARK = "now stopping"
_REASON = 500
_LARGEST = 2.0**53


def read_sight(node: str, output: str) -> Sight:
    """Return what a look found; a line that is not understood says nothing."""
    found = _Lines()
    for word, rest in _lines(output):
        found.take(word, rest)
    running = any(found.containers.values())
    requests: int | None = None
    if found.metrics or found.slots is not None:
        requests = max(sum(found.metrics.values()), found.slots or 0)
    # Nothing runs in a VM that is not there; what a silent engine runs is unknown.
    in_flight = InFlight(
        requests if running else None if found.engine == "silent" else 0,
        tuple(sorted(set(found.connections))),
        running or found.engine == "silent",
    )
    healthy = running and not found.sick and all(found.containers.values()) and found.answers
    return Sight(
        healthy, in_flight, _service(node, found.service), found.containers, found.engine, bool(found.rules)
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
class _Lines:
    service: str = ""
    engine: str = "silent"
    answers: bool = False
    sick: bool = False
    slots: int | None = None
    rules: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    containers: dict[str, bool] = field(default_factory=dict)
    metrics: dict[str, int] = field(default_factory=dict)

    def take(self, word: str, rest: str) -> None:
        if word == "service":
            self.service = rest
        elif word == "engine":
            self.engine = rest
        elif word == "answers":
            self.answers = True
        elif word == "rule" and rest.startswith("block "):
            self.rules.append(rest)
        elif word == "connection":
            self.connections.append(rest)
        elif word == "container":
            identifier, state, status = [*rest.split("|", 2), "", ""][:3]
            self.containers[identifier] = state in ("running", "restarting", "paused")
            self.sick = self.sick or "(unhealthy)" in status or "starting)" in status
        elif word == "metric":
            name, _, value = rest.partition(" ")
            if name in ("processing", "deferred"):
                self.metrics[name] = _count(value)
        elif word == "slots":
            self.slots = _busy(rest)


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
    return sum(isinstance(row, dict) and row.get("is_processing") is True for row in rows)


def _service(node: str, text: str) -> Service | None:
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.get("state") not in set(ServiceState):
        return None

    def words(key: str) -> str:
        value = document.get(key)
        return value[:_REASON] if isinstance(value, str) else ""

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
