"""Runs the load client where it should sit: on the node, in the container's network, or here."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from macfleet.executors import vantage_scripts as scripts
from macfleet.executors.vantage_lines import PingAnswer, SegmentLines, read_endpoint, read_ping
from macfleet.executors.vantage_trouble import failed, missing_setting
from macfleet.model.contract import Contract
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.json import Json, JsonObject
from macfleet.model.load import EndpointReport, LoadSpec, Sample, SegmentReport, Vantage
from macfleet.model.node import Node
from macfleet.model.ports import Completed, Transports

# Seconds added to what a segment may take: start of Python or a container, and the last lines.
SLACK = 60.0
INSTALL_LIMIT = 300.0
_PIECE = 256 * 1024
# A pushed image is named by a tag that spells its manifest digest; that pins it as well.
_PINNED = re.compile(r"(?:@sha256:|:sha256-)[0-9a-f]{64}$")


class PackedClient(Protocol):
    """The portable archive: its ``.tar.gz`` and the SHA-256 of the tar inside."""

    @property
    def path(self) -> Path:
        """Where the file is."""

    @property
    def digest(self) -> str:
        """Hex digest."""


class LocalClient(Protocol):
    """The load client in process, for the client's own vantage."""

    def measure(
        self,
        spec: LoadSpec,
        sink: Callable[[Sample], None],
        *,
        archive: str,
        events: Callable[[Sample, Sequence[int]], None] | None = None,
    ) -> SegmentReport:
        """Run one segment from here."""

    def ping(self, job: JsonObject) -> JsonObject:
        """Time small requests from here."""


@dataclass(frozen=True, slots=True)
class VantageSettings:
    """Where things are on every node; a node variable of the given name overrides each.

    Attributes:
        image: ``loadgen_image``: reference by digest of an image with Python 3.11 or newer.
        container: ``loadgen_container``: name of the container whose network is entered.
        python: ``python``: absolute path of a Python on the node; empty means Homebrew's.
        profile: ``colima_profile``.
    """

    image: str = ""
    container: str = ""
    python: str = ""
    profile: str = "default"

    def of(self, node: Node) -> VantageSettings:
        """Return the settings of one node."""

        def value(name: str, otherwise: str) -> str:
            found = node.variables.get(name)
            return found if isinstance(found, str) and found else otherwise

        return VantageSettings(
            value("loadgen_image", self.image),
            value("loadgen_container", self.container),
            value("python", self.python),
            value("colima_profile", self.profile),
        )


