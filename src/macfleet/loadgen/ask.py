"""One request on a connection of its own, for questions outside a measurement."""

from __future__ import annotations

from macfleet.loadgen.answer import Answer
from macfleet.loadgen.dial import connect
from macfleet.loadgen.exchange import Streamed
from macfleet.loadgen.target import Target


async def ask(
    target: Target,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    patience: float,
    streams: bool = False,
    answer: Answer | None = None,
) -> Streamed:
    """Send one request and return what came back, settled; `streams` says the body asks for a stream.

    `answer` takes the meaning instead of a plain one. `patience` is seconds to connect, and seconds
    without a byte.

    Raises:
        OSError: no connection; TimeoutError when it took longer than `patience`.
    """
    streamed = Streamed(streams=streams)
    if answer is not None:
        streamed.answer = answer
    request = target.request(method, path, body, keep_alive=False)
    connection = await connect(target, patience)
    try:
        await connection.perform(request, streamed.exchange, stall_timeout=patience)
    finally:
        connection.abort()
    streamed.settle()
    return streamed
