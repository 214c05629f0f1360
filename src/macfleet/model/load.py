"""What the load client is told and what it answers: the only words between it and the rest.

The load client travels to nodes by itself, so this module uses the standard library alone.
All times are monotonic nanoseconds of the machine the client ran on, unless a field says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from macfleet.model.json import Json


class Vantage(StrEnum):
    """Where the client sits."""

    NODE_LOOPBACK = "node-loopback"
    IN_CONTAINER = "in-container"
    CLIENT = "client"


class RequestOutcome(StrEnum):
    """How one request ended; ``http_<code>`` covers every other status."""

    OK = "ok"
    SSE_ERROR = "sse_error"
    EMPTY_200 = "empty_200"
    TRUNCATED = "truncated"
    STALL_TIMEOUT = "stall_timeout"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_TIMEOUT = "connect_timeout"
    RESET = "reset"
    BAD_RESPONSE = "bad_response"
    CENSORED = "censored"
    HTTP_ERROR = "http_error"


@dataclass(frozen=True, slots=True)
class FixtureBody:
    """One frozen request.

    Attributes:
        id: the fixture's name in the contract.
        body: the JSON body, verbatim; the nonce is put before the first message's content.
    """

    id: str
    body: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """One segment of one cell of one arm: closed loop, or open loop where `rate` is given.

    Attributes:
        base_url: such as ``http://127.0.0.1:8080``.
        route: path requested.
        fixtures: sent round-robin.
        cell: ``bucket×concurrency``, such as ``short×4``.
        segment: number of this segment within its arm, from 0.
        arm: arm under test.
        concurrency: requests kept in flight; in an open loop the most there may be, beyond which a request
            that is due waits and is late.
        duration: seconds of the measured window.
        warmup: seconds of load before the window, not drained when the window opens.
        grace: seconds in-flight requests may finish after the window; later ones are censored.
        nonce_key: with cell, segment and index it yields the request's nonce: the contract hash.
        first_index: index of the segment's first request, 0 unless resumed.
        keep_alive: whether connections are reused.
        connect_timeout: seconds.
        stall_timeout: seconds without a byte after which a request is given up.
        max_requests: stop after so many requests; 0 means only time ends the segment.
        headers: extra request headers.
        rate: requests a second offered, whatever the engine manages (open loop); 0 for a closed loop.
        arrivals: ``constant`` or ``poisson``: how an open loop's requests follow each other; the same
            moments in every arm.
        processes: client processes that share the streams and take requests from one schedule.
    """

    base_url: str
    route: str
    fixtures: tuple[FixtureBody, ...]
    cell: str
    segment: int
    arm: str
    concurrency: int
    duration: float
    warmup: float = 0.0
    grace: float = 30.0
    nonce_key: str = ""
    first_index: int = 0
    keep_alive: bool = True
    connect_timeout: float = 2.0
    stall_timeout: float = 30.0
    max_requests: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: float = 0.0
    arrivals: str = "constant"
    processes: int = 1

    def document(self) -> dict[str, Json]:
        """Return the spec as the JSON document the client reads on stdin."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sample:
    """One request as the client saw it; None where a moment was not reached.

    Attributes:
        index: position in the segment, which fixes fixture and nonce.
        warmup: sent before the window opened.
        t_sched: when it was due; t_send: when its bytes were handed to the socket;
            t_headers: response head read; t_first_event: first SSE event; t_first_gen: first generated
            text, reasoning included; t_first_visible: first text that is not reasoning;
            t_last_gen: last generated text; t_close: stream ended.
        status: HTTP status, 0 when none was read.
        tokens: generated tokens; token_source names the rung of the ladder: ``usage``, ``events`` (estimate).
        cached_tokens: prompt tokens the engine took from its cache; None when it does not say.
        bytes_read: size of the response body.
        reused: the connection had served a request before.
        detail: error text, cut at 200 characters; untrusted data.
    """

    cell: str
    segment: int
    arm: str
    index: int
    fixture: str
    outcome: str
    status: int
    t_sched: int
    t_send: int | None
    t_headers: int | None
    t_first_event: int | None
    t_first_gen: int | None
    t_first_visible: int | None
    t_last_gen: int | None
    t_close: int
    tokens: int
    token_source: str
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    bytes_read: int = 0
    reused: bool = False
    warmup: bool = False
    detail: str = ""

    def document(self) -> dict[str, Json]:
        """Return the sample as one line's JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """What the client says of a whole segment, after its samples.

    Attributes:
        window_start, window_end: bounds of the measured window, monotonic nanoseconds.
        wall_start: epoch nanoseconds at `window_start`, to lay series beside samples.
        token_events: generated-token events inside the window, every request counted.
        loop_lag_p99: seconds the client's own loop was late, 99th percentile.
        dispatch_delay_p95: seconds between due and sent, 95th percentile.
        cpu_share: client CPU seconds per second of window.
        client_version: macfleet's version; archive: digest of the archive the client ran from.
        without_cpu: share of the time in which the client asked for a CPU, before its first request, and was
            given none: other work held the machine.
        processes: where several client processes shared the segment, of each of them ``requests``,
            ``token_events``, ``loop_lag_p99``, ``dispatch_delay_p95`` and ``cpu_share``; the segment's own
            lateness and share are those of the worst.
    """

    cell: str
    segment: int
    arm: str
    window_start: int
    window_end: int
    wall_start: int
    token_events: int
    requests: int
    loop_lag_p99: float
    dispatch_delay_p95: float
    cpu_share: float
    client_version: str
    archive: str
    python: str = ""
    without_cpu: float = 0.0
    processes: tuple[Mapping[str, float], ...] = ()

    def document(self) -> dict[str, Json]:
        """Return the report as one JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RouteCheck:
    """One promised route as it was found: `problems` is empty when it keeps the promise.

    Attributes:
        notes: where answers differ from OpenAI's shape in what the contract does not promise.
    """

    route: str
    stream: bool
    status: int
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """The promised routes of one arm as one probe found them."""

    arm: str
    base_url: str
    routes: tuple[RouteCheck, ...]

    @property
    def keeps_promise(self) -> bool:
        """Whether every route answered as promised."""
        return bool(self.routes) and not any(route.problems for route in self.routes)

    def document(self) -> dict[str, Json]:
        """Return the report as one JSON object."""
        return {
            "arm": self.arm,
            "base_url": self.base_url,
            "keeps_promise": self.keeps_promise,
            "routes": [
                asdict(route) | {"problems": list(route.problems), "notes": list(route.notes)}
                for route in self.routes
            ],
        }
