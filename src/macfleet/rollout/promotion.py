"""`macfleet promote`: what an environment would run that another one runs, and what would differ there."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from macfleet.contract.releases import Release, ReleaseLock
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.image import LockedImage
from macfleet.model.node import Node
from macfleet.model.ports import Evidences
from macfleet.rollout.desired import Desired
from macfleet.rollout.promotion_declared import PROMOTION_FILE, Declared
from macfleet.rollout.promotion_shape import shape
from macfleet.rollout.served import has_served, with_images

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Environment:
    """One side of a promotion: its name, its nodes with containers, and the lock they run by."""

    name: str
    nodes: tuple[Node, ...]
    lock: ReleaseLock


@dataclass(frozen=True, slots=True)
class ImageMove:
    """What becomes of one image; a digest is empty where the environment lacks it.

    Digests are those of the target's platform, which its containers are proven by; of the index where its
    nodes have several platforms.
    """

    name: str
    reference: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is compiled otherwise for the target.

    Attributes:
        what: its name, such as ``mounts.engine./models``.
        before: what the source has, `ABSENT` for nothing; several values of several nodes with `` | ``.
        after: what nodes of the target have; `nodes` are those.
        declared: why it is meant; empty when nobody declared it.
    """

    what: str
    before: str
    after: str
    nodes: tuple[str, ...]
    declared: str = ""


@dataclass(frozen=True, slots=True)
class Promotion:
    """What a promotion would bring.

    Attributes:
        release: what the source runs; before: what the target is to run until then.
        unused: declared differences that are none any more.
        unproven: nodes of the source on which stage 3 did not pass with this release.
        back: nodes of the target that went back by themselves and would go along.
    """

    source: str
    target: str
    release: Release
    before: Release
    images: tuple[ImageMove, ...]
    differences: tuple[Difference, ...]
    nodes: tuple[str, ...]
    unused: tuple[Declared, ...] = ()
    unproven: tuple[str, ...] = ()
    back: tuple[str, ...] = ()

    @property
    def undeclared(self) -> tuple[Difference, ...]:
        """The differences that refuse it."""
        return tuple(each for each in self.differences if not each.declared)

    @property
    def changes(self) -> bool:
        """Whether any node of the target would run something else."""
        return self.release.id != self.before.id or bool(self.back)


def plan_promotion(
    source: Environment,
    target: Environment,
    desired: Desired,
    declared: Sequence[Declared],
    evidences: Evidences,
) -> Promotion:
    """Compile both environments with the source's release and return how they differ.

    The network mode is left out: each node proves its own, and network.lock holds it.

    Raises:
        MacfleetError: E0684 the release is not pinned for a platform of the target, E0685 nodes of the source
            are to run different releases, and what does not compile (all exit 2).
    """
    release = _release_of(source)
    refuse_platforms(target, release)
    everybody = {node.name: release.images for node in (*source.nodes, *target.nodes)}
    compiled = replace(with_images(desired, everybody), network={})
    found = compare(_shapes(source.nodes, compiled), _shapes(target.nodes, compiled))
    meant = [each for each in declared if each.is_between(source.name, target.name)]
    return Promotion(
        source.name,
        target.name,
        release,
        target.lock.in_use,
        _moves(target, release),
        tuple(replace(each, declared=_why(each, meant)) for each in found),
        tuple(node.name for node in target.nodes),
        tuple(each for each in meant if not any(each.allows(d.what, d.after) for d in found)),
        tuple(node.name for node in source.nodes if not has_served(node, release.images, desired, evidences)),
        tuple(n.name for n in target.nodes if target.lock.of(n.name).id != target.lock.in_use.id),
    )


def compare(
    source: Mapping[str, Mapping[str, str]], target: Mapping[str, Mapping[str, str]]
) -> tuple[Difference, ...]:
    """Return where a node of the target is unlike every node of the source, sorted; shapes by node name."""
    found = []
    for what in sorted({name for each in (*source.values(), *target.values()) for name in each}):
        before = {each.get(what, ABSENT) for each in source.values()}
        after: dict[str, list[str]] = {}
        for node, each in target.items():
            after.setdefault(each.get(what, ABSENT), []).append(node)
        found += [
            Difference(what, " | ".join(sorted(before)), value, tuple(sorted(nodes)))
            for value, nodes in sorted(after.items())
            if value not in before
        ]
    return tuple(found)


def refuse(promotion: Promotion) -> None:
    """Raise MacfleetError E0683 (exit 2) with every difference that nobody declared."""
    if promotion.undeclared:
        raise MacfleetError(_undeclared(promotion, each) for each in promotion.undeclared)


