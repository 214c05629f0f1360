"""A TCP proxy that stands for a distance: it delays what passes, and counts round trips.

The kernel of a simulated node has no `netem`. The proxy keeps to what a packet would do: a connection
that is opened at 0 is known to the client after one round trip and to the server after one and a half;
afterwards every byte is on its way for half a round trip.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import sys
import threading
from collections.abc import Coroutine, Sequence
from typing import Self, TypeVar

from macfleet.lab.delay_link import Counts, Link, Passage

Result = TypeVar("Result")

_BACKLOG = 1024


class DelayProxy:
    """Ports of this machine's loopback that lead to others through a round trip of `rtt` seconds.

    A context manager; the proxy runs on a thread of its own.

    Args:
        targets: ports of 127.0.0.1; `ports` has one listening port for each, in order.
        rtt: round trip time in seconds.

    Attributes:
        most_open: connections that were open at the same time since the last `passages`.
    """

    def __init__(self, targets: Sequence[int], rtt: float) -> None:
        self._targets = tuple(targets)
        self.rtt = rtt
        self.loop = asyncio.new_event_loop()
        self.links: set[Link] = set()
        self.ports: tuple[int, ...] = ()
        self.most_open = 0
        self._counts = tuple(Counts() for _ in self._targets)
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self.loop.run_forever, name="macfleet-delay", daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        self.ports = self._on_loop(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        """Cut every connection and stop listening."""
        self._on_loop(self._cut())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def passages(self) -> tuple[Passage, ...]:
        """Return what passed since the last call, one row a port, and begin to count anew."""
        return self._on_loop(self._take())

    async def _take(self) -> tuple[Passage, ...]:
        self.most_open = len(self.links)
        return tuple(counts.take() for counts in self._counts)

    async def _listen(self) -> tuple[int, ...]:
        ports = []
        for target, counts in zip(self._targets, self._counts, strict=True):
            maker = functools.partial(self._client_end, target, counts)
            server = await self.loop.create_server(maker, "127.0.0.1", 0, backlog=_BACKLOG)
            self._servers.append(server)
            ports.append(int(server.sockets[0].getsockname()[1]))
        return tuple(ports)

    def _client_end(self, target: int, counts: Counts) -> asyncio.Protocol:
        return Link(self, target, counts).near

    async def _cut(self) -> None:
        for server in self._servers:
            server.close()
        for link in tuple(self.links):
            link.cut()
        dialling = asyncio.all_tasks() - {asyncio.current_task()}
        for task in dialling:
            task.cancel()
        await asyncio.wait([*dialling, asyncio.ensure_future(asyncio.sleep(0))])

    def _on_loop(self, work: Coroutine[None, None, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


def main() -> None:
    """Serve ``RTT_MS PORT…`` until stdin ends.

    Prints the listening ports as one JSON line; answers each line of stdin with the counts since the last.
    """
    rtt, *targets = sys.argv[1:]
    with DelayProxy([int(target) for target in targets], float(rtt) / 1000) as proxy:
        print(json.dumps(proxy.ports), flush=True)
        for _ in sys.stdin:
            most = proxy.most_open
            rows = [dataclasses.asdict(row) for row in proxy.passages()]
            print(json.dumps({"most_open": most, "ports": rows}), flush=True)


if __name__ == "__main__":
    main()
