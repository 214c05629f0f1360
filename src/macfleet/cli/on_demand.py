"""Adapters that are imported when they are first asked: most commands never speak HTTP or offer load."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macfleet.executors.vantage import PackedClient
    from macfleet.model.contract import Contract
    from macfleet.model.gateway import Absence, Gateway, Out
    from macfleet.model.image import ResolvedImage
    from macfleet.model.json import Json, JsonObject
    from macfleet.model.load import EndpointReport, LoadSpec, Sample, SegmentReport, Vantage
    from macfleet.model.node import Node
    from macfleet.model.ports import (
        Events,
        LoadGenerator,
        Part,
        Pings,
        RunStore,
        RunWriter,
        Secrets,
        Transports,
    )
    from macfleet.model.run import RunManifest
    from macfleet.model.secret import Secret
    from macfleet.registry import BlobCache, RegistryResolver


class SecretsOnDemand:
    """The port `Secrets`: most playbooks name none."""

    def __init__(self, secrets: Callable[[], Secrets]) -> None:
        self._secrets = secrets

    def resolve(self, reference: str) -> Secret:
        """Return the secret (raises MacfleetError)."""
        return self._secrets().resolve(reference)


class RunsOnDemand:
    """The port `RunStore`: a command that only looks at nodes records none and reads none."""

    def __init__(self, runs: Callable[[], RunStore]) -> None:
        self._runs = runs

    def create(self, run_id: str) -> RunWriter:
        """Open a new run folder."""
        return self._runs().create(run_id)

    def left(self, run_id: str, folder: str) -> Mapping[str, Mapping[str, str]]:
        """Read what a run and those that went on with it left below `folder` (raises MacfleetError)."""
        return self._runs().left(run_id, folder)

    def ids(self) -> tuple[str, ...]:
        """Ids of finished runs, oldest first."""
        return self._runs().ids()

    def manifest(self, run_id: str) -> RunManifest:
        """Read a run's manifest (raises MacfleetError when it is missing or damaged)."""
        return self._runs().manifest(run_id)

    def document(self, run_id: str, path: str) -> Json:
        """Read one JSON document of a run."""
        return self._runs().document(run_id, path)


class RegistryOnDemand:
    """The ports `ImageResolver` and `Sources` over one registry client; threads may share it.

    Args:
        connect: makes the client; its errors are raised by the first call that needs it.
        kept: folder for the layers that travel to nodes.
    """

    def __init__(self, connect: Callable[[], AbstractContextManager[RegistryResolver]], kept: Path) -> None:
        self._connect = connect
        self._kept_in = kept
        self._blobs: BlobCache | None = None
        self._lock = threading.Lock()
        self._kept = ExitStack()
        self._client: RegistryResolver | None = None

    def resolve(self, reference: str, platform: str) -> ResolvedImage:
        """Resolve and verify a reference for one platform (raises MacfleetError)."""
        return self._opened().resolve(reference, platform)

    def open(self, source: str) -> Iterator[bytes]:
        """Yield the bytes of a source, verified on the way (raises MacfleetError)."""
        from macfleet.registry import OciSources

        return OciSources(self._opened(), self._cache()).open(source)

    def parts(self, source: str) -> Sequence[Part]:
        """Return the parts of a source; layers are kept on this machine (raises MacfleetError)."""
        from macfleet.registry import OciSources

        return OciSources(self._opened(), self._cache()).parts(source)

    def close(self) -> None:
        """Close the client, if there is one."""
        self._kept.close()

    def _cache(self) -> BlobCache:
        from macfleet.registry import BlobCache

        with self._lock:
            if self._blobs is None:
                self._blobs = BlobCache(self._kept_in)
            return self._blobs

    def _opened(self) -> RegistryResolver:
        with self._lock:
            if self._client is None:
                self._client = self._kept.enter_context(self._connect())
            return self._client


class GatewayOnDemand:
    """The port `Gateway`: a command that only looks takes no node out of service; threads may share it."""

    def __init__(self, make: Callable[[], Gateway]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._gateway: Gateway | None = None

    def absence(self, node: Node) -> Absence | None:
        """Return why the node is out of service; None while it is in service."""
        return self._made().absence(node)

    def drain(self, node: Node, *, deadline: float, reason: str, run: str, events: Events) -> Out:
        """Take the node out of service (raises MacfleetError where that is refused)."""
        return self._made().drain(node, deadline=deadline, reason=reason, run=run, events=events)

    def undrain(self, node: Node, *, events: Events) -> str:
        """Put the node back; return in words what was done (raises MacfleetError)."""
        return self._made().undrain(node, events=events)

    def leave_out(self, node: Node, *, why: str) -> str:
        """Let the node go as it is; return in words how it comes back."""
        return self._made().leave_out(node, why=why)

    def _made(self) -> Gateway:
        with self._lock:
            if self._gateway is None:
                self._gateway = self._make()
            return self._gateway


class InProcessOnDemand:
    """The load client in process."""

    def measure(
        self,
        spec: LoadSpec,
        sink: Callable[[Sample], None],
        *,
        archive: str,
        events: Callable[[Sample, Sequence[int]], None] | None = None,
    ) -> SegmentReport:
        """Run one segment from here; `archive` is the digest the other vantages run."""
        from macfleet.loadgen.local import InProcessClient

        return InProcessClient().measure(spec, sink, archive=archive, events=events)

    def ping(self, job: JsonObject) -> JsonObject:
        """Time small requests from here."""
        from macfleet.loadgen.local import InProcessClient

        return InProcessClient().ping(job)


class LoadOnDemand:
    """The port `LoadGenerator`: a command that only looks at nodes offers no load."""

    def __init__(self, transports: Transports) -> None:
        self._transports = transports
        self._lock = threading.Lock()
        self._client: LoadGenerator | None = None

    def measure(
        self,
        node: Node,
        vantage: Vantage,
        spec: LoadSpec,
        sink: Callable[[Sample], None],
        events: Callable[[Sample, Sequence[int]], None] | None = None,
    ) -> SegmentReport:
        """Run one segment; samples go to `sink` as they are finished (raises MacfleetError)."""
        return self._opened().measure(node, vantage, spec, sink, events)

    def probe(self, node: Node, arm: str, base_url: str, contract: Contract) -> EndpointReport:
        """Ask the promised routes of one arm from the node's loopback (raises MacfleetError)."""
        return self._opened().probe(node, arm, base_url, contract)

    def ping(
        self,
        node: Node,
        vantage: Vantage,
        url: str,
        *,
        requests: int,
        keep_alive: bool,
        concurrency: int = 1,
    ) -> Pings:
        """Time small GET requests (raises MacfleetError)."""
        return self._opened().ping(
            node, vantage, url, requests=requests, keep_alive=keep_alive, concurrency=concurrency
        )

    def _opened(self) -> LoadGenerator:
        from macfleet.executors.vantage import VantageLoadGenerator

        with self._lock:
            if self._client is None:
                self._client = VantageLoadGenerator(self._transports, packed_client, InProcessOnDemand())
            return self._client


def packed_client() -> PackedClient:
    """Return the load client's archive, built where it is missing."""
    from macfleet.sources.archive import ensure_archive

    return ensure_archive()
