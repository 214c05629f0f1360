"""Where the tools are let loose: thin nodes, at a distance, or at ports that note the first to come."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import tools
from bench.tools import Call
from macfleet.lab.thin import ThinLab, thin_down, thin_up

_LATEST = 30.0
"""Seconds within which a command must have opened a connection."""


class Distance:
    """The ports that lead to the nodes, and what passed through them."""

    def __init__(self, ports: Sequence[int], proxy: subprocess.Popen[str] | None) -> None:
        self.ports = tuple(ports)
        self._proxy = proxy

    def passed(self) -> tuple[int, int]:
        """Return connections open at once, and the most round trips of one, since the last call."""
        if self._proxy is None or self._proxy.stdin is None or self._proxy.stdout is None:
            return 0, 0
        self._proxy.stdin.write("\n")
        self._proxy.stdin.flush()
        counts = json.loads(self._proxy.stdout.readline())
        return counts["most_open"], max(port["round_trips"] for port in counts["ports"])


class Tripwire:
    """Ports that note when the first of them is reached."""

    def __init__(self, listeners: Sequence[socket.socket]) -> None:
        self._listeners = listeners
        self.ports = tuple(int(listener.getsockname()[1]) for listener in listeners)

    def seconds(self, call: Call) -> float:
        """Return how long a command takes from its start to its first connection."""
        with selectors.DefaultSelector() as selector:
            for listener in self._listeners:
                selector.register(listener, selectors.EVENT_READ)
            began = time.perf_counter()
            process = started(call)
            reached = selector.select(timeout=_LATEST)
            seconds = time.perf_counter() - began
        process.kill()
        process.wait()
        if not reached:
            raise SystemExit(f"{' '.join(call.argv[:4])} opened no connection")
        return seconds


@contextlib.contextmanager
def lab_of(folder: Path, count: int) -> Iterator[ThinLab]:
    """Yield thin nodes that are there until the context ends."""
    folder.mkdir()
    lab = thin_up(folder / "lab", count, lambda line: print(line, flush=True))
    try:
        yield lab
    finally:
        thin_down(folder / "lab", lambda _: None)


@contextlib.contextmanager
def distance(
    lab: ThinLab, rtt: int, count: int | None = None, *, counted: bool = False
) -> Iterator[Distance]:
    """Yield the nodes' ports at a round trip of `rtt` ms; at 0 their own, unless passages are counted."""
    ports = ports_of(lab)[:count]
    if rtt == 0 and not counted:
        yield Distance(ports, None)
        return
    argv = [sys.executable, "-m", "macfleet.lab.delay", str(rtt), *map(str, ports)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proxy:
        if proxy.stdin is None or proxy.stdout is None:
            raise SystemExit("the proxy has no pipes")
        yield Distance(json.loads(proxy.stdout.readline()), proxy)
        proxy.stdin.close()


@contextlib.contextmanager
def tripwire(count: int) -> Iterator[Tripwire]:
    """Yield ports that nobody answers."""
    with contextlib.ExitStack() as open_sockets:
        listeners = [open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        yield Tripwire(listeners)


def ports_of(lab: ThinLab) -> tuple[int, ...]:
    """Return the nodes' own ports."""
    return tuple(node.port for node in lab.nodes)


def started(call: Call) -> subprocess.Popen[bytes]:
    """Start a command that nobody listens to."""
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(
        call.argv,
        cwd=call.cwd,
        env=tools.surroundings(call.env),
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
    )
