"""Which release each node is to run: the locks of environments, and `images.lock` for the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import MacfleetError

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.contract.releases import ReleaseLock
    from macfleet.model.diagnostic import Diagnostic
    from macfleet.model.image import LockedImage
    from macfleet.model.node import Node


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
