"""Parts of images from node to node: the controller's uplink carries a layer once for each site.

The first node of a site that lacks a part gets it from here and keeps it; the others wait for that, then
fetch it from a container on the first one. Whatever goes wrong there, a part comes from here in the end.
"""

from __future__ import annotations

import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from macfleet.engine.script import ENVIRONMENT
from macfleet.engine.transfer import Offer
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.ports import Clock, Events, Executor, Part, Transports
from macfleet.model.secret import Secret
from macfleet.resources import part_relay

SMALLEST = 16 * 1024
"""Bytes below which a part costs less than the detour."""
_LIMIT = 300.0
_SPARE = 600.0
"""Seconds of a relay's life that must be left for it to be offered."""


@dataclass(slots=True)
class _Carrier:
    """A node that keeps parts for its site.

    Attributes:
        folder: where its parts lie.
        served: names of the parts its container has; until: monotonic time at which that ends itself.
    """

    node: Node
    folder: str
    token: Secret
    served: set[str] = field(default_factory=set)
    port: int = 0
    until: float = 0.0
    turn: threading.Lock = field(default_factory=threading.Lock)


@dataclass(slots=True)
class _Site:
    """What is known of one site: a lock a part, and who has it."""

    locks: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    has: dict[str, str] = field(default_factory=dict)
    carriers: dict[str, _Carrier] = field(default_factory=dict)
    unreached: set[str] = field(default_factory=set)


class SiteRelay:
    """Keeps who has which part at each site of one command; safe from any thread.

    Args:
        transports: connections to nodes.
        clock: for how long a relay may still be offered.
        nonce: a fresh text no node can guess, of letters and digits.
        go_on: raises MacfleetError for a node when the command is to stop.
    """

    def __init__(
        self,
        transports: Transports,
        clock: Clock,
        nonce: Callable[[], str],
        go_on: Callable[[str], None],
    ) -> None:
        self.transports = transports
        self.clock = clock
        self.nonce = nonce
        self.mark = nonce()
        self.go_on = go_on
        self.guard = threading.Lock()
        self._sites: defaultdict[str, _Site] = defaultdict(_Site)

    def courier(self, node: Node, events: Events) -> SiteCourier:
        """Return what says where parts of a node come from, and tells of each."""
        with self.guard:
            return SiteCourier(self, node, self._sites[node.site] if takes_part(node) else None, events)

    def heads(self, nodes: Sequence[Node]) -> tuple[Node, ...]:
        """Return the nodes that go before others of their site, so that there is somebody to fetch from.

        One of each site that has nobody yet and more than one of `nodes`.
        """
        by_site: dict[str, list[Node]] = {}
        for node in filter(takes_part, nodes):
            by_site.setdefault(node.site, []).append(node)
        with self.guard:
            known = {site for site, found in self._sites.items() if found.carriers}
        return tuple(some[0] for site, some in by_site.items() if site not in known and len(some) > 1)

    def close(self, executor: Executor, events: Events) -> None:
        """Remove every relay; one that cannot be reached ends by itself, and that is told. Safe to repeat."""
        with self.guard:
            carriers = [each for site in self._sites.values() for each in site.carriers.values()]
            self._sites.clear()
        by_name = {each.node.name: each for each in carriers}
        executor.each(tuple(by_name), lambda name: self._end(by_name[name], events))

    def _end(self, carrier: _Carrier, events: Events) -> None:
        node = carrier.node
        script = part_relay.end_script(carrier.folder, self.mark, profile_of(node))
        try:
            ended = self.transports.to(node).run(f"{ENVIRONMENT}{script}", deadline=_LIMIT).exit == 0
        except MacfleetError:
            ended = False
        if not ended:
            words = f"its relay could not be removed; it ends by itself within {part_relay.LIFE // 60} min"
            events.emit(Event("relay.failed", node.name, {"words": words}))


