"""Run folders held in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import Json, JsonObject
from macfleet.model.load import Sample
from macfleet.model.run import RunManifest, TokenLines

LOAD_TEST = RunManifest(
    id="20261123T041205Z-stage5-1a2b",
    kind="loadtest",
    stage="loadtest",
    contract="9f2c" + "0" * 60,
    sent="5a5a" + "0" * 60,
    git_commit="abc",
    git_dirty=False,
    nodes=("mac-01",),
    arms=("bare", "container"),
    vantage="node-loopback",
    started="2026-11-23T04:12:05Z",
    finished="2026-11-23T05:12:05Z",
    who="ops",
    why="",
    client_version="0.1.0",
)
"""What a load test of two arms on one node says of itself."""


@dataclass(slots=True)
class FakeRun:
    """A `RunWriter` that keeps what was written in `files`, by path; `sealed` is its manifest.

    `beside` are the runs of its store.
    """

    id: str
    files: dict[str, Json] = field(default_factory=dict)
    sealed: RunManifest | None = None
    beside: Mapping[str, FakeRun] = field(default_factory=dict, repr=False)

    def json(self, path: str, document: Json) -> None:
        """Keep a document."""
        self.files[path] = document

    @contextmanager
    def lines(self, path: str) -> Iterator[Callable[[JsonObject], None]]:
        """Keep rows as a list."""
        rows: list[JsonObject] = []
        self.files[path] = rows
        yield rows.append

    def text(self, path: str, content: str) -> None:
        """Keep a text."""
        self.files[path] = content

    def append(self, path: str, text: str) -> None:
        """Append to a text."""
        self.files[path] = f"{self.files.get(path, '')}{text}"

    def samples(self, path: str, samples: Iterable[Sample]) -> None:
        """Keep requests as a list of documents."""
        self.files[path] = [sample.document() for sample in samples]

    def events(self, path: str, parts: Sequence[TokenLines]) -> None:
        """Keep the raw lines of every part, one after the other."""
        rows = [row for part in parts for row in self._rows(part.path)]
        if rows:
            self.files[path] = rows

    def series(self, path: str, rows: Sequence[JsonObject]) -> None:
        """Keep a series as it is."""
        self.files[path] = list(rows)

    def adopt(self, run_id: str, folder: str) -> None:
        """Take what another run of the store keeps below a folder."""
        found = self.beside[run_id].files.items()
        self.files |= {path: file for path, file in found if path.startswith(f"{folder}/")}

    def _rows(self, path: str) -> list[Json]:
        """Return raw lines, whether they were written one by one or as a text."""
        held = self.files.get(path, [])
        if isinstance(held, str):
            return [json.loads(line) for line in held.splitlines()]
        return list(held) if isinstance(held, Sequence) else []

    def finish(self, manifest: RunManifest) -> str:
        """Seal the run; return the name a folder would have."""
        self.sealed = manifest
        return f"runs/{self.id}"


@dataclass(slots=True)
class FakeRuns:
    """A `RunStore` in memory; `opened` holds every run by id."""

    opened: dict[str, FakeRun] = field(default_factory=dict)

    def create(self, run_id: str) -> FakeRun:
        """Open a run (raises MacfleetError E0951 when it is finished)."""
        known = self.opened.get(run_id)
        if known is not None and known.sealed is not None:
            raise MacfleetError(Diagnostic("E0951", f"run {run_id} is finished"))
        return self.opened.setdefault(run_id, FakeRun(run_id, beside=self.opened))

    def left(self, run_id: str, folder: str) -> Mapping[str, Mapping[str, str]]:
        """Return what a run and those that went on with it wrote below a folder, as texts."""
        found: dict[str, dict[str, str]] = {}
        for run in sorted(self.opened.values(), key=lambda each: each.id):
            begun = run.files.get(f"{folder}/begun.json")
            if isinstance(begun, Mapping) and run_id in (run.id, begun.get("resumes")):
                below = {path: file for path, file in run.files.items() if path.startswith(f"{folder}/")}
                found[run.id] = {
                    path.removeprefix(f"{folder}/"): _as_text(path, file) for path, file in below.items()
                }
        return found

    def ids(self) -> tuple[str, ...]:
        """Ids of finished runs, oldest first."""
        return tuple(sorted(run.id for run in self.opened.values() if run.sealed is not None))

    def manifest(self, run_id: str) -> RunManifest:
        """A finished run's manifest (raises MacfleetError E0950 when there is none)."""
        run = self.opened.get(run_id)
        if run is None or run.sealed is None:
            raise MacfleetError(Diagnostic("E0950", f"there is no run {run_id}"))
        return run.sealed

    def document(self, run_id: str, path: str) -> Json:
        """One document of a run (raises MacfleetError E0954 when it was not written)."""
        self.manifest(run_id)
        files = self.opened[run_id].files
        if path not in files:
            raise MacfleetError(Diagnostic("E0954", f"run {run_id}: {path} is missing"))
        return files[path]


def _as_text(path: str, file: Json) -> str:
    """Return what a file's text would be."""
    if isinstance(file, str):
        return file
    if path.endswith(".ndjson") and isinstance(file, Sequence):
        return "".join(f"{json.dumps(row)}\n" for row in file)
    return json.dumps(file)
