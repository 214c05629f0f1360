"""How long images took to become ready on nodes, kept by the digest of their manifest."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import TypeAdapter, ValidationError


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The last start of an image on a node: seconds until it was healthy; when, since the epoch."""

    seconds: int
    at: float


_STARTS = TypeAdapter(dict[str, ColdStart])


class ColdStarts:
    """The last cold start of each image on each node.

    Args:
        folder: made when the first one is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, manifest: str) -> Mapping[str, ColdStart]:
        """Return an image's cold starts by node; none that this version cannot read."""
        with suppress(FileNotFoundError, ValidationError):
            return _STARTS.validate_json(self._path(manifest).read_bytes())
        return {}

    def keep(self, manifest: str, starts: Mapping[str, ColdStart]) -> None:
        """Keep these starts beside those of other nodes."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept = dict(sorted({**self.of(manifest), **starts}.items()))
        with NamedTemporaryFile(dir=self._folder, prefix=".part-", delete=False) as file:
            file.write(_STARTS.dump_json(kept))
        Path(file.name).replace(self._path(manifest))

    def _path(self, manifest: str) -> Path:
        return self._folder / f"{manifest.replace(':', '-')}.json"
