"""Blobs kept on this machine under their digests: read from a registry once, however many nodes get them."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

from macfleet.model.image import Blob
from macfleet.registry.proof import verified

_PIECE = 256 * 1024


class BlobCache:
    """A folder of proven blobs; threads may share it, and processes too.

    Args:
        folder: made when the first blob is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def read(self, blob: Blob, fetch: Callable[[], Iterable[bytes]], offset: int = 0) -> Iterator[bytes]:
        """Yield a blob's bytes from an offset, fetching it whole where it is not kept yet.

        Raises:
            MacfleetError: E0604 what was fetched is not the blob; nothing of it is kept.
        """
        with self._lock(blob.digest):
            path = self._folder / blob.digest.replace(":", "-")
            if not path.is_file() or path.stat().st_size != blob.size:
                self._keep(path, blob, fetch)
        with path.open("rb") as file:
            file.seek(offset)
            while piece := file.read(_PIECE):
                yield piece

    def others(self, needed: Collection[str]) -> dict[str, int]:
        """Return the sizes in bytes of kept blobs that are not among the needed digests, by digest."""
        if not self._folder.is_dir():
            return {}
        found = {
            path.name.replace("-", ":", 1): path.stat().st_size for path in self._folder.glob("sha256-*")
        }
        return {digest: size for digest, size in sorted(found.items()) if digest not in needed}

    def drop(self, digests: Iterable[str]) -> None:
        """Remove blobs; one that is read at this moment is read to its end."""
        for digest in digests:
            with self._lock(digest):
                (self._folder / digest.replace(":", "-")).unlink(missing_ok=True)

    def _keep(self, path: Path, blob: Blob, fetch: Callable[[], Iterable[bytes]]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=self._folder, prefix=".part-", delete=False) as file:
            aside = Path(file.name)
            try:
                file.writelines(verified(fetch(), blob))
            except BaseException:
                aside.unlink()
                raise
        aside.replace(path)

    def _lock(self, digest: str) -> threading.Lock:
        with self._guard:
            return self._locks[digest]
