"""Runs: recorded executions and what they left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.model.json import Json


@dataclass(frozen=True, slots=True)
class RunManifest:
    """The head of a run folder; `files` seals the rest.

    Attributes:
        id: sorts by time: ``20261123T041205Z-stage3-1a2b``.
        kind: ``rollout``, ``network``, ``loadtest``, ``ad-hoc`` or ``imported``.
        contract: canonical contract hash; sent: hash of the bytes to be sent.
        started, finished: RFC 3339, UTC.
        short: whether the run is under 30 minutes per arm and judged cell, so that it cannot be signed.
        profile: durations the run was made with, in seconds.
        files: sha256 by path inside the run folder, the manifest excluded.
        droppable: paths of `files` that retention may remove later: a signature covers that, too.
        simulated: what of the environment was simulated; such a run is never presented as a Mac's.
    """

    id: str
    kind: str
    stage: str
    contract: str
    sent: str
    git_commit: str
    git_dirty: bool
    nodes: tuple[str, ...]
    arms: tuple[str, ...]
    vantage: str
    started: str
    finished: str
    who: str
    why: str
    client_version: str
    client_archive: str = ""
    short: bool = True
    profile: Mapping[str, Json] = field(default_factory=dict)
    simulated: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    droppable: tuple[str, ...] = ()
    schema: int = 1


@dataclass(frozen=True, slots=True)
class TokenLines:
    """Raw lines of one segment's token events, as they lie in a run folder.

    Each line holds a request's ``index``, the moment ``first`` of its first event (monotonic nanoseconds of
    the machine the client ran on), the ``gaps`` to each further one (nanoseconds) and the tokens ``each``
    carries, null where the engine's own count says otherwise.

    Attributes:
        path: inside the run folder.
        start: when the segment's window began, on the same clock.
    """

    path: str
    cell: str
    segment: int
    start: int


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its two-sided 95 % interval; bounds are None where n is too small for one.

    NaN is a figure that nobody recorded: only imported runs have such.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class CellSummary:
    """One node × arm × cell, reduced from samples and series. Times in seconds.

    Attributes:
        n: completed and failed requests of the window, censored included, warm-up excluded.
        tokens_per_second: generated-token events in the window divided by its length.
        p50, p95, p99: end to end; a failure counts as +∞ (value may be infinite).
        iowait: share of VM CPU time, None where there is no VM series; memory: host used share.
        minutes: measured minutes; invalid: why the cell must not be judged, empty when valid.
        itl_p95: of the mean gaps of complete answers; None in runs that did not record it.
    """

    node: str
    arm: str
    cell: str
    bucket: str
    concurrency: int
    n: int
    ok: int
    tokens_per_second: Interval
    qps: float
    p50: Interval
    p95: Interval
    p99: Interval
    ttft_p50: Interval
    ttft_p95: Interval
    itl_p50: Interval
    errors: float
    status: Mapping[str, int]
    outcomes: Mapping[str, int]
    minutes: float
    segments: int
    segment_tokens_per_second: tuple[float, ...] = ()
    segment_p95: tuple[float, ...] = ()
    iowait: Interval | None = None
    psi_io: Interval | None = None
    memory: Interval | None = None
    cached_tokens: int | None = None
    accelerator: str = ""
    invalid: tuple[str, ...] = ()
    itl_p95: Interval | None = None