class SiteCourier:
    """Where the parts of one node come from (port `Courier`)."""

    def __init__(self, relay: SiteRelay, node: Node, site: _Site | None, events: Events) -> None:
        self._relay = relay
        self._events = events
        self._node = node
        self._site = site

    @contextmanager
    def turn(self, part: Part) -> Iterator[Offer | None]:
        """Wait for who brings the part; yield where it is served, None when it comes from here."""
        with ExitStack() as alone:
            offer = None
            if self._site is not None and part.size >= SMALLEST:
                with self._relay.guard:
                    lock = self._site.locks[part.name]
                alone.enter_context(lock)
                offer = self._offer(self._site, part)
                if offer is not None:
                    alone.close()
            self._relay.go_on(self._node.name)
            yield offer

    def brought(self, part: Part, folder: str, sent: int, offer: Offer | None) -> None:
        """Tell where a part came from, and keep one that came from here for the site."""
        detail: dict[str, Json] = {"part": part.name, "bytes": part.size, "sent": sent}
        if offer is not None:
            detail["from"] = offer.node
        self._events.emit(Event("part.brought", self._node.name, detail))
        if self._site is None or offer is not None or part.size < SMALLEST:
            return
        script = part_relay.keep_script(folder, self._relay.mark, part.name)
        done = self._relay.transports.to(self._node).run(f"{ENVIRONMENT}{script}", deadline=_LIMIT)
        if done.exit != 0:
            self._failed(f"{part.name} could not be kept for the site: {_said(done.stderr)}")
            return
        with self._relay.guard:
            fresh = _Carrier(self._node, folder, Secret(self._relay.nonce() + self._relay.nonce()))
            self._site.carriers.setdefault(self._node.name, fresh)
            self._site.has[part.name] = self._node.name

    def refused(self, offer: Offer, error: MacfleetError) -> None:
        """Tell that an offer came to nothing; its node is not asked again."""
        self._relay.go_on(self._node.name)
        if self._site is not None:
            with self._relay.guard:
                self._site.unreached.add(offer.node)
        first = error.diagnostics[0]
        self._failed(f"{first.summary} ({first.why or first.code}); it comes from the controller")

    def _offer(self, site: _Site, part: Part) -> Offer | None:
        """Return where the part is served; None where nobody has it, or who has it does not serve it."""
        with self._relay.guard:
            name = site.has.get(part.name, "")
            carrier = site.carriers.get(name)
            usable = carrier is not None and name not in site.unreached and name != self._node.name
        if carrier is None or not usable:
            return None
        with carrier.turn:
            why = self._served(carrier, part)
        if why:
            self._relay.go_on(self._node.name)
            self._failed(f"{name} does not serve {part.name}: {why}; it comes from the controller")
            return None
        host = carrier.node.site_address or carrier.node.endpoint.host
        address = f"[{host}]" if ":" in host else host
        return Offer(name, f"http://{address}:{carrier.port}/{part.name}", carrier.token)

    def _served(self, carrier: _Carrier, part: Part) -> str:
        """Have a carrier serve a part; return why it does not, empty when it does."""
        relay, node = self._relay, carrier.node
        now = relay.clock.monotonic()
        if part.name in carrier.served and now < carrier.until - _SPARE:
            return ""
        ending = bool(carrier.served) and now >= carrier.until - _SPARE
        script = part_relay.serve_script(
            carrier.folder,
            relay.mark,
            part.name,
            image=image_of(node),
            digest=hashlib.sha256(carrier.token.reveal().encode()).hexdigest(),
            profile=profile_of(node),
            anew=ending,
        )
        try:
            done = relay.transports.to(node).run(f"{ENVIRONMENT}{script}", deadline=_LIMIT)
        except MacfleetError as error:
            return error.diagnostics[0].summary
        if ending:
            carrier.served.clear()
        word, _, port = done.stdout.decode("ascii", "replace").strip().partition(" ")
        if done.exit == part_relay.NO_IMAGE:
            return f"{image_of(node) or 'loadgen_image'} is not on it"
        if done.exit != 0 or word != "port" or not port.isdecimal():
            return _said(done.stderr)
        if not carrier.served:
            carrier.until = now + part_relay.LIFE
        carrier.served.add(part.name)
        carrier.port = int(port)
        return ""

    def _failed(self, words: str) -> None:
        self._events.emit(Event("relay.failed", self._node.name, {"words": words}))


def takes_part(node: Node) -> bool:
    """Whether a node gets parts from others of its site and serves them."""
    return node.relay and bool(node.site) and node.delivery == "push"


def image_of(node: Node) -> str:
    """Return what the node calls the image a relay is run from: ``loadgen_image``, empty when it has none."""
    found = node.variables.get("loadgen_image")
    return found if isinstance(found, str) else ""


def profile_of(node: Node) -> str:
    """Return the node's Colima profile."""
    found = node.variables.get("colima_profile")
    return found if isinstance(found, str) and found else "default"


def _said(stderr: bytes) -> str:
    return stderr.decode("utf-8", "replace").strip()[-300:] or "the node said nothing"
