"""The fleet lock: a run has its nodes to itself before it plans, and knows when it lost them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.ports import Clock, Events
from macfleet.model.quantity import show_seconds

_PAUSE = 0.5
_SAY_EVERY = 5.0


@dataclass(frozen=True, slots=True)
class Fence:
    """What lets one controller change nodes; a later holder of the same store has a larger token.

    Without a store there is none: then the lock directory on each node decides alone.
    """

    store: str = ""
    token: int = 0


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds nodes in the store.

    Attributes:
        host, pid: the controller's process.
        run: id of the run it is at, empty before the first; command: what was typed.
        since: seconds since the epoch; left: seconds until it lapses unless renewed, 0 or less when it has.
    """

    nodes: tuple[str, ...]
    who: str
    host: str
    pid: int
    run: str
    command: str
    since: float
    left: float
    token: int = 0


class Locks(Protocol):
    """Rights to change nodes, kept by the store and renewed by themselves until they are released."""

    def take(self, nodes: Sequence[str], run: str, command: str) -> Fence | tuple[LockHolder, ...]:
        """Take all the nodes or none; return who has them when it is none.

        A process that holds them already gets the same fence again, for the run it is at now.
        """

    def confirm(self, fence: Fence, node: str, *, afresh: bool = False) -> None:
        """Return while the node is still held (raises MacfleetError E0591, exit 6, when it was lost).

        What was learned when the lock was renewed last is taken for true unless it is to be asked `afresh`.
        """

    def release(self, fence: Fence) -> None:
        """Give back what was taken last; nothing happens to what was lost."""


@dataclass(frozen=True, slots=True)
class NoLocks:
    """`Locks` where controllers share no store."""

    def take(self, nodes: Sequence[str], run: str, command: str) -> Fence:
        """Return the fence that is none."""
        _ = (nodes, run, command)
        return Fence()

    def confirm(self, fence: Fence, node: str, *, afresh: bool = False) -> None:
        """Nothing can be lost."""

    def release(self, fence: Fence) -> None:
        """Nothing was taken."""


LOST = frozenset({"E0591", "E0592"})
"""What a run is told that no longer holds a node: by the store, by the node."""
NO_FENCE = Fence()
NO_LOCKS = NoLocks()


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run wants to hold.

    Attributes:
        wait: seconds that others get to finish; 0 refuses at once.
    """

    nodes: tuple[str, ...]
    run: str
    command: str
    wait: float = 0.0


@contextmanager
def held(claim: Claim, locks: Locks, clock: Clock, events: Events) -> Iterator[Fence]:
    """Hold nodes for a block; whoever has one of them is waited for as long as the claim says.

    Raises:
        MacfleetError: E0590 (exit 6) naming every holder.
    """
    fence = _taken(claim, locks, clock, events)
    try:
        yield fence
    finally:
        locks.release(fence)


def pause(clock: Clock, seconds: float) -> None:
    """Wait before anything was done (raises MacfleetError E0575, exit 130, when the command is to stop)."""
    try:
        clock.sleep(seconds)
    except MacfleetError as error:
        raise MacfleetError(stopped_early()) from error


def stopped_early() -> Diagnostic:
    """Return the diagnostic of a run that was to stop before it changed anything (E0575, exit 130)."""
    return Diagnostic(
        "E0575",
        "interrupted before anything was changed",
        mend="The same command begins anew.",
        exit_code=ExitCode.INTERRUPTED,
    )


def lost(node: str, why: str) -> Diagnostic:
    """Return the diagnostic of a run that no longer holds a node (E0591, exit 6)."""
    return Diagnostic(
        "E0591",
        "this run no longer holds the node",
        why=f"{why}; nothing more was changed there.",
        mend=f"See who works there: macfleet lock status -l {node}\nGo on later with --resume.",
        node=node,
        exit_code=ExitCode.LOCKED,
    )


def cause(error: MacfleetError, locks: Locks, fence: Fence, node: str) -> MacfleetError:
    """Return why the work on a node really failed: what is taken away from a run breaks off in many ways."""
    if any(problem.code in LOST for problem in error.diagnostics):
        return error
    try:
        locks.confirm(fence, node, afresh=True)
    except MacfleetError as gone:
        return MacfleetError(dict.fromkeys((*gone.diagnostics, *error.diagnostics)))
    return error


def holder_words(holder: LockHolder) -> str:
    """Return who holds a lock, in words: person, process, command and run."""
    run = f", run {holder.run}" if holder.run else ""
    return f"{holder.who}, process {holder.pid}: {holder.command}{run}"


def _taken(claim: Claim, locks: Locks, clock: Clock, events: Events) -> Fence:
    until = clock.monotonic() + claim.wait
    said = until - claim.wait - _SAY_EVERY
    while True:
        found = locks.take(claim.nodes, claim.run, claim.command)
        if isinstance(found, Fence):
            return found
        now = clock.monotonic()
        if now >= until:
            raise MacfleetError(held_by(other, waited=claim.wait) for other in found)
        if now - said >= _SAY_EVERY:
            said = now
            _say(found, until - now, events)
        pause(clock, min(_PAUSE, until - now))


def _say(others: Sequence[LockHolder], left: float, events: Events) -> None:
    for other in others:
        data: dict[str, Json] = {
            "holder": holder_words(other),
            "run": other.run,
            "lapses": round(other.left, 1),
            "left": round(left, 1),
        }
        for node in other.nodes:
            events.emit(Event("lock.waiting", node, data))


def held_by(other: LockHolder, *, waited: float = 0.0, waits: bool = True) -> Diagnostic:
    """Return the diagnostic of nodes that another run holds (E0590, exit 6).

    `waited` is how long it was waited for; `waits` whether the command could be told to.
    """
    several = len(other.nodes) > 1
    shown = ", ".join(other.nodes[:6]) + (f" and {len(other.nodes) - 6} more" if len(other.nodes) > 6 else "")
    what = f"--run {other.run}" if other.run else other.nodes[0]
    lapse = f"Unless renewed its lock lapses in {show_seconds(max(round(other.left), 1))}."
    patience = f" It was waited for {show_seconds(waited)}." if waited else ""
    return Diagnostic(
        "E0590",
        f"{shown} {'are' if several else 'is'} locked by {f'run {other.run}' if other.run else other.who}",
        why=f"{holder_words(other)}. {lapse}{patience}",
        mend=f"Wait for it{': the same command with --wait 10m' if waits else '.'}\n"
        f"or if it is dead: macfleet lock break {what} --reason WHY",
        node="" if several else other.nodes[0],
        exit_code=ExitCode.LOCKED,
    )
