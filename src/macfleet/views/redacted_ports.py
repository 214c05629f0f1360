"""Ports that keep and tell what happens, with secrets taken out before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macfleet.model.event import Event
    from macfleet.model.json import Json, JsonObject
    from macfleet.model.load import Sample
    from macfleet.model.ports import Events, Evidences, Journal, RunStore, RunWriter
    from macfleet.model.run import RunManifest, TokenLines
    from macfleet.model.stage import StageName, StageRecord
    from macfleet.views.redaction import Redactor


@dataclass(frozen=True, slots=True)
class RedactedEvents:
    """An `Events` sink."""

    inner: Events
    redactor: Redactor

    def emit(self, event: Event) -> None:
        """Hand one event over."""
        self.inner.emit(self.redactor.value(event))


@dataclass(frozen=True, slots=True)
class RedactedJournal:
    """A `Journal`; ids and names of nodes stay as they are, since they are looked up."""

    inner: Journal
    redactor: Redactor

    def begin(self, run_id: str, command: str, nodes: Sequence[str], detail: JsonObject) -> None:
        """Note that a run started over these nodes."""
        self.inner.begin(run_id, self.redactor.text(command), nodes, self.redactor.value(detail))

    def note(self, run_id: str, node: str, kind: str, detail: JsonObject) -> None:
        """Note one thing that happened to a node."""
        self.inner.note(run_id, node, kind, self.redactor.value(detail))

    def note_all(self, run_id: str, node: str, notes: Sequence[tuple[str, JsonObject]]) -> None:
        """Note kinds and details that became known together."""
        self.inner.note_all(run_id, node, [(kind, self.redactor.value(detail)) for kind, detail in notes])

    def settle(self, run_id: str, node: str, outcome: str) -> None:
        """Note how the run ended for a node."""
        self.inner.settle(run_id, node, outcome)

    def end(self, run_id: str, outcome: str) -> None:
        """Note how the run ended."""
        self.inner.end(run_id, self.redactor.text(outcome))

    def unsettled(self, run_id: str) -> tuple[str, ...]:
        """Nodes of the run that are not ``ok``, in order."""
        return self.inner.unsettled(run_id)

    def last(self) -> str:
        """Id of the newest run, empty when there is none."""
        return self.inner.last()


@dataclass(frozen=True, slots=True)
class RedactedEvidences:
    """An `Evidences`."""

    inner: Evidences
    redactor: Redactor

    def latest(self, node: str, stage: StageName) -> StageRecord | None:
        """The newest record of the stage on the node."""
        return self.inner.latest(node, stage)

    def record(self, record: StageRecord) -> None:
        """Keep a record."""
        self.inner.record(self.redactor.value(record))


@dataclass(frozen=True, slots=True)
class RedactedRuns:
    """A `RunStore`."""

    inner: RunStore
    redactor: Redactor

    def create(self, run_id: str) -> RunWriter:
        """Open a new run folder."""
        return RedactedWriter(self.inner.create(run_id), self.redactor)

    def left(self, run_id: str, folder: str) -> Mapping[str, Mapping[str, str]]:
        """Read what a run and those that went on with it left below a folder."""
        return self.inner.left(run_id, folder)

    def ids(self) -> tuple[str, ...]:
        """Ids of finished runs, oldest first."""
        return self.inner.ids()

    def manifest(self, run_id: str) -> RunManifest:
        """Read a run's manifest."""
        return self.inner.manifest(run_id)

    def document(self, run_id: str, path: str) -> Json:
        """Read one JSON document of a run."""
        return self.inner.document(run_id, path)


@dataclass(frozen=True, slots=True)
class RedactedWriter:
    """A `RunWriter`."""

    inner: RunWriter
    redactor: Redactor

    @property
    def id(self) -> str:
        """The run's id."""
        return self.inner.id

    def json(self, path: str, document: Json) -> None:
        """Write one JSON document."""
        self.inner.json(path, self.redactor.value(document))

    @contextmanager
    def lines(self, path: str) -> Iterator[Callable[[JsonObject], None]]:
        """Append JSON lines."""
        with self.inner.lines(path) as write:
            yield lambda row: write(self.redactor.value(row))

    def text(self, path: str, content: str) -> None:
        """Write one text file."""
        self.inner.text(path, self.redactor.text(content))

    def append(self, path: str, text: str) -> None:
        """Append to one text file."""
        self.inner.append(path, self.redactor.text(text))

    def samples(self, path: str, samples: Iterable[Sample]) -> None:
        """Write requests as Parquet."""
        self.inner.samples(path, map(self.redactor.value, samples))

    def events(self, path: str, parts: Sequence[TokenLines]) -> None:
        """Write token events as Parquet; their lines hold numbers alone."""
        self.inner.events(path, parts)

    def series(self, path: str, rows: Sequence[JsonObject]) -> None:
        """Write a time series as Parquet."""
        self.inner.series(path, [self.redactor.value(row) for row in rows])

    def adopt(self, run_id: str, folder: str) -> None:
        """Copy what a run that broke off holds below a folder."""
        self.inner.adopt(run_id, folder)

    def finish(self, manifest: RunManifest) -> str:
        """Seal the run; return the folder's path."""
        return self.inner.finish(self.redactor.value(manifest))
