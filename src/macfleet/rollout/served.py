"""Whether a node has served with certain images: what a promotion and a rollback ask of the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from macfleet.model.image import LockedImage
from macfleet.model.node import Node
from macfleet.model.ports import Evidences
from macfleet.model.stage import Outcome, StageName
from macfleet.rollout.desired import Desired


def with_images(desired: Desired, images: Mapping[str, Mapping[str, LockedImage]]) -> Desired:
    """Return what would be wanted if the nodes of the mapping were to run its images, by node name."""
    return replace(desired, own={**desired.own, **images})


def has_served(node: Node, images: Mapping[str, LockedImage], desired: Desired, evidences: Evidences) -> bool:
    """Whether the newest record of stage 3 passed with these images."""
    record = evidences.latest(node.name, StageName.LAYOUT)
    if record is None or record.outcome is not Outcome.PASS:
        return False
    wanted = with_images(desired, {node.name: images}).images_digest(node)
    return record.key.parts.get("images") == wanted