class VantageLoadGenerator:
    """The load client at any vantage of a node; one archive serves all.

    Args:
        transports: connections to nodes.
        archive: builds or finds the archive; called once, when it is first needed.
        local: the client in process.
    """

    def __init__(
        self,
        transports: Transports,
        archive: Callable[[], PackedClient],
        local: LocalClient,
        settings: VantageSettings | None = None,
    ) -> None:
        self._transports = transports
        self._build = archive
        self._local = local
        self._settings = settings or VantageSettings()
        self._built: PackedClient | None = None
        self._building = threading.Lock()

    def measure(
        self,
        node: Node,
        vantage: Vantage,
        spec: LoadSpec,
        sink: Callable[[Sample], None],
        events: Callable[[Sample, Sequence[int]], None] | None = None,
    ) -> SegmentReport:
        """Run one segment; samples go to `sink` as they are finished, their token events to `events`.

        At the client's vantage a loopback address means the node's, through a tunnel.

        Raises:
            MacfleetError: the client cannot run there (E0902 to E0905, E0907, E0908) or what it wrote
                cannot be read (E0906, E0909).
        """
        digest = self._archive().digest
        if vantage is Vantage.CLIENT:
            with self._reached(node, spec.base_url) as url:
                return self._local.measure(replace(spec, base_url=url), sink, archive=digest, events=events)
        lines = SegmentLines(node.name, spec, sink, events)
        arguments = ("measure", "--archive", digest, *(("--events",) if events is not None else ()))
        deadline = spec.warmup + spec.duration + spec.grace + SLACK
        self._run(node, vantage, arguments, spec.document(), deadline=deadline, sink=lines.feed)
        return lines.settled(digest)

    def probe(self, node: Node, arm: str, base_url: str, contract: Contract) -> EndpointReport:
        """Ask the promised routes of one arm from the node's loopback (raises MacfleetError)."""
        timeout = contract.client.stall_timeout
        job: JsonObject = {
            "arm": arm,
            "base_url": base_url,
            "routes": [asdict(route) for route in contract.routes],
            "model": contract.model,
            "timeout": timeout,
        }
        # Two requests a route, each with a connect and a wait.
        deadline = 4 * timeout * len(contract.routes) + SLACK
        ended = self._run(node, Vantage.NODE_LOOPBACK, ("probe",), job, deadline=deadline)
        return read_endpoint(node.name, ended.stdout)

    def ping(
        self,
        node: Node,
        vantage: Vantage,
        url: str,
        *,
        requests: int,
        keep_alive: bool,
        concurrency: int = 1,
        deadline: float = 300.0,
    ) -> PingAnswer:
        """Time small GET requests from a vantage (raises MacfleetError)."""
        job: dict[str, Json] = {
            "url": url,
            "requests": requests,
            "keep_alive": keep_alive,
            "concurrency": concurrency,
        }
        if vantage is Vantage.CLIENT:
            with self._reached(node, url) as reached:
                answer = self._local.ping(job | {"url": reached})
            return PingAnswer.model_validate(answer)
        ended = self._run(node, vantage, ("ping",), job, deadline=deadline)
        return read_ping(node.name, ended.stdout)

    def _run(
        self,
        node: Node,
        vantage: Vantage,
        arguments: tuple[str, ...],
        job: Mapping[str, Json],
        *,
        deadline: float,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run the client on the node, sending the archive first when it is not there yet."""
        script = self._script(node, vantage, arguments, json.dumps(job, separators=(",", ":")))
        transport = self._transports.to(node)
        ended = transport.run(script, deadline=deadline, sink=sink)
        if ended.exit == scripts.NOT_INSTALLED:
            self._install(node)
            ended = transport.run(script, deadline=deadline, sink=sink)
        if ended.exit != 0:
            raise failed(node, vantage, ended, self._settings.of(node).image)
        return ended

    def _script(self, node: Node, vantage: Vantage, arguments: tuple[str, ...], job: str) -> str:
        settings, digest = self._settings.of(node), self._archive().digest
        if vantage is Vantage.NODE_LOOPBACK:
            pythons = (settings.python,) if settings.python else scripts.PYTHONS
            return scripts.on_node(digest, arguments, job, pythons)
        if not _PINNED.search(settings.image):
            raise MacfleetError(missing_setting(node, "loadgen_image", settings.image))
        if not settings.container:
            raise MacfleetError(missing_setting(node, "loadgen_container", ""))
        return scripts.in_container(
            digest,
            arguments,
            job,
            image=settings.image,
            container=settings.container,
            profile=settings.profile,
        )

    def _install(self, node: Node) -> None:
        archive = self._archive()
        ended = self._transports.to(node).run(
            scripts.install(archive.digest), deadline=INSTALL_LIMIT, stdin=_pieces(archive.path)
        )
        if ended.exit != 0:
            raise failed(node, Vantage.NODE_LOOPBACK, ended, "")

    def _archive(self) -> PackedClient:
        with self._building:
            if self._built is None:
                self._built = self._build()
            return self._built

    @contextmanager
    def _reached(self, node: Node, url: str) -> Iterator[str]:
        """Yield the address under which this machine reaches `url` of the node."""
        parts = urlsplit(url)
        if parts.hostname not in {"127.0.0.1", "localhost", "::1"}:
            yield url
            return
        with self._transports.to(node).tunnel(parts.port or 80) as port:
            yield parts._replace(netloc=f"127.0.0.1:{port}").geturl()


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece
