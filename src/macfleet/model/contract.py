"""What is promised: routes, buckets, service levels, fixtures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from macfleet.model.diagnostic import Location
from macfleet.model.load import FixtureBody


@dataclass(frozen=True, slots=True)
class Route:
    """A promised route and the features it must have."""

    path: str
    stream: bool = False
    usage: bool = False


@dataclass(frozen=True, slots=True)
class Slo:
    """Service levels of a bucket: seconds, and errors as a share; None means not promised."""

    ttft_p95: float | None = None
    itl_p95: float | None = None
    e2e_p95: float | None = None
    errors: float | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """Fixtures of one context length.

    Attributes:
        context: prompt length class in tokens.
        output: tokens each answer must have.
        fixtures: the frozen requests, sorted by id.
    """

    name: str
    context: int
    output: int
    slo: Slo
    fixtures: tuple[FixtureBody, ...]


@dataclass(frozen=True, slots=True)
class ClientDiscipline:
    """How every measurement talks to an endpoint; timeouts in seconds, retries always 0."""

    keep_alive: bool = True
    connect_timeout: float = 2.0
    stall_timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody who uses the service, and what it may have at most; None means no cap.

    Attributes:
        in_flight: requests at the same time; per_minute: requests in a minute.
    """

    name: str
    in_flight: int | None = None
    per_minute: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """What one engine is assumed to need, in bytes: its weights, each decode slot's cache, and the rest."""

    weights: int
    per_slot: int = 0
    overhead: int = 0
    where: Location | None = None

    def needed(self, slots: int) -> int:
        """Return the bytes of an engine with so many decode slots."""
        return self.weights + slots * self.per_slot + self.overhead


@dataclass(frozen=True, slots=True)
class Contract:
    """A parsed contract.

    Attributes:
        hash: canonical hash over contract and fixtures, hex SHA-256.
        sent_hash: hash of the bytes to be sent: bodies and nonce rule over a fixed range of indices.
        engine_slots: decode slots, equal in all arms.
        duration: seconds per arm and cell.
        primary: name of the bucket whose cells at concurrency 1 and 4 are judged.
        fixture_hashes: sha256 by fixture path.
        tenants: who uses the service, sorted by name.
        memory: None where nothing is assumed.
    """

    name: str
    version: int
    hash: str
    sent_hash: str
    routes: tuple[Route, ...]
    model: str
    engine_slots: int
    concurrency: tuple[int, ...]
    buckets: tuple[Bucket, ...]
    primary: str
    client: ClientDiscipline
    duration: float
    fixture_hashes: Mapping[str, str]
    tenants: tuple[Tenant, ...] = ()
    memory: MemoryNeed | None = None

    def bucket(self, name: str) -> Bucket:
        """Return a bucket by name.

        Raises:
            KeyError: there is no such bucket.
        """
        return next(bucket for bucket in self.buckets if bucket.name == name)
