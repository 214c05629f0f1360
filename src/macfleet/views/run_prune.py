"""Which runs went, which stay and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from macfleet.model.json import Json
from macfleet.model.quantity import show_bytes
from macfleet.rollout.run_prune import JudgedRun
from macfleet.views.diagnostics import clean

_DAY = 86400


def lines(judged: Sequence[JudgedRun], *, check: bool, verbose: bool) -> Iterator[str]:
    """Yield a line for each run that goes and one for those that stay; with `verbose` each of them too."""
    gone = [each for each in judged if each.goes]
    for each in gone:
        unfinished = "" if each.run.finished else ", never finished"
        yield f"{'~' if check else '✓'} {_told(each)}{unfinished}"
    dropping = [each for each in judged if each.drops]
    for each in dropping:
        events = show_bytes(each.run.events)
        yield f"{'~' if check else '✓'} {_told(each)}, stays without its token events, {events}"
    stay = [each for each in judged if not each.goes]
    if verbose:
        for each in (each for each in stay if not each.drops):
            yield f"· {_told(each)}, stays: {clean(each.reason)}"
    total = show_bytes(sum(each.run.size for each in gone))
    done = "would go" if check else "removed"
    yield f"{_runs(len(gone))} {done}, {total} · {_runs(len(stay))} stay{_why(stay)}"
    if dropping:
        room = show_bytes(sum(each.run.events for each in dropping))
        dropped = "would be dropped" if check else "dropped"
        yield f"token events of {_runs(len(dropping))} {dropped}, {room}"


def document(judged: Sequence[JudgedRun], *, check: bool) -> dict[str, Json]:
    """Return the same as JSON, schema 1: sizes in bytes, ages in seconds."""
    rows: list[Json] = [
        {
            "run": each.run.id,
            "age": round(each.age),
            "size": each.run.size,
            "finished": each.run.finished,
            "removed": each.goes and not check,
            "stays": each.reason or None,
            "events": each.run.events,
            "events_dropped": each.drops and not check,
        }
        for each in judged
    ]
    return {"schema": 1, "kind": "runs-pruned", "check": check, "runs": rows}


def _told(judged: JudgedRun) -> str:
    days = int(judged.age // _DAY)
    return f"{clean(judged.run.id)}: {days} {'day' if days == 1 else 'days'}, {show_bytes(judged.run.size)}"


def _runs(count: int) -> str:
    return f"{count} {'run' if count == 1 else 'runs'}"


def _why(stay: Sequence[JudgedRun]) -> str:
    counted = Counter(" ".join(each.reason.split()[:4]) for each in stay)
    return f" ({', '.join(f'{count} {reason}' for reason, count in counted.most_common())})" if stay else ""
