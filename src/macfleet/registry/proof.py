"""Bytes that are passed on only with their digest proven."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from macfleet.model.image import Blob
from macfleet.registry import failures


def verified(chunks: Iterable[bytes], blob: Blob) -> Iterator[bytes]:
    """Pass chunks on, holding each one back until the next, so that the last comes only after the proof.

    Raises:
        MacfleetError: E0604, size or digest are not the blob's; at most `blob.size` bytes were passed on.
    """
    digest = hashlib.sha256()
    size = 0
    held = b""
    for chunk in chunks:
        size += len(chunk)
        if size > blob.size:
            raise failures.not_genuine(blob.digest, f"more than the promised {blob.size} bytes came")
        digest.update(chunk)
        if held:
            yield held
        held = chunk
    found = f"sha256:{digest.hexdigest()}"
    if size != blob.size or found != blob.digest:
        raise failures.not_genuine(blob.digest, f"{size} of {blob.size} bytes came, with digest {found}")
    yield held
