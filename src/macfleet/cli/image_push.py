"""`macfleet image push`: images of images.lock onto nodes over SSH, ahead of the stage that proves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import finish
from macfleet.cli.fleet import FleetContext, event_command, limit_option
from macfleet.cli.image_lock import checked_lock
from macfleet.cli.params import wait_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.model.image import LockedImage, ResolvedImage
    from macfleet.model.json import Json, JsonObject
    from macfleet.model.node import Node
    from macfleet.rollout.push import Pushed


@click.command(short_help="Bring pinned images to nodes over SSH.")
@click.argument("names", metavar="[IMAGE]...", nargs=-1)
@limit_option
@click.option("--check", is_flag=True, help="Say what nodes lack; bring nothing.")
@click.option(
    "--relay/--no-relay", default=None, help="From node to node within a site, whatever the inventory says."
)
@wait_option
@event_command
def push(
    fleet: FleetContext, names: tuple[str, ...], limit: str, check: bool, relay: bool | None, wait: float
) -> int:
    """Bring images of images.lock to the nodes with `delivery: push`; IMAGEs are their names, none means all.

    Only layers a node lacks travel; one that broke off is gone on with. Nodes with `relay: true` fetch from
    one another within their site. Nothing is started or stopped: stage 2 proves what came, stage 3 uses it.

    Example: macfleet image push engine -l site-par
    """
    from macfleet.cli.compose import new_run_id, open_ports
    from macfleet.cli.interrupts import interrupts
    from macfleet.cli.releases import own_images
    from macfleet.rollout.push import PushOptions, push_images
    from macfleet.views.progress import EventLines, watching
    from macfleet.views.redacted_ports import RedactedEvents

    pinned = checked_lock(fleet, None, write=False)
    own = own_images(fleet)
    chosen = [node for node in fleet.nodes(limit) if node.delivery == "push"]
    if not chosen:
        raise MacfleetError(_nobody(limit))
    locked = {node.name: own.get(node.name, pinned) for node in chosen}
    images = {node.name: _for(node, _chosen(locked[node.name], names)) for node in chosen}
    nodes = [_told(node, relay, _for(node, locked[node.name])) for node in chosen]
    as_json = fleet.output == "json"
    with (
        open_ports(fleet, EventLines(as_json=as_json, on_stdout=fleet.stream)) as ports,
        interrupts(fleet, ""),
        watching(
            "image push", [node.name for node in nodes], as_json=as_json, on_stdout=fleet.stream
        ) as events,
    ):
        options = PushOptions(new_run_id("push", ports.clock.now()), fleet.who, wait, check)
        shown = replace(ports, events=RedactedEvents(events, fleet.redactor))
        answers = push_images(images, nodes, shown, options)
    return _end(fleet, answers, check=check)


def _chosen(locked: Mapping[str, LockedImage], names: Sequence[str]) -> Mapping[str, LockedImage]:
    from macfleet.documents import nearest

    unknown = [name for name in names if name not in locked]
    if unknown or not locked:
        raise MacfleetError(
            Diagnostic(
                "E0644",
                f'images.lock has no "{name}"' if name else "images.lock holds no image",
                mend=_meant(nearest(name, locked), locked),
            )
            for name in unknown or [""]
        )
    return {name: locked[name] for name in names or locked}


def _meant(guess: str | None, locked: Mapping[str, LockedImage]) -> str:
    if not locked:
        return "macfleet image pin"
    return f'did you mean "{guess}"?' if guess else f"It has: {', '.join(locked)}."


def _told(node: Node, relay: bool | None, images: Mapping[str, ResolvedImage]) -> Node:
    """Tell a node what its load client's image is called on it, and whether to relay if that was typed."""
    from macfleet.resources import local_name

    client = local_name(images["loadgen"]) if "loadgen" in images else ""
    told = replace(node, variables={"loadgen_image": client, **node.variables})
    return told if relay is None else replace(told, relay=relay)


def _for(node: Node, locked: Mapping[str, LockedImage]) -> dict[str, ResolvedImage]:
    """Return the images for a node's platform; the engine's own gate refuses a platform none is for."""
    return {
        name: image.platforms[node.platform]
        for name, image in locked.items()
        if node.platform in image.platforms
    }


def _end(fleet: FleetContext, answers: Mapping[str, Pushed | Exception], *, check: bool) -> int:
    failed: list[MacfleetError] = []
    pushed: dict[str, Pushed] = {}
    for name, answer in answers.items():
        if isinstance(answer, MacfleetError):
            failed.append(MacfleetError(map(_gone_on_with, answer.diagnostics)))
        elif isinstance(answer, Exception):
            raise answer
        else:
            pushed[name] = answer
    if fleet.output != "json":
        _say(pushed, check=check)
    ended = finish(failed, _document(pushed, check=check) if fleet.output == "json" else None)
    if check and any(each.images for each in pushed.values()):
        return int(ExitCode.PENDING)
    return ended


def _gone_on_with(found: Diagnostic) -> Diagnostic:
    """A push is no run to be resumed: the next one finds what arrived."""
    if found.exit_code is not ExitCode.INTERRUPTED:
        return found
    return replace(found, mend="The same command goes on where this one stopped.")


def _document(pushed: Mapping[str, Pushed], *, check: bool) -> JsonObject:
    nodes: dict[str, Json] = {
        name: {
            "images": list(each.images),
            "sent": each.sent,
            "relayed": each.relayed,
            "from": sorted(each.sources),
            "notes": list(each.notes),
        }
        for name, each in pushed.items()
    }
    return {"schema": 1, "kind": "image.push", "check": check, "nodes": nodes}


def _say(pushed: Mapping[str, Pushed], *, check: bool) -> None:
    from macfleet.model.quantity import show_bytes
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    for name, each in pushed.items():
        if not each.images:
            show([f"· {name}: has them all"])
        elif check:
            show([clean(f"~ {name}: lacks {', '.join(each.images)}")])
        else:
            near = (
                f", {show_bytes(each.relayed)} from {', '.join(sorted(each.sources))}" if each.relayed else ""
            )
            show([clean(f"✓ {name}: {', '.join(each.images)}, {show_bytes(each.sent)} sent{near}")])
        show(clean(f"  ! {note}") for note in each.notes)
    if not check:
        show([f"{show_bytes(sum(each.sent for each in pushed.values()))} left this machine"])


def _nobody(limit: str) -> Diagnostic:
    return Diagnostic(
        "E0645",
        f'no node of "{limit or "all"}" gets its images over SSH',
        why="The others pull them from a registry by digest.",
        mend="Say `delivery: push` in the inventory.",
        exit_code=ExitCode.NOTHING_SELECTED,
    )
