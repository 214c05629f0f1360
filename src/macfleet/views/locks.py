"""Who holds nodes: in the store, and on the nodes themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.engine.lock import NodeLock
from macfleet.model.json import Json
from macfleet.model.quantity import iso, show_seconds
from macfleet.rollout.run_lock import LockHolder, holder_words
from macfleet.views.diagnostics import clean


@dataclass(frozen=True, slots=True)
class Locked:
    """Both kinds of locks.

    Attributes:
        on_nodes: the lock that lies on each node that answered, None where there is none.
    """

    holders: tuple[LockHolder, ...]
    on_nodes: Mapping[str, NodeLock | None] = field(default_factory=dict)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that anybody holds, sorted."""
        held = {name for holder in self.holders for name in holder.nodes}
        return tuple(sorted(held | {name for name, lock in self.on_nodes.items() if lock is not None}))

    @property
    def runs(self) -> tuple[str, ...]:
        """Ids of the runs that hold any, sorted."""
        return tuple(sorted({run for name in self.nodes for run in self.runs_of(name)}))

    def runs_of(self, node: str) -> tuple[str, ...]:
        """Ids of the runs that hold a node, sorted."""
        held = {holder.run for holder in self.holders if node in holder.nodes}
        lock = self.on_nodes.get(node)
        return tuple(sorted(held | ({lock.holder.run} if lock else set()) - {""}))

    def of_run(self, run: str) -> Locked:
        """Return what a run holds, or whichever runs have ids that begin so when none has that id."""
        runs = {run} if run in self.runs else {each for each in self.runs if each.startswith(run)}
        holders = tuple(holder for holder in self.holders if holder.run in runs)
        own = {name: lock for name, lock in self.on_nodes.items() if lock and lock.holder.run in runs}
        return Locked(holders, own)


def lines(found: Locked, *, last: Mapping[str, str] | None = None) -> list[str]:
    """Return the locks as lines: the store's by holder, then a line a node; `last` says more of a run."""
    told = last or {}
    rows: list[str] = []
    for holder in found.holders:
        rows += [f"{', '.join(holder.nodes)}  {holder_words(holder)}", *_more(holder, told)]
    width = max(map(len, found.on_nodes), default=0)
    for name, lock in sorted(found.on_nodes.items()):
        if lock is not None:
            rows.append(f"{name:<{width}}  {_on_node(lock)}")
        elif name not in found.nodes:
            rows.append(f"{name:<{width}}  free")
    return [clean(row) for row in rows]


def document(found: Locked) -> dict[str, Json]:
    """Return the locks as JSON; seconds until one lapses are negative when it has."""
    store: list[Json] = [
        {
            "nodes": list(holder.nodes),
            "who": holder.who,
            "host": holder.host,
            "pid": holder.pid,
            "run": holder.run,
            "command": holder.command,
            "since": iso(holder.since),
            "lapses": round(holder.left, 1),
            "token": holder.token,
        }
        for holder in found.holders
    ]
    nodes: dict[str, Json] = {name: _row(lock) for name, lock in sorted(found.on_nodes.items())}
    return {"schema": 1, "kind": "locks", "store": store, "nodes": nodes}


def _more(holder: LockHolder, told: Mapping[str, str]) -> list[str]:
    lapse = f"lapses in {show_seconds(holder.left)} unless renewed"
    if holder.left <= 0:
        lapse = f"lapsed {show_seconds(-holder.left)} ago: whoever wants them next gets them"
    more = [f"  since {iso(holder.since)} · {lapse}"]
    return [*more, f"  {told[holder.run]}"] if holder.run in told else more


def _on_node(lock: NodeLock) -> str:
    holder = lock.holder
    doing = "a script of it runs now" if lock.running else "no script of it runs now"
    if lock.jobs:
        doing = f"detached steps of it go on: {', '.join(lock.jobs)}"
    lapse = f"lapses in {show_seconds(lock.left)}" if lock.left > 0 else "lapsed"
    command = f": {holder.command}" if holder.command else ""
    who = f"{holder.who}{command}, run {holder.run}, since {holder.since}"
    return f"locked on the node by {who} · {doing} · {lapse}"


def _row(lock: NodeLock | None) -> Json:
    if lock is None:
        return None
    holder = lock.holder
    return {
        "run": holder.run,
        "who": holder.who,
        "since": holder.since,
        "command": holder.command,
        "token": holder.token,
        "store": holder.store,
        "lapses": lock.left,
        "running": lock.running,
        "jobs": list(lock.jobs),
    }
