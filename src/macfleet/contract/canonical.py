"""Hashes that answer "did the prompts change?" for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import rfc8785

from macfleet.model.contract import Bucket
from macfleet.model.json import Json, JsonObject
from macfleet.model.nonce import nonce, with_nonce

SENT_SEGMENTS = 2
SENT_INDICES = 32


def canonical_hash(promise: JsonObject, fixtures: Mapping[str, Json]) -> str:
    """Return the hex SHA-256 of contract and fixtures in the canonical form of RFC 8785.

    `fixtures` is keyed by path beside the contract. Formatting, comments and the order of keys do not
    count; every value does.

    Raises:
        ValueError: a value has no canonical form (an integer beyond 2^53, a lone surrogate).
    """
    document: Any = {"contract": promise, "fixtures": fixtures}
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def sent_hash(contract_hash: str, buckets: Sequence[Bucket], concurrency: Sequence[int]) -> str:
    """Return the hex SHA-256 over the bytes that will be sent.

    The range is fixed: each bucket and concurrency, segments 0 and 1, indices 0 to 31, fixtures in turn
    by index; what a run happened to reach plays no part.
    """
    digest = hashlib.sha256()
    for bucket in sorted(buckets, key=lambda each: each.name):
        for streams in concurrency:
            for body in _bodies(contract_hash, bucket, cell_name(bucket.name, streams)):
                digest.update(len(body).to_bytes(8))
                digest.update(body)
    return digest.hexdigest()


def cell_name(bucket: str, concurrency: int) -> str:
    """Return a cell's name, such as ``short×4``."""
    return f"{bucket}×{concurrency}"


def _bodies(contract_hash: str, bucket: Bucket, cell: str) -> Iterator[bytes]:
    """Yield what would be sent, written once a fixture: bodies differ by their nonce alone."""
    # A text that no fixture holds: it would hold its own hash.
    place = f"nonce of {contract_hash}"
    written = [with_nonce(fixture.body, place) for fixture in bucket.fixtures]
    for segment in range(SENT_SEGMENTS):
        for index in range(SENT_INDICES):
            own = nonce(contract_hash, cell, segment, index).encode()
            yield written[index % len(written)].replace(place.encode(), own)