def refuse_platforms(target: Environment, release: Release) -> None:
    """Raise MacfleetError E0684 (exit 2) for every image that lacks a platform of the target's nodes."""
    lacking = sorted(
        (image.name, node.platform)
        for image in release.images.values()
        for node in target.nodes
        if node.platform not in image.platforms
    )
    if lacking:
        raise MacfleetError(_no_platform(target, *each) for each in dict.fromkeys(lacking))


def refuse_names(source: str, target: str, known: Collection[str], nearest: Mapping[str, str | None]) -> None:
    """Raise MacfleetError E0680 for a name no node's environment has, E0681 for one environment twice.

    `nearest` holds what was probably meant by a name that is not known.
    """
    unknown = [name for name in dict.fromkeys((source, target)) if name not in known]
    if unknown:
        raise MacfleetError(_no_environment(name, known, nearest.get(name)) for name in unknown)
    if source == target:
        raise MacfleetError(
            Diagnostic(
                "E0681",
                f"{source} cannot be promoted to itself",
                why="A promotion gives one environment the digests that another one runs.",
                mend=f"Name two of: {', '.join(sorted(known))}",
            )
        )


def _release_of(source: Environment) -> Release:
    by_id: dict[str, list[str]] = {}
    for node in source.nodes:
        by_id.setdefault(source.lock.of(node.name).id, []).append(node.name)
    if len(by_id) > 1:
        raise MacfleetError(_mixed(source, by_id))
    return source.lock.of(source.nodes[0].name)


def _shapes(nodes: Sequence[Node], desired: Desired) -> dict[str, Mapping[str, str]]:
    return {node.name: shape(node, desired) for node in nodes}


def _moves(target: Environment, release: Release) -> tuple[ImageMove, ...]:
    before, after = target.lock.in_use.images, release.images
    platforms = {node.platform for node in target.nodes}

    def digest(image: LockedImage | None) -> str:
        if image is None:
            return ""
        found = {image.platforms[each].manifest for each in platforms if each in image.platforms}
        return found.pop() if len(found) == 1 and len(platforms) == 1 else image.index

    return tuple(
        ImageMove(
            name,
            (after.get(name) or before[name]).reference,
            digest(before.get(name)),
            digest(after.get(name)),
        )
        for name in sorted({*before, *after})
    )


def _why(difference: Difference, meant: Sequence[Declared]) -> str:
    return next((each.why for each in meant if each.allows(difference.what, difference.after)), "")


def _undeclared(promotion: Promotion, difference: Difference) -> Diagnostic:
    nodes = ", ".join(difference.nodes)
    return Diagnostic(
        "E0683",
        f"{difference.what} differs: {promotion.source} {difference.before}, {nodes} {difference.after}",
        why="The same Compose file, mounts and flags go through all environments; a difference that nobody "
        f"declared may be why {promotion.target} behaves otherwise.",
        mend=f"Make them the same in the inventory, or declare it under differences: in {PROMOTION_FILE}:\n"
        f"- {{to: {promotion.target}, what: {json.dumps(difference.what)}, "
        f"value: {json.dumps(difference.after, ensure_ascii=False)}, why: …}}",
    )


def _no_platform(target: Environment, image: str, platform: str) -> Diagnostic:
    return Diagnostic(
        "E0684",
        f'image "{image}" is not pinned for {platform}, which nodes of {target.name} need',
        mend="Add the platform to the image in images.yml, pin it, and roll it out before it is promoted: "
        "macfleet image pin",
    )


def _mixed(source: Environment, by_id: Mapping[str, Sequence[str]]) -> Diagnostic:
    told = "; ".join(f"{', '.join(nodes)} {release}" for release, nodes in sorted(by_id.items()))
    return Diagnostic(
        "E0685",
        f"nodes of {source.name} are to run different releases: {told}",
        why="One of them went back by itself, so it is not clear which release is the good one.",
        mend=f"Bring them together first: macfleet rollback {source.name} --to RELEASE",
    )


def _no_environment(name: str, known: Collection[str], guess: str | None) -> Diagnostic:
    there = f"There are: {', '.join(sorted(known))}." if known else "No node has one."
    return Diagnostic(
        "E0680",
        f'no node with containers is in environment "{name}"',
        why=f"The variable environment of a node says which one it is in. {there}",
        mend=f'did you mean "{guess}"?' if guess else "Set environment: on its group in the inventory.",
    )
