"""Which release each node is to run: the locks of environments, and `images.lock` for the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.contract.releases import ReleaseLock
    from macfleet.model.image import LockedImage
    from macfleet.model.json import Json
    from macfleet.model.node import Node

_RELEASES = "release"
"""The journal's name for promotions and rollbacks, which belong to no single run."""
_PATIENCE = 30.0
"""Seconds that somebody else gets to finish writing a lock."""


def own_images(fleet: FleetContext) -> Mapping[str, Mapping[str, LockedImage]]:
    """Return the images of each node that is not to run what `images.lock` pinned last, by its name.

    Raises:
        MacfleetError: E0623 and E0688 (exit 2) for every damaged lock.
    """
    from macfleet.contract.images import IMAGES_LOCK

    found: dict[str, Mapping[str, LockedImage]] = {}
    for path, (lock, nodes) in locks_of(fleet, fleet.inventory.nodes).items():
        for node in nodes:
            if path != IMAGES_LOCK or lock.of(node.name) is not lock.newest:
                found[node.name] = lock.of(node.name).images
    return found


def locks_of(fleet: FleetContext, nodes: Iterable[Node]) -> Mapping[str, tuple[ReleaseLock, Sequence[Node]]]:
    """Return each lock in use with those of `nodes` that run by it, by its path; raises as `own_images`.

    Nodes that no lock speaks of are in none.
    """
    from macfleet.contract.releases import load_releases

    by_path: dict[str, list[Node]] = {}
    for node in nodes:
        by_path.setdefault(path_of(fleet, node.environment), []).append(node)
    found: dict[str, tuple[ReleaseLock, Sequence[Node]]] = {}
    problems: list[Diagnostic] = []
    for path in sorted(by_path):
        try:
            lock = load_releases(fleet.files, path)
        except MacfleetError as error:
            problems += error.diagnostics
            continue
        if lock is not None:
            found[path] = (lock, by_path[path])
    if problems:
        raise MacfleetError(problems)
    return found


def path_of(fleet: FleetContext, environment: str) -> str:
    """Return the lock that speaks for an environment: its own once something was promoted to it."""
    from macfleet.contract.images import IMAGES_LOCK
    from macfleet.contract.releases import lock_file

    own = lock_file(environment)
    return own if environment and fleet.files.exists(own) else IMAGES_LOCK


def lock_of(fleet: FleetContext, path: str) -> ReleaseLock:
    """Return a lock (raises MacfleetError E0622 where it is not there, and as `own_images`)."""
    from macfleet.contract.images import load_images_lock
    from macfleet.contract.releases import Release, ReleaseLock, load_releases

    lock = load_releases(fleet.files, path)
    return lock if lock is not None else ReleaseLock(Release(load_images_lock(fleet.files, path)))


def serving_nodes(fleet: FleetContext) -> tuple[Node, ...]:
    """Return the nodes that run containers, in inventory order."""
    from macfleet.model.node import Arm

    containers = {Arm.CONTAINER, Arm.HOST_ENGINE}
    return tuple(node for node in fleet.inventory.nodes if containers & set(node.arms))


@contextmanager
def writing(fleet: FleetContext, path: str, command: str) -> Iterator[None]:
    """Be alone with a lock file for a block, among the controllers of one store.

    Raises:
        MacfleetError: E0590 (exit 6) somebody else is at it for half a minute.
    """
    from macfleet.rollout.run_lock import Claim, held
    from macfleet.store.run_locks import StoreLocks, this_process
    from macfleet.views.progress import EventLines

    events = EventLines(as_json=fleet.output == "json", on_stdout=fleet.stream)
    # Locks of its own: those of this command are the nodes it works on, taken once.
    with (
        closing(StoreLocks(fleet.state.locks, this_process(fleet.who))) as locks,
        held(Claim((path,), "", command, _PATIENCE), locks, fleet.clock, events),
    ):
        yield


def moved(paths: Sequence[str]) -> Diagnostic:
    """Return the diagnostic of locks that somebody else wrote since they were shown (E0686, exit 7)."""
    return Diagnostic(
        "E0686",
        f"{', '.join(paths)} changed while you looked",
        why="Somebody else pinned, promoted or rolled back: that is not what you said yes to.",
        mend="Nothing was done. See who did what: macfleet history",
        exit_code=ExitCode.HELD,
    )


def record(fleet: FleetContext, node: str, kind: str, detail: Mapping[str, Json]) -> None:
    """Keep for `macfleet history` what was done to releases, and by whom."""
    from macfleet.views.redacted_ports import RedactedJournal

    RedactedJournal(fleet.state, fleet.redactor).note(_RELEASES, node, kind, {"who": fleet.who, **detail})
