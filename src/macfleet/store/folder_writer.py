"""One run folder while it is written."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import TYPE_CHECKING

from macfleet.analysis.frames import sample_frame, series_frame
from macfleet.model.json import Json, JsonObject
from macfleet.model.load import Sample
from macfleet.model.run import RunManifest, TokenLines
from macfleet.store.manifests import manifest_document
from macfleet.store.sealing import digest_of, files_below, make_read_only, sync
from macfleet.store.token_events import is_token_events, write_token_events

if TYPE_CHECKING:
    import polars as pl

PARTIAL = ".partial"
"""What the folder of a run that is not sealed is called besides its id."""
_APPENDING = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
"""Without indentation: with it the standard library encodes in Python, ten times as slowly."""


@dataclass(frozen=True, slots=True)
class FolderWriter:
    """A run folder being written; several threads may write different files at once.

    Attributes:
        partial: the folder while the run lasts.
        final: its name once the run is sealed.
        _places: where each path lies whose folder is there.
        _forced: paths whose content is on disk already.
    """

    run_id: str
    partial: Path
    final: Path
    _places: dict[str, Path] = field(default_factory=dict, repr=False, compare=False)
    _forced: set[str] = field(default_factory=set, repr=False, compare=False)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.run_id

    def json(self, path: str, document: Json) -> None:
        """Write one JSON document; keys sorted, so that equal content has an equal digest."""
        self.text(path, document_text(document))

    def text(self, path: str, content: str) -> None:
        """Write one text file; it is on disk when this returns."""
        _put(self._place(path), content.encode())
        self._forced.add(path)

    def append(self, path: str, text: str) -> None:
        """Append to one text file, handed to the system at once; the end of the run forces it to disk."""
        self._forced.discard(path)
        handle = os.open(self._place(path), _APPENDING, 0o644)
        try:
            os.write(handle, text.encode())
        finally:
            os.close(handle)

    @contextmanager
    def lines(self, path: str) -> Iterator[Callable[[JsonObject], None]]:
        """Append JSON lines; each is handed to the system at once and forced to disk every second.

        ``raw….ndjson`` and ``samples….ndjson`` are dropped when `samples` writes Parquet into their folder,
        ``series….ndjson`` when `series` does, ``events….ndjson`` when `events` does.
        """
        self._forced.discard(path)
        handle = os.open(self._place(path), _APPENDING, 0o644)
        lock = Lock()
        synced = time.monotonic()

        def write(row: JsonObject) -> None:
            nonlocal synced
            line = json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
            with lock:
                os.write(handle, line.encode())
                if time.monotonic() - synced >= 1:
                    os.fsync(handle)
                    synced = time.monotonic()

        try:
            yield write
        finally:
            os.fsync(handle)
            os.close(handle)

    def samples(self, path: str, samples: Iterable[Sample]) -> None:
        """Write requests as Parquet and drop the raw lines beside it."""
        frame = sample_frame(samples)
        self._parquet(path, frame, raw=("raw*", "samples*"))

    def events(self, path: str, parts: Sequence[TokenLines]) -> None:
        """Write token events as Parquet and drop the raw lines beside it; nothing where there are none."""
        place = self._place(path)
        aside = place.with_name(place.name + ".new")
        if write_token_events([(part, self.partial / part.path) for part in parts], aside):
            sync(aside)
            aside.rename(place)
        _drop_raw(place.parent, ("events*",))

    def series(self, path: str, rows: Sequence[JsonObject]) -> None:
        """Write a time series as Parquet and drop the raw lines beside it."""
        self._parquet(path, series_frame(rows), raw=("series*",))

    def adopt(self, run_id: str, folder: str) -> None:
        """Copy what a run that broke off holds below `folder` to the same place in this one."""
        self._forced.clear()
        source = self.final.with_name(f"{run_id}{PARTIAL}") / folder
        shutil.copytree(source, self._place(folder), dirs_exist_ok=True)

    def finish(self, manifest: RunManifest) -> str:
        """Seal the run: digests into the manifest, everything on disk, the final name, read-only.

        Raw lines that were never turned into Parquet stay and are sealed too.
        """
        paths = [path for path in files_below(self.partial) if path != "manifest.json"]
        for path in paths:
            if path not in self._forced:
                sync(self.partial / path)
        files = {path: digest_of(self.partial / path) for path in paths}
        sealed = replace(manifest, files=files, droppable=tuple(filter(is_token_events, paths)))
        self.json("manifest.json", manifest_document(sealed))
        for folder in (*(path for path in self.partial.rglob("*") if path.is_dir()), self.partial):
            sync(folder)
        self.partial.rename(self.final)
        sync(self.final.parent)
        make_read_only(self.final)
        return str(self.final)

    def _parquet(self, path: str, frame: pl.DataFrame, raw: Sequence[str]) -> None:
        place = self._place(path)
        aside = place.with_name(place.name + ".new")
        frame.write_parquet(aside, compression="zstd")
        sync(aside)
        aside.rename(place)
        _drop_raw(place.parent, raw)

    def _place(self, path: str) -> Path:
        # A node's log is appended to dozens of times.
        if found := self._places.get(path):
            return found
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts:
            raise ValueError(f"{path!r} leaves the run folder")
        place = self.partial / parts
        place.parent.mkdir(parents=True, exist_ok=True)
        self._places[path] = place
        return place


def document_text(document: Json) -> str:
    """Return a document with a line for each of its entries, and for each entry of those."""
    if not isinstance(document, dict):
        return f"{_ENCODER.encode(document)}\n"
    entries = (f" {_ENCODER.encode(key)}: {_entry_text(value)}" for key, value in sorted(document.items()))
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _entry_text(value: Json) -> str:
    if isinstance(value, dict) and value:
        lines = [f"{_ENCODER.encode(key)}: {_ENCODER.encode(each)}" for key, each in sorted(value.items())]
        return "{\n  " + ",\n  ".join(lines) + "\n }"
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return "[\n  " + ",\n  ".join(map(_ENCODER.encode, value)) + "\n ]"
    return _ENCODER.encode(value)


def _drop_raw(folder: Path, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        for lines in folder.glob(f"{pattern}.ndjson"):
            lines.unlink()


def _put(place: Path, content: bytes) -> None:
    """Write through a second name, so that a file is whole or absent."""
    aside = place.with_name(place.name + ".new")
    with aside.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    aside.rename(place)
