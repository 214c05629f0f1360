"""What expressions see of a node and of the images locked for its platform."""

from __future__ import annotations

from collections.abc import Mapping

from macfleet.model.image import ResolvedImage
from macfleet.model.json import Json
from macfleet.model.node import Node


def node_view(node: Node, images: Mapping[str, ResolvedImage]) -> dict[str, Json]:
    """Return ``inventory_hostname``, ``node`` and ``images``; sizes in bytes."""
    return {"inventory_hostname": node.name, "node": _node(node), "images": _images(node, images)}


def _images(node: Node, images: Mapping[str, ResolvedImage]) -> dict[str, Json]:
    if not images:
        return {}
    from macfleet.resources import name_on  # noqa: PLC0415  (a fleet without images needs no image's type)

    return {name: _image(image, name_on(node, image)) for name, image in images.items()}


def _node(node: Node) -> dict[str, Json]:
    roots: Json = None
    if node.roots is not None:
        roots = {"weights": node.roots.weights, "cache": node.roots.cache, "logs": node.roots.logs}
    colima: Json = None
    if node.colima is not None:
        colima = {"cpus": node.colima.cpus, "memory": node.colima.memory, "disk": node.colima.disk}
    return {
        "name": node.name,
        "user": node.endpoint.user,
        "host": node.endpoint.host,
        "groups": list(node.groups),
        "platform": node.platform,
        "chip": node.chip,
        "hardware_model": node.hardware_model,
        "memory": node.memory,
        "ownership": node.ownership.value,
        "site": node.site,
        "environment": node.environment,
        "pool": node.pool,
        "role": node.role,
        "arms": [arm.value for arm in node.arms],
        "delivery": node.delivery,
        "roots": roots,
        "colima": colima,
    }


def _image(image: ResolvedImage, name: str) -> dict[str, Json]:
    """Return an image's names; ``run`` is `name`: what the node calls it, by the way it is delivered."""
    return {
        "reference": image.reference,
        "repository": image.repository,
        "pinned": image.pinned,
        "run": name,
        "index": image.index,
        "manifest": image.manifest,
        "config": image.config,
        "platform": image.platform,
        "labels": dict(image.labels),
    }
