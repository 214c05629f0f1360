"""The ports: what the core asks of the world. Adapters live in the edge packages; the CLI composes.

That of the service, `Gateway`, lies with its values in `macfleet.model.gateway`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    # Whoever asks one port needs the values of that one alone.
    from macfleet.model.contract import Contract
    from macfleet.model.event import Event
    from macfleet.model.image import ResolvedImage
    from macfleet.model.json import Json, JsonObject
    from macfleet.model.load import EndpointReport, LoadSpec, Sample, SegmentReport, Vantage
    from macfleet.model.node import Node
    from macfleet.model.run import RunManifest, TokenLines
    from macfleet.model.secret import Secret
    from macfleet.model.stage import StageName, StageRecord

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Completed:
    """How a remote script ended; the output is untrusted data."""

    exit: int
    stdout: bytes
    stderr: bytes


class Transport(Protocol):
    """One kept connection to one node."""

    def run(
        self,
        script: str,
        *,
        deadline: float,
        stdin: Iterable[bytes] | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> Completed:
        """Run POSIX sh in one exec and return how it ended.

        The script travels on stdin and never shows in a process list. With `stdin` the script is passed
        in the exec request instead and must hold no secret. With `sink` stdout is handed over piece by
        piece as it arrives and `Completed.stdout` is empty.

        Raises:
            NodeUnreachable: the connection could not be opened or broke.
            DeadlineExceeded: the script was still running after `deadline` seconds.
        """

    def tunnel(self, port: int) -> AbstractContextManager[int]:
        """Forward a local port to `port` of the node's loopback; yields the local port."""

    def close(self) -> None:
        """Close the connection; safe to call twice."""


class Transports(Protocol):
    """Opens and keeps one transport a node for the whole command."""

    def to(self, node: Node) -> Transport:
        """Return the node's transport, connecting on first use (raises NodeUnreachable)."""

    def close(self) -> None:
        """Close all connections."""


class ImageResolver(Protocol):
    """Asks registries what a reference means."""

    def resolve(self, reference: str, platform: str) -> ResolvedImage:
        """Resolve and verify a reference for one platform (raises MacfleetError)."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a source; the same bytes each time, from any offset.

    Attributes:
        name: made of its content, so that a part of that name on a node is this one.
        size: bytes in all; sha256: of all bytes, in lower-case hexadecimal.
        open: yields the bytes from an offset to the end.
    """

    name: str
    size: int
    sha256: str
    open: Callable[[int], Iterable[bytes]]


class Sources(Protocol):
    """Opens named byte sources of `Stream` and `Assemble` steps."""

    def open(self, source: str) -> Iterator[bytes]:
        """Yield the bytes, verified on the way (raises MacfleetError)."""

    def parts(self, source: str) -> Sequence[Part]:
        """Return the parts a source is joined of, in order (raises MacfleetError)."""


class RunWriter(Protocol):
    """A run folder being written; immutable once finished."""

    @property
    def id(self) -> str:
        """The run's id."""

    def json(self, path: str, document: Json) -> None:
        """Write one JSON document at `path` inside the run."""

    def lines(self, path: str) -> AbstractContextManager[Callable[[JsonObject], None]]:
        """Append JSON lines to `path`, flushed at least each second."""

    def text(self, path: str, content: str) -> None:
        """Write one text file."""

    def append(self, path: str, text: str) -> None:
        """Append to one text file, handed to the system at once."""

    def samples(self, path: str, samples: Iterable[Sample]) -> None:
        """Write requests as Parquet at `path`."""

    def events(self, path: str, parts: Sequence[TokenLines]) -> None:
        """Write token events as Parquet at `path` from raw lines beside it, which are dropped.

        A part without raw lines is left out; where none has any, nothing is written.
        """

    def series(self, path: str, rows: Sequence[JsonObject]) -> None:
        """Write a time series as Parquet at `path`; missing keys become nulls."""

    def adopt(self, run_id: str, folder: str) -> None:
        """Copy what a run that broke off holds below `folder` to the same place in this one."""

    def finish(self, manifest: RunManifest) -> str:
        """Seal the run: hash every file into the manifest; return the folder's path."""


