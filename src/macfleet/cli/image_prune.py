"""`macfleet image prune`: nodes lose the images that no lock, no rollback and no container needs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import finish
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.cli.params import wait_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm

if TYPE_CHECKING:
    from macfleet.facts.image_store import StoredImage
    from macfleet.model.json import Json, JsonObject
    from macfleet.model.node import Node
    from macfleet.rollout.image_prune import Kept, Pruning


@click.command(short_help="Remove images that nothing needs any more.")
@limit_option
@click.option("--check", is_flag=True, help="Show what would go and what stays, and why; exit 3.")
@click.option(
    "--back",
    default=1,
    show_default=True,
    type=click.IntRange(1, 5),
    metavar="N",
    help="Releases before the one in use that a rollback may return to.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@wait_option
@fleet_command
def prune(fleet: FleetContext, limit: str, check: bool, back: int, yes: bool, wait: float) -> int:
    """Remove images that no lock, no rollback and no container needs, and parts that were left of such.

    An image of a repository that no lock names is left alone. Nothing is forced.

    Example: macfleet image prune --check -l mac-01
    """
    from macfleet.cli.compose import confirm, new_run_id, open_ports
    from macfleet.cli.interrupts import interrupts
    from macfleet.rollout.image_prune import prune_images
    from macfleet.views.progress import EventLines

    nodes = _with_engines(fleet.nodes(limit), limit)
    kept = _kept(fleet, nodes, back)
    if not check:
        steps = "1 release" if back == 1 else f"{back} releases"
        confirm(f"Remove what neither the locks nor {steps} back need from {len(nodes)} nodes?", yes=yes)
    with open_ports(fleet, EventLines(as_json=fleet.output == "json")) as ports, interrupts(fleet, ""):
        run = new_run_id("prune", ports.clock.now())
        answers = prune_images(kept, nodes, ports, run, fleet.who, check=check, wait=wait)
    return _end(fleet, answers, _own(fleet, check=check), check=check)


def _with_engines(nodes: Sequence[Node], limit: str) -> tuple[Node, ...]:
    """Return the nodes that run containers; the others hold no image (raises MacfleetError E0649, exit 8)."""
    found = tuple(node for node in nodes if {Arm.CONTAINER, Arm.HOST_ENGINE} & set(node.arms))
    if not found:
        raise MacfleetError(
            Diagnostic(
                "E0649",
                f'no node of "{limit or "all"}" runs containers',
                why="Images are on nodes with the arm container or host-engine.",
                mend="macfleet inventory list",
                exit_code=ExitCode.NOTHING_SELECTED,
            )
        )
    return found


def _kept(fleet: FleetContext, nodes: Sequence[Node], back: int) -> dict[str, Kept]:
    """Return what each node must keep; raises MacfleetError E0646 for nodes that no lock speaks of."""
    from macfleet.cli.releases import locks_of
    from macfleet.rollout.image_prune import kept_for

    locks = locks_of(fleet, fleet.inventory.nodes)
    all_locks = [lock for lock, _ in locks.values()]
    own = {node.name: lock for lock, members in locks.values() for node in members}
    lost = [node for node in nodes if node.name not in own]
    if lost:
        raise MacfleetError(_no_lock(node) for node in lost)
    return {node.name: kept_for(node, own[node.name], all_locks, back) for node in nodes}


def _own(fleet: FleetContext, *, check: bool) -> dict[str, int]:
    """Return the layers kept on this machine for images that no lock of the fleet holds; remove them."""
    from macfleet.cli.releases import locks_of
    from macfleet.registry import BlobCache

    needed = {
        layer.digest
        for lock, _ in locks_of(fleet, fleet.inventory.nodes).values()
        for release in (lock.newest, *lock.earlier)
        for image in release.images.values()
        for resolved in image.platforms.values()
        for layer in resolved.layers
    }
    cache = BlobCache(fleet.root / ".macfleet" / "blobs")
    found = cache.others(needed)
    if not check:
        cache.drop(found)
    return found


def _no_lock(node: Node) -> Diagnostic:
    return Diagnostic(
        "E0646",
        "nothing says which images this node needs, so none is removed",
        why="No images.lock speaks of it.",
        mend="macfleet image pin",
        node=node.name,
    )


def _end(
    fleet: FleetContext, answers: Mapping[str, Pruning | Exception], own: Mapping[str, int], *, check: bool
) -> int:
    failed: list[MacfleetError] = []
    found: dict[str, Pruning] = {}
    for name, answer in answers.items():
        if isinstance(answer, MacfleetError):
            failed.append(answer)
        elif isinstance(answer, Exception):
            raise answer
        else:
            found[name] = answer
            if answer.refused:
                failed.append(MacfleetError(_refused(name, answer.refused)))
    if fleet.output != "json":
        _say(found, own, check=check)
    ended = finish(failed, _document(found, own, check=check) if fleet.output == "json" else None)
    pending = bool(own) or any(each.pending for each in found.values())
    return int(ExitCode.PENDING) if check and pending else ended


def _refused(node: str, said: str) -> Diagnostic:
    return Diagnostic(
        "E0648",
        "the engine did not remove everything",
        why=said,
        mend=f"macfleet image prune --check -l {node}",
        node=node,
        exit_code=ExitCode.NODE_FAILED,
    )


def _document(found: Mapping[str, Pruning], own: Mapping[str, int], *, check: bool) -> JsonObject:
    nodes: dict[str, Json] = {
        name: {
            "remove": [_row(image) for image in each.going],
            "keep": [{**_row(image), "why": why} for image, why in each.staying],
            "unknown": [_row(image) for image in each.unknown],
            "parts": dict(each.parts),
            "removed": list(each.done),
        }
        for name, each in found.items()
    }
    return {"schema": 1, "kind": "image.prune", "check": check, "nodes": nodes, "controller": dict(own)}


def _row(image: StoredImage) -> dict[str, Json]:
    return {"id": image.id, "names": list(image.names), "bytes": image.size}


def _say(found: Mapping[str, Pruning], own: Mapping[str, int], *, check: bool) -> None:
    from macfleet.model.quantity import show_bytes
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    for name, each in found.items():
        going = [f"- {_called(image)}  {show_bytes(image.size)}" for image in each.going]
        staying = [f"· {_called(image)}  {why}" for image, why in each.staying]
        unknown = [f"? {_called(image)}  left alone: no lock knows all its names" for image in each.unknown]
        left = show_bytes(sum(each.parts.values()))
        parts = [f"- what broken pushes left: {len(each.parts)} files, {left}"] if each.parts else []
        show([name, *(clean(f"  {line}") for line in (*going, *parts, *staying, *unknown))])
    if own:
        show(["this machine", f"  - {len(own)} layers of .macfleet/blobs, {show_bytes(sum(own.values()))}"])
    freed = sum(image.size for each in found.values() for image in each.going)
    verb = "would go" if check else "went"
    show([f"{show_bytes(freed)} of images {verb}; layers they share with others stay"])


def _called(image: StoredImage) -> str:
    """Name an image shortly: of a digest its first digits are enough for people."""
    return ", ".join(
        re.sub(r"(sha256[:-][0-9a-f]{12})[0-9a-f]{52}", r"\1", n) for n in image.names or (image.id,)
    )
