"""Who did what to which nodes, when and why: lines for people, and JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from macfleet.model.json import Json
from macfleet.model.quantity import iso
from macfleet.rollout.history import Deed
from macfleet.views.promotion import moment, short
from macfleet.views.table import lines as table

_NAMED = 4
"""Nodes a line names; more are counted."""


def lines(deeds: Sequence[Deed], width: int = 0) -> Iterator[str]:
    """Yield a line a deed, in the order given; `width` 0 folds nothing."""
    heads = ("when", "who", "what", "nodes", "why", "ended")
    yield from table(heads, [_row(each) for each in deeds], width, gap="  ")


def by_people(deeds: Sequence[Deed]) -> tuple[Deed, ...]:
    """Return the deeds without those that a run did on its way: nodes it took out of service and put back."""
    away: dict[str, str] = {}
    kept = []
    for deed in deeds:
        if deed.kind == "service.closed":
            away |= dict.fromkeys(deed.nodes, _text(deed.detail, "run"))
        on_its_way = deed.kind.startswith("service.") and any(away.get(node) for node in deed.nodes)
        if not on_its_way:
            kept.append(deed)
    return tuple(kept)


def document(deeds: Sequence[Deed]) -> dict[str, Json]:
    """Return the same as JSON, schema 1."""
    rows: list[Json] = [
        {
            "at": iso(each.at),
            "kind": each.kind,
            "what": what(each),
            "who": _who(each),
            "why": why(each),
            "nodes": list(each.nodes),
            "run": each.run if each.kind == "run" else None,
            "outcome": _ended(each) or None,
            "detail": dict(each.detail),
        }
        for each in deeds
    ]
    return {"schema": 1, "kind": "history", "entries": rows}


def what(deed: Deed) -> str:
    """Return what was done, in words."""
    if deed.kind == "run":
        return deed.what
    say = _WORDS.get(deed.kind)
    return say(deed.detail) if say else deed.kind


def why(deed: Deed) -> str:
    """Return the reason that was given, empty for none."""
    return _text(deed.detail, "why") or _text(deed.detail, "reason")


def _row(deed: Deed) -> tuple[str, ...]:
    more = len(deed.nodes) - _NAMED
    nodes = ", ".join(deed.nodes[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return (
        moment(iso(deed.at)),
        _who(deed) or "–",
        what(deed),
        nodes or "–",
        why(deed) or "–",
        _ended(deed) or "–",
    )


def _who(deed: Deed) -> str:
    return _text(deed.detail, "who")


def _ended(deed: Deed) -> str:
    """Return how it ended; a run's outcome is ``ok`` or an exit code."""
    if deed.kind == "run":
        code = deed.outcome
        return "not ended" if not code else code if code == "ok" else f"exit {code}"
    if deed.kind == "release.returned":
        return "proven" if deed.detail.get("proven") else f"{_text(deed.detail, 'outcome')}, not proven"
    return ""


def _promoted(detail: Mapping[str, Json]) -> str:
    move = f"{_text(detail, 'before')} → {_text(detail, 'after')}"
    return f"promote {_text(detail, 'from')} {_text(detail, 'to')}, {move}"


def _returned(detail: Mapping[str, Json]) -> str:
    return f"rollback, {_digests(detail.get('before'))} → {_digests(detail.get('after'))}"


def _digests(found: Json) -> str:
    if not isinstance(found, Mapping):
        return "unknown"
    return ", ".join(f"{service} {short(str(digest))}" for service, digest in found.items()) or "nothing"


def _closed(detail: Mapping[str, Json]) -> str:
    return f"out of service{_for_run(detail)}"


def _opened(detail: Mapping[str, Json]) -> str:
    return f"back in service, {_text(detail, 'state')}"


def _forced(detail: Mapping[str, Json]) -> str:
    return f"drain forced: {_text(detail, 'refusal')}"


def _pruned(detail: Mapping[str, Json]) -> str:
    runs = detail.get("runs")
    count = len(runs) if isinstance(runs, list) else 0
    events = detail.get("events")
    dropped = len(events) if isinstance(events, list) else 0
    removed = f"{count} {'run' if count == 1 else 'runs'} removed"
    return f"{removed}, token events of {dropped} dropped" if dropped else removed


def _for_run(detail: Mapping[str, Json]) -> str:
    run = _text(detail, "run")
    return f" for {run}" if run else ""


def _text(detail: Mapping[str, Json], key: str) -> str:
    value = detail.get(key)
    return value if isinstance(value, str) else ""


_WORDS: Mapping[str, Callable[[Mapping[str, Json]], str]] = {
    "release.promoted": _promoted,
    "release.returned": _returned,
    "service.closed": _closed,
    "service.opened": _opened,
    "drain.forced": _forced,
    "drain.failed": lambda detail: f"not drained{_for_run(detail)}",
    "service.cordoned": lambda _detail: "cordoned",
    "lock.broken": lambda _detail: "lock broken",
    "runs.pruned": _pruned,
}
