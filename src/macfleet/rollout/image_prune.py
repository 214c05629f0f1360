"""`macfleet image prune`: what a node may lose of images, because no lock, rollback or container needs it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from macfleet.contract.releases import Release, ReleaseLock
from macfleet.engine.lock import Holder
from macfleet.facts.image_store import (
    ImageStore,
    StoredImage,
    parse_store,
    part_of,
    removal_script,
    store_script,
)
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Node
from macfleet.model.ports import Completed
from macfleet.model.quantity import iso
from macfleet.model.resource import ProbeOutput
from macfleet.rollout.arms import ENVIRONMENT
from macfleet.rollout.node_lock import to_itself
from macfleet.rollout.ports import Ports
from macfleet.rollout.run_lock import Claim, held

_LIMIT = 600.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What locks need.

    Attributes:
        digests: why each index, manifest or config digest is needed.
        layers: file names of parts that a needed image is made of.
        repositories: every repository that a lock of the fleet speaks of; others are none of macfleet's.
    """

    digests: Mapping[str, str]
    layers: frozenset[str]
    repositories: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pruning:
    """What becomes of a node's images.

    Attributes:
        going: images nobody needs; staying: those that are needed, with the reason; unknown: those of
            repositories that no lock names, which are left alone.
        parts: what broken pushes left beside the engine and no needed image is made of, bytes by name.
        done: names that were removed; empty where nothing was to be done, or nothing was done yet.
        refused: what the engine said about images it did not remove.
    """

    going: tuple[StoredImage, ...]
    staying: tuple[tuple[StoredImage, str], ...]
    unknown: tuple[StoredImage, ...]
    parts: Mapping[str, int]
    done: tuple[str, ...] = ()
    refused: str = ""

    @property
    def pending(self) -> bool:
        """Whether something would be removed."""
        return bool(self.going or self.parts)


def kept_for(node: Node, lock: ReleaseLock, locks: Iterable[ReleaseLock], back: int) -> Kept:
    """Return what a node must keep: what it runs by its lock, what was pinned last, and `back` steps back.

    Args:
        node: whose images.
        lock: the one the node runs by.
        locks: all of the fleet; they say which repositories macfleet knows.
        back: releases before the one in use that a rollback may return to.
    """
    used = lock.of(node.name)
    wanted = [(used, "what the lock says"), (lock.newest, "pinned last")]
    earlier = used
    for step in range(1, back + 1):
        found = lock.before(earlier)
        if found is None:
            break
        wanted.append((found, "for a rollback" if step == 1 else f"for a rollback by {step}"))
        earlier = found
    digests: dict[str, str] = {}
    layers: set[str] = set()
    for release, why in wanted:
        for image in _resolved([release]):
            for digest in (image.index, image.manifest, image.config):
                digests.setdefault(digest, f"{why} ({release.id})")
            layers |= {layer.digest.replace(":", "-") for layer in image.layers}
    everything = [release for each in locks for release in (each.newest, *each.earlier)]
    known = frozenset(image.repository for image in _resolved(everything))
    return Kept(digests, frozenset(layers), known)


def sort_out(store: ImageStore, kept: Kept) -> Pruning:
    """Return what may go: images of known repositories that no lock and no container needs."""
    going: list[StoredImage] = []
    staying: list[tuple[StoredImage, str]] = []
    unknown: list[StoredImage] = []
    for image in store.images:
        why = next((kept.digests[digest] for digest in sorted(image.digests & kept.digests.keys())), "")
        if image.users:
            staying.append((image, f"container {', '.join(image.users)}"))
        elif why:
            staying.append((image, why))
        elif image.repositories and set(image.repositories) <= kept.repositories:
            going.append(image)
        else:
            unknown.append(image)
    parts = {name: size for name, size in store.parts.items() if part_of(name) not in kept.layers}
    return Pruning(tuple(going), tuple(staying), tuple(unknown), parts)


def prune_images(
    kept: Mapping[str, Kept],
    nodes: Sequence[Node],
    ports: Ports,
    run: str,
    who: str,
    *,
    check: bool,
    wait: float,
) -> Mapping[str, Pruning | Exception]:
    """Look at nodes, and unless it is a `check` remove what they need no more; return by node what became.

    Each node is looked at again under its own lock before anything of it is removed.

    Raises:
        MacfleetError: E0590 (exit 6) another run holds one of the nodes.
    """
    by_name = {node.name: node for node in nodes}
    if check:
        return ports.executor.each(tuple(by_name), lambda n: _looked(by_name[n], kept[n], ports))
    with held(
        Claim(tuple(by_name), run, "image prune", wait), ports.locks, ports.clock, ports.events
    ) as fence:

        def work(name: str) -> Pruning:
            ports.go_on(name)
            holder = Holder(run, who, iso(ports.clock.now()), fence.token, fence.store, "image prune")
            with to_itself(by_name[name], holder, ports, 2 * _LIMIT):
                ports.locks.confirm(fence, name)
                return _pruned(by_name[name], kept[name], ports)

        return ports.executor.each(tuple(by_name), work)


def _looked(node: Node, kept: Kept, ports: Ports) -> Pruning:
    """Return what a node may lose (raises MacfleetError E0647 where its engine does not say)."""
    done = _run(node, store_script(), ports)
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    try:
        return sort_out(parse_store(ProbeOutput(done.exit, out, err)), kept)
    except ValueError as error:
        raise MacfleetError(
            Diagnostic(
                "E0647",
                "what the engine holds cannot be read, so nothing is removed",
                why=str(error),
                mend=f"Look at it: macfleet exec -l {node.name} -- colima list",
                node=node.name,
                exit_code=ExitCode.NODE_FAILED,
            )
        ) from error


def _pruned(node: Node, kept: Kept, ports: Ports) -> Pruning:
    found = _looked(node, kept, ports)
    if not found.pending:
        return found
    names = [name for image in found.going for name in image.names]
    done = _run(node, removal_script(names, sorted(found.parts)), ports)
    said = done.stdout.decode("utf-8", "replace").splitlines()
    gone = tuple(line.removeprefix("gone ") for line in said if line.startswith("gone "))
    refused = done.stderr.decode("utf-8", "replace").strip()[-400:] if len(gone) < len(names) else ""
    return Pruning(found.going, found.staying, found.unknown, found.parts, gone, refused)


def _run(node: Node, script: str, ports: Ports) -> Completed:
    return ports.transports.to(node).run(f"{ENVIRONMENT}\n{script}", deadline=_LIMIT)


def _resolved(releases: Collection[Release]) -> Iterable[ResolvedImage]:
    return (
        image for each in releases for locked in each.images.values() for image in locked.platforms.values()
    )
