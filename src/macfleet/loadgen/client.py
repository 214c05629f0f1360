"""Runs one segment: streams that each send what is due, a closed loop's at once, an open loop's on time."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from macfleet import __version__
from macfleet.loadgen.answer import DETAIL_LIMIT, Answer
from macfleet.loadgen.dial import connect
from macfleet.loadgen.exchange import Streamed, outcome_of
from macfleet.loadgen.lag import LagProbe
from macfleet.loadgen.pacer import NANOSECONDS, Due, Take, nearest_rank, pacer_of
from macfleet.loadgen.target import Target
from macfleet.loadgen.wire import Connection
from macfleet.model.load import FixtureBody, LoadSpec, RequestOutcome, Sample, SegmentReport
from macfleet.model.nonce import nonce, with_nonce

Put = Callable[[Sample, list[int]], None]

# A stream whose request failed sends its next one no sooner than this after it was due: constant, so
# that a dead endpoint yields twenty records a second and a stream instead of tens of thousands.
FAILURE_FLOOR = 50_000_000

# Seconds a stream watches its first connection after the first answer. llama-server (cpp-httplib) promises
# Keep-Alive and closes after every stream: a request sent into that close is lost, and is never sent twice.
CLOSE_WATCH = 0.1


@dataclass(frozen=True, slots=True)
class Share:
    """What one of several processes has of a segment: every `of`-th stream, from its own `number` on.

    Attributes:
        start: when the segment begins for all of them, monotonic nanoseconds of their machine.
        take: gives the next index that none of them has sent.
    """

    number: int
    of: int
    start: int
    take: Take


class Segment:
    """One segment, or a process's share of it, while it runs.

    Attributes:
        put: takes each finished request and the moments of its generated text; must not block.
        broken: tells whether whoever takes the records is gone, so that the load must stop.
    """

    def __init__(
        self,
        spec: LoadSpec,
        put: Put,
        *,
        broken: Callable[[], bool] = lambda: False,
        share: Share | None = None,
    ) -> None:
        self._spec = spec
        self._put = put
        self._broken = broken
        self._share = share
        self._target = Target.parse(spec.base_url)
        self._requests = 0
        self._tokens = 0.0
        self._dispatch_delays: list[float] = []
        self._reuses = spec.keep_alive

    async def run(self, archive: str = "") -> SegmentReport:
        """Run the segment to its end, grace included, and report on it."""
        spec = self._spec
        now, wall, share = time.monotonic_ns(), time.time_ns(), self._share
        pacer = self._pacer = pacer_of(spec, share.start if share else now, share.take if share else None)
        numbers = range(share.number, spec.concurrency, share.of) if share else range(spec.concurrency)
        streams = [asyncio.create_task(self._stream(number)) for number in numbers]
        probe = LagProbe(pacer.window_start, pacer.window_end, self._broken)
        watching = asyncio.create_task(probe.run())
        limit = (pacer.window_end - now) / NANOSECONDS + spec.grace
        everything = asyncio.ensure_future(_all(streams))
        await asyncio.wait([everything, watching], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        window_end = min(pacer.window_end, time.monotonic_ns())
        # Cutting the streams records what was in flight: unfinished requests are kept, never dropped.
        watching.cancel()
        everything.cancel()
        with suppress(asyncio.CancelledError):
            await everything
        return SegmentReport(
            cell=spec.cell,
            segment=spec.segment,
            arm=spec.arm,
            window_start=pacer.window_start,
            window_end=window_end,
            wall_start=wall + pacer.window_start - now,
            token_events=round(self._tokens),
            requests=self._requests,
            loop_lag_p99=nearest_rank(probe.lags, 0.99),
            dispatch_delay_p95=nearest_rank(self._dispatch_delays, 0.95),
            cpu_share=probe.cpu_share,
            client_version=__version__,
            archive=archive,
            python=platform.python_version(),
        )

    async def _stream(self, number: int) -> None:
        """Send one request after the other until none is due; the connection is kept when declared."""
        connection: Connection | None = None
        watched = False
        try:
            await _until(self._pacer.entry(number))
            while (due := self._pacer.due(time.monotonic_ns())) is not None:
                await _until(due.scheduled)
                connection, good = await self._request(due, connection)
                if not good and not self._spec.rate:
                    await _until(due.scheduled + FAILURE_FLOOR)
                elif connection is not None and not watched:
                    watched = True
                    if not await connection.stays_open(CLOSE_WATCH):
                        connection, self._reuses = None, False
        finally:
            if connection is not None:
                connection.abort()

    async def _request(self, due: Due, connection: Connection | None) -> tuple[Connection | None, bool]:
        """Send one request; return the connection when it can serve the next, and whether all was well."""
        spec = self._spec
        if connection is not None and not (self._reuses and connection.reusable):
            connection.close()
            connection = None
        fixture = spec.fixtures[due.index % len(spec.fixtures)]
        record = _Record(due, fixture, reused=connection is not None)
        streamed = Streamed(streams=fixture.body.get("stream") is True, learns=True)
        try:
            request = self._bytes(due, fixture)
            if connection is None:
                opening = time.monotonic_ns()
                connection = await connect(self._target, spec.connect_timeout)
                record.connecting = time.monotonic_ns() - opening
            await connection.perform(request, streamed.exchange, stall_timeout=spec.stall_timeout)
            record.outcome, record.detail = outcome_of(streamed)
            if record.reused and record.outcome == RequestOutcome.RESET and not streamed.exchange.status:
                # A kept connection closed under a request: it counts, and teaches not to keep them.
                self._reuses = False
        except asyncio.CancelledError:
            record.outcome = RequestOutcome.CENSORED
            raise
        except TimeoutError:
            record.outcome, record.detail = RequestOutcome.CONNECT_TIMEOUT, f"{spec.connect_timeout:g} s"
        except ConnectionRefusedError as error:
            record.outcome, record.detail = RequestOutcome.CONNECT_REFUSED, str(error)
        except OSError as error:
            record.outcome, record.detail = "connect_error", str(error)
        finally:
            self._record(record, streamed)
            if connection is not None and not self._keeps(connection, streamed):
                connection.abort()
                connection = None
        return connection, record.outcome == RequestOutcome.OK

    def _bytes(self, due: Due, fixture: FixtureBody) -> bytes:
        spec = self._spec
        word = nonce(spec.nonce_key, spec.cell, spec.segment, due.index)
        body = with_nonce(fixture.body, word)
        return self._target.request(
            "POST", spec.route, body, headers=spec.headers, keep_alive=spec.keep_alive
        )

    def _keeps(self, connection: Connection, streamed: Streamed) -> bool:
        return self._reuses and streamed.exchange.ending is not None and connection.reusable

    def _record(self, record: _Record, streamed: Streamed) -> None:
        sample = record.sample(self._spec, streamed)
        self._requests += 1
        answer = streamed.answer
        self._tokens += _tokens_between(answer, self._pacer.window_start, self._pacer.window_end)
        if sample.t_send is not None:
            delay = sample.t_send - sample.t_sched - record.connecting
            self._dispatch_delays.append(delay / NANOSECONDS)
        self._put(sample, answer.generations)


class _Record:
    """What is known of a request besides its bytes."""

    __slots__ = ("connecting", "detail", "due", "fixture", "outcome", "reused")

    def __init__(self, due: Due, fixture: FixtureBody, *, reused: bool) -> None:
        self.due = due
        self.fixture = fixture
        self.reused = reused
        self.outcome: str = RequestOutcome.BAD_RESPONSE
        self.detail = ""
        self.connecting = 0

    def sample(self, spec: LoadSpec, streamed: Streamed) -> Sample:
        answer, exchange = streamed.answer, streamed.exchange
        tokens, source = answer.tokens
        return Sample(
            cell=spec.cell,
            segment=spec.segment,
            arm=spec.arm,
            index=self.due.index,
            fixture=self.fixture.id,
            outcome=str(self.outcome),
            status=exchange.status,
            t_sched=self.due.scheduled,
            t_send=exchange.sent,
            t_headers=exchange.headers,
            t_first_event=answer.first_event,
            t_first_gen=answer.first_gen,
            t_first_visible=answer.first_visible,
            t_last_gen=answer.last_gen,
            t_close=exchange.closed or time.monotonic_ns(),
            tokens=tokens,
            token_source=source,
            prompt_tokens=answer.prompt_tokens,
            cached_tokens=answer.cached_tokens,
            bytes_read=exchange.body_bytes,
            reused=self.reused,
            warmup=self.due.warmup,
            detail=self.detail[:DETAIL_LIMIT],
        )


def _tokens_between(answer: Answer, start: int, end: int) -> float:
    """Return the tokens generated between two moments.

    An event counts as one token, or as its share of the engine's own count where an engine puts several
    tokens into one event.
    """
    inside = sum(1 for moment in answer.generations if start <= moment < end)
    if not inside:
        return 0.0
    tokens, _ = answer.tokens
    return inside * max(tokens, 1) / len(answer.generations)


async def _all(streams: list[asyncio.Task[None]]) -> None:
    """Wait for every stream; when one breaks or the wait is cancelled, the others are cancelled, too."""
    try:
        await asyncio.gather(*streams)
    finally:
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


async def _until(moment: int) -> None:
    delay = (moment - time.monotonic_ns()) / NANOSECONDS
    if delay > 0:
        await asyncio.sleep(delay)
