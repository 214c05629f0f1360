"""`macfleet image push`: locked images onto nodes over SSH, without a stage around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.engine import apply_plan, make_plan, observe
from macfleet.engine.lock import Holder
from macfleet.engine.redial import Redial
from macfleet.model.event import Event
from macfleet.model.image import ResolvedImage
from macfleet.model.node import Node
from macfleet.model.quantity import iso
from macfleet.model.resource import Plan
from macfleet.resources.docker_image import DockerImage
from macfleet.rollout.node_log import BothEvents
from macfleet.rollout.ports import Ports
from macfleet.rollout.relay import profile_of
from macfleet.rollout.run_lock import Claim, Fence, held
from macfleet.rollout.witness import witness


@dataclass(slots=True)
class Pushed:
    """What a node got.

    Attributes:
        images: names of the images it lacked.
        sent: bytes of parts that left the controller for it; relayed: that came from its site, from the
            nodes `sources`.
        notes: why parts did not come from its site.
    """

    images: tuple[str, ...]
    sent: int = 0
    relayed: int = 0
    sources: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PushOptions:
    """Who pushes and how.

    Attributes:
        wait: seconds that another run on these nodes gets to finish.
        check: say what nodes lack, and bring nothing.
    """

    run_id: str
    who: str
    wait: float = 0.0
    check: bool = False


def push_images(
    images: Mapping[str, Mapping[str, ResolvedImage]],
    nodes: Sequence[Node],
    ports: Ports,
    options: PushOptions,
) -> Mapping[str, Pushed | Exception]:
    """Bring images to nodes, several at once; return by node what it got or what went wrong.

    Args:
        images: by node name, those it is to have by name.
        nodes: pushed to; of a site that relays, one goes before the others, and `loadgen_image` says what
            its relay is run from.
        ports: adapters of the command.
        options: who, and how long to wait.

    Raises:
        MacfleetError: E0590 (exit 6) another run holds one of the nodes.
    """
    names = tuple(node.name for node in nodes)
    if options.check:
        return _what_came(_planned(nodes, images, ports))
    with held(
        Claim(names, options.run_id, "image push", options.wait), ports.locks, ports.clock, ports.events
    ) as fence:
        planned = _planned(nodes, images, ports)
        done = dict(planned)

        def bring(name: str) -> _Planned:
            return _pushed(planned[name], ports, options, fence)

        try:
            for part in _heads_first(planned, ports):
                done |= ports.executor.each(part, bring)
        finally:
            if ports.relay is not None:
                ports.relay.close(ports.executor, ports.events)
    return _what_came(done)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What one node lacks."""

    node: Node
    resources: Sequence[DockerImage]
    plan: Plan
    pushed: Pushed


def _planned(
    nodes: Sequence[Node], images: Mapping[str, Mapping[str, ResolvedImage]], ports: Ports
) -> dict[str, _Planned | Exception]:
    by_name = {node.name: node for node in nodes}

    def plan(name: str) -> _Planned:
        node = by_name[name]
        profile = profile_of(node)
        resources = [DockerImage(each, image, True, profile) for each, image in images[name].items()]
        seen = observe(name, resources, ports.transports.to(node), nonce=ports.nonce)
        found = make_plan(name, resources, seen)
        lacks = tuple(change.address.removeprefix("docker_image.") for change in found.pending)
        return _Planned(node, resources, found, Pushed(lacks))

    return dict(ports.executor.each(tuple(by_name), plan))


def _heads_first(planned: Mapping[str, _Planned | Exception], ports: Ports) -> list[tuple[str, ...]]:
    getting = [each.node for each in planned.values() if isinstance(each, _Planned) and each.plan.pending]
    first = () if ports.relay is None else tuple(node.name for node in ports.relay.heads(getting))
    rest = tuple(node.name for node in getting if node.name not in first)
    return [part for part in (first, rest) if part]


def _what_came(planned: Mapping[str, _Planned | Exception]) -> dict[str, Pushed | Exception]:
    return {name: each.pushed if isinstance(each, _Planned) else each for name, each in planned.items()}


def _pushed(planned: _Planned | Exception, ports: Ports, options: PushOptions, fence: Fence) -> _Planned:
    """Bring what one node lacks (raises what applying raises)."""
    if isinstance(planned, Exception):
        raise planned
    node = planned.node
    ports.go_on(node.name)
    events = BothEvents(ports.events, _Tally(planned.pushed))
    since = iso(ports.clock.now())
    apply_plan(
        planned.plan,
        planned.resources,
        ports.transports.to(node),
        sources=ports.sources,
        holder=Holder(options.run_id, options.who, since, fence.token, fence.store, "image push"),
        nonce=ports.nonce,
        report=witness(node.name, options.run_id, ports, lambda: ports.locks.confirm(fence, node.name)),
        redial=Redial(lambda: ports.transports.to(node), ports.clock.sleep),
        stop=ports.stop,
        courier=None if ports.relay is None else ports.relay.courier(node, events),
    )
    return planned


@dataclass(frozen=True, slots=True)
class _Tally:
    """An `Events` that adds up what came to one node."""

    pushed: Pushed

    def emit(self, event: Event) -> None:
        """Count a part."""
        if event.kind == "relay.failed":
            self.pushed.notes.append(str(event.data.get("words")))
        if event.kind != "part.brought":
            return
        sent, size = event.data.get("sent"), event.data.get("bytes")
        whence = event.data.get("from")
        self.pushed.sent += sent if isinstance(sent, int) else 0
        if isinstance(whence, str):
            self.pushed.relayed += size if isinstance(size, int) else 0
            self.pushed.sources.add(whence)
