"""Small requests, many of them: what a path through network and forwarder adds."""

from __future__ import annotations

import asyncio
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from macfleet.loadgen.dial import connect
from macfleet.loadgen.document import read_object, refused
from macfleet.loadgen.exchange import Streamed
from macfleet.loadgen.target import Target
from macfleet.loadgen.wire import Connection, Ending
from macfleet.model.json import Json

TIMEOUT = 10.0
_TIME_WAIT = "06"


@dataclass(frozen=True, slots=True)
class PingJob:
    """GET `url` so many times; `concurrency` streams share the count."""

    url: str
    requests: int
    keep_alive: bool
    concurrency: int


@dataclass(frozen=True, slots=True)
class PingReport:
    """What the requests took.

    Attributes:
        ms: milliseconds from the begin of each request to the end of its body, connecting included when
            it needed a connection; requests that failed are not in it.
        errors: requests without a status of 200.
        time_wait: sockets of this machine in TIME_WAIT right after; None where it cannot be told.
    """

    ms: tuple[float, ...]
    errors: int
    time_wait: int | None

    def document(self) -> dict[str, Json]:
        """Return the report as one JSON object."""
        return asdict(self) | {"ms": list(self.ms)}


def ping(job: PingJob) -> PingReport:
    """Run the requests and report; blocks until all have ended."""
    ms, errors = asyncio.run(_ping(job))
    return PingReport(tuple(ms), errors, time_wait())


def read_job(text: str | bytes) -> PingJob:
    """Return the job a JSON document describes (raises MacfleetError, E0901)."""
    document = read_object(text)
    url, requests = document.get("url"), document.get("requests")
    keep_alive, concurrency = document.get("keep_alive", True), document.get("concurrency", 1)
    if not isinstance(url, str) or not isinstance(keep_alive, bool):
        raise refused("url must be text and keep_alive true or false")
    if not (isinstance(requests, int) and isinstance(concurrency, int) and min(requests, concurrency) > 0):
        raise refused("requests and concurrency must be whole numbers of at least 1")
    try:
        Target.parse(url)
    except ValueError as error:
        raise refused(str(error)) from error
    return PingJob(url, requests, keep_alive, concurrency)


def time_wait() -> int | None:
    """Count this machine's TCP sockets in TIME_WAIT, from /proc on Linux, else from netstat."""
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if tables[0].exists():
        lines = [
            line.split() for table in tables if table.exists() for line in table.read_text().splitlines()
        ]
        return sum(1 for fields in lines if len(fields) > 3 and fields[3] == _TIME_WAIT)
    try:
        netstat = subprocess.run(
            ["/usr/sbin/netstat", "-an", "-p", "tcp"], capture_output=True, timeout=TIMEOUT, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return netstat.stdout.count(b"TIME_WAIT")


async def _ping(job: PingJob) -> tuple[list[float], int]:
    ms: list[float] = []
    errors = 0
    remaining = iter(range(job.requests))
    target = Target.parse(job.url)

    async def stream() -> None:
        nonlocal errors
        connection: Connection | None = None
        for _ in remaining:
            begin = time.monotonic_ns()
            try:
                connection, good = await _one(job, target, connection)
            except OSError:
                connection, good = None, False
            if good:
                ms.append((time.monotonic_ns() - begin) / 1e6)
            else:
                errors += 1
        if connection is not None:
            connection.abort()

    await asyncio.gather(*(stream() for _ in range(job.concurrency)))
    return ms, errors


async def _one(job: PingJob, target: Target, connection: Connection | None) -> tuple[Connection | None, bool]:
    streamed = Streamed(streams=False)
    request = target.request("GET", "" if target.prefix else "/", keep_alive=job.keep_alive)
    kept = connection or await connect(target, TIMEOUT)
    await kept.perform(request, streamed.exchange, stall_timeout=TIMEOUT)
    good = streamed.exchange.ending is Ending.COMPLETE and streamed.exchange.status == 200
    if job.keep_alive and good and kept.reusable:
        return kept, good
    kept.close()
    return None, good
