"""What happens to a node's changes, written to the journal and told to whoever watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from macfleet.engine.happening import Happening, Moment, Report
from macfleet.model.event import Event
from macfleet.model.json import Json, JsonObject
from macfleet.rollout.ports import Ports

SENT, DONE, FAILED, WITHHELD = "change.sent", "change.done", "change.failed", "change.withheld"
"""Kinds of the journal's entries: a change that was sent and of which nothing else follows was in the air."""
_JOURNALED = {Moment.SENT: SENT, Moment.DONE: DONE, Moment.FAILED: FAILED, Moment.WITHHELD: WITHHELD}
_TOLD = {
    Moment.BEGAN: "change.started",
    Moment.FOUND: "change.followed",
    Moment.SAID: "change.output",
    Moment.NOTED: "change.noted",
    Moment.DONE: "change.done",
    Moment.FAILED: "change.failed",
}


def witness(node: str, run_id: str, ports: Ports, confirm: Callable[[], None]) -> Report:
    """Return what `apply_plan` reports to while it changes a node in a run.

    Before steps are sent `confirm` may raise, and the journal has them; it gets in one transaction what
    became known together.
    """
    began: dict[str, float] = {}

    def report(happenings: Sequence[Happening]) -> None:
        notes: list[tuple[str, JsonObject]] = []
        events: list[Event] = []
        if any(each.moment is Moment.SENT for each in happenings):
            confirm()
        for each in happenings:
            address = each.change.address
            if each.moment is Moment.BEGAN:
                began[address] = ports.clock.monotonic()
            if each.moment in _JOURNALED:
                notes.append((_JOURNALED[each.moment], _detail(each, "job")))
            if each.moment in _TOLD:
                detail = _detail(each, "job" if each.moment is Moment.FOUND else "text")
                if each.moment in (Moment.DONE, Moment.FAILED) and address in began:
                    detail["seconds"] = round(ports.clock.monotonic() - began[address], 3)
                events.append(Event(_TOLD[each.moment], node, detail))
        if notes:
            ports.journal.note_all(run_id, node, notes)
        with ports.logs.together(node):
            for event in events:
                ports.events.emit(event)

    return report


def _detail(happening: Happening, key: str) -> dict[str, Json]:
    detail: dict[str, Json] = {
        "address": happening.change.address,
        "action": str(happening.change.action),
    }
    if happening.text:
        detail[key] = happening.text
    return detail