class RunStore(Protocol):
    """Recorded runs."""

    def create(self, run_id: str) -> RunWriter:
        """Open a new run folder."""

    def left(self, run_id: str, folder: str) -> Mapping[str, Mapping[str, str]]:
        """Read what a run left below `folder`, and the runs that went on with it, oldest first.

        A run that went on says so in the folder's ``begun.json``, by its key ``resumes``. Sealed runs and
        those that broke off are read alike; of their files only JSON documents and lines.

        Returns:
            Texts by path below `folder`, by run; runs without the folder are missing.

        Raises:
            MacfleetError: E0953 a file of a sealed run is not what was recorded.
        """

    def ids(self) -> tuple[str, ...]:
        """Ids of finished runs, oldest first."""

    def manifest(self, run_id: str) -> RunManifest:
        """Read a run's manifest (raises MacfleetError when it is missing or damaged)."""

    def document(self, run_id: str, path: str) -> Json:
        """Read one JSON document of a run."""


class Evidences(Protocol):
    """The latest stage records."""

    def latest(self, node: str, stage: StageName) -> StageRecord | None:
        """The newest record of the stage on the node."""

    def record(self, record: StageRecord) -> None:
        """Keep a record."""


class Journal(Protocol):
    """What was done, written as it happens, so that an interrupted run can be resumed."""

    def begin(self, run_id: str, command: str, nodes: Sequence[str], detail: JsonObject) -> None:
        """Note that a run started over these nodes."""

    def note(self, run_id: str, node: str, kind: str, detail: JsonObject) -> None:
        """Note one thing that happened to a node."""

    def note_all(self, run_id: str, node: str, notes: Sequence[tuple[str, JsonObject]]) -> None:
        """Note kinds and details that became known together, all or none."""

    def settle(self, run_id: str, node: str, outcome: str) -> None:
        """Note how the run ended for a node: ``ok``, ``failed``, ``unreachable``, ``held``."""

    def end(self, run_id: str, outcome: str) -> None:
        """Note how the run ended."""

    def unsettled(self, run_id: str) -> tuple[str, ...]:
        """Nodes of the run that are not ``ok``, in order (raises MacfleetError for an unknown run)."""

    def last(self) -> str:
        """Id of the newest run, empty when there is none."""


class Pings(Protocol):
    """What timing small requests found."""

    @property
    def ms(self) -> Sequence[float]:
        """Latencies in milliseconds, one a request that succeeded."""

    @property
    def errors(self) -> int:
        """Requests that failed."""

    @property
    def time_wait(self) -> int | None:
        """Sockets in TIME_WAIT afterwards; None where they cannot be counted."""


class LoadGenerator(Protocol):
    """Runs the load client at a vantage of a node."""

    def measure(
        self,
        node: Node,
        vantage: Vantage,
        spec: LoadSpec,
        sink: Callable[[Sample], None],
        events: Callable[[Sample, Sequence[int]], None] | None = None,
    ) -> SegmentReport:
        """Run one segment; samples go to `sink` as they are finished.

        After its sample, `events` takes the moments of a request's generated text, in order (monotonic
        nanoseconds of the machine the client runs on); without it they are not asked for.
        """

    def probe(self, node: Node, arm: str, base_url: str, contract: Contract) -> EndpointReport:
        """Ask the promised routes of one arm from the node's loopback."""

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
        """Time small GET requests; an in-container client joins the node's ``loadgen_container``."""


class Executor(Protocol):
    """Runs one function over many items; threads by default."""

    def each(
        self, items: Sequence[Item], work: Callable[[Item], Answer]
    ) -> Mapping[Item, Answer | Exception]:
        """Return each item's answer or the exception that ended it; never raises for an item."""


class Files(Protocol):
    """Reads what a user wrote."""

    def read(self, path: str) -> bytes:
        """Return a file's bytes (raises FileNotFoundError)."""

    def exists(self, path: str) -> bool:
        """Whether the file is there."""

    def list(self, folder: str) -> tuple[str, ...]:
        """Paths of regular files below a folder, recursively, sorted; empty when it is missing."""


class Secrets(Protocol):
    """Resolves secret references such as ``env:NAME``."""

    def resolve(self, reference: str) -> Secret:
        """Return the secret (raises MacfleetError)."""


class Clock(Protocol):
    """Time as an argument."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds of a clock that never goes back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class Events(Protocol):
    """Where the core says what happens."""

    def emit(self, event: Event) -> None:
        """Hand one event over; must not raise."""
