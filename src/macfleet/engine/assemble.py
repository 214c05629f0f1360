"""Parts onto a node, only those it lacks, and the script that joins them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from macfleet.engine.transfer import Offer, Parcel, collect, deliver
from macfleet.model.diagnostic import DeadlineExceeded, Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Completed, Part, Transport
from macfleet.model.quantity import show_bytes
from macfleet.model.resource import Assemble
from macfleet.model.shell import quote

_ASK_LIMIT = 120.0
_SLOWEST = 2**19
"""Bytes a second below which a part is given up; what arrived stays for the next run."""
LACKING = 75
"""Exit status of a join that found less than it was thought to have."""
ATTEMPTS = 2
"""Joins of one change at most: with what the node said it has, and with everything brought."""
_OFFER_FAILED = ("E0418", "E0642")
_ROOM = 2
"""How many times the missing bytes must be free: a part lies in the folder while the engine unpacks it."""


class Runner(Protocol):
    """Runs one script on the node under its lock."""

    def __call__(self, script: str, limit: float, stdin: Iterable[bytes] | None = None) -> Completed:
        """Run `script` for at most `limit` seconds."""


class Joiner(Protocol):
    """Joins parts in a detached step of the node, which goes on when the connection breaks."""

    def sighting(self) -> str:
        """Return shell text that prints ``joining N`` when attempt N was begun over another connection."""

    def __call__(self, script: str, limit: float, *, attempt: int) -> Completed:
        """Run `script` for at most `limit` seconds, or follow the attempt that was begun already."""


class Courier(Protocol):
    """Says where a part of one node is to come from, and is told what came."""

    def turn(self, part: Part) -> AbstractContextManager[Offer | None]:
        """Wait for a node of the same site that brings the part now; yield where it is served, if anywhere.

        None means that it comes from here; until the context ends nobody else of the site begins with it.
        """

    def brought(self, part: Part, folder: str, sent: int, offer: Offer | None) -> None:
        """Take note of a proven part in `folder` of the node, for which `sent` bytes left this machine."""

    def refused(self, offer: Offer, error: MacfleetError) -> None:
        """Take note that an offer came to nothing: the part comes from here."""


class Alone:
    """A `Courier` without a site: everything comes from here."""

    @contextmanager
    def turn(self, part: Part) -> Iterator[Offer | None]:
        """Nobody is waited for."""
        _ = part
        yield None

    def brought(self, part: Part, folder: str, sent: int, offer: Offer | None) -> None:
        """Nobody is told."""

    def refused(self, offer: Offer, error: MacfleetError) -> None:
        """Nobody offers anything."""


def bring(
    step: Assemble,
    parts: Sequence[Part],
    node: str,
    run: Runner,
    join: Joiner,
    transport: Transport,
    courier: Courier | None = None,
) -> Completed:
    """Bring the parts that are missing and join all; return how the joining ended.

    One exec to ask, two a missing part, one to join. A part that broke off is gone on with by whoever
    brings it next. Where the node turns out not to have what it said, everything is brought, once.
    A part that a node of the same site offers is fetched there; where that fails it is brought from here.
    Where parts are being joined already, by an attempt that lost its connection, that one is followed.

    Raises:
        MacfleetError: E0640 too little room, E0641 the node's answer is not understood, and as `deliver`.
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    arguments = f"set -- {' '.join(quote(part.name) for part in parts)}\n"
    answer = _asked(run(f"{arguments}{join.sighting()}\n{step.ask}", _ASK_LIMIT), node)
    done = Completed(LACKING, b"", b"")
    if answer.joining:
        done = join(arguments + step.script, step.limit, attempt=answer.joining)
    for attempt, known in enumerate((answer.have, frozenset[str]()), 1):
        if done.exit != LACKING:
            break
        if attempt <= answer.joining:
            continue
        missing = [part for part in parts if part.name not in known]
        _refuse_if_full(node, answer, missing)
        for part in missing:
            _bring_one(part, answer.folder, node, transport, courier or Alone())
        done = join(arguments + step.script, step.limit, attempt=attempt)
        if len(missing) == len(parts):
            break
    return done


def _bring_one(part: Part, folder: str, node: str, transport: Transport, courier: Courier) -> None:
    parcel = Parcel(part.size, part.sha256, part.open)
    path = f"{folder}/{part.name}"
    deadline = _ASK_LIMIT + part.size / _SLOWEST
    with courier.turn(part) as offer:
        if offer is not None:
            try:
                collect(transport, parcel, offer, path, node=node, deadline=deadline, mode="0600")
            except DeadlineExceeded as error:
                courier.refused(offer, error)
            except MacfleetError as error:
                if error.diagnostics[0].code not in _OFFER_FAILED:
                    raise
                courier.refused(offer, error)
            else:
                courier.brought(part, folder, 0, offer)
                return
        done = deliver(transport, parcel, path, node=node, deadline=deadline, mode="0600")
        courier.brought(part, folder, done.sent, None)


@dataclass(frozen=True, slots=True)
class _Room:
    """A disk: `free` bytes at `where`, which must hold what is missing so many `times`."""

    where: str
    free: int
    times: int


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a node has; `joining` is the attempt that is at work or ended unseen, 0 for none."""

    folder: str
    rooms: tuple[_Room, ...]
    have: frozenset[str]
    joining: int


def _asked(done: Completed, node: str) -> _Answer:
    folder, free, joining = "", "", 0
    have: set[str] = set()
    rooms: list[_Room] = []
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        word, _, rest = line.partition(" ")
        if word == "folder":
            folder = rest
        elif word == "free":
            free = rest
        elif word == "have":
            have.add(rest)
        elif word == "room":
            kib, times, where = (*rest.split(" ", 2), "", "")[:3]
            if kib.isdecimal() and times.isdecimal():
                rooms.append(_Room(where, int(kib) * 1024, int(times)))
        elif word == "joining" and rest.isdecimal():
            joining = int(rest)
    if done.exit != 0 or not folder.startswith("/") or not free.isdecimal():
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip()[-400:]
        raise MacfleetError(
            Diagnostic(
                "E0641",
                "the node does not say what it has of an image",
                why=f"exit status {done.exit}: {said or 'it said nothing'}",
                mend="Look at its container engine: macfleet facts",
                node=node,
                exit_code=ExitCode.NODE_FAILED,
            )
        )
    rooms.insert(0, _Room(folder, int(free) * 1024, _ROOM))
    return _Answer(folder, tuple(rooms), frozenset(have), joining)


def _refuse_if_full(node: str, answer: _Answer, missing: Sequence[Part]) -> None:
    """Raise MacfleetError E0640 naming every disk that is too full."""
    size = sum(part.size for part in missing)
    full = [room for room in answer.rooms if room.free < room.times * size]
    if full:
        raise MacfleetError(
            Diagnostic(
                "E0640",
                f"{show_bytes(room.times * size)} are needed in {room.where}, "
                f"{show_bytes(room.free)} are free",
                why=f"It must hold {room.times} times the {show_bytes(size)} that are missing, until they "
                "are unpacked. Nothing was sent.",
                mend=f"Make room, such as by: macfleet image prune --check -l {node}",
                node=node,
                exit_code=ExitCode.NODE_FAILED,
            )
            for room in full
        )
