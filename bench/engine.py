"""`make bench-engine`: nothing to change, nine files to change, and hundreds of nodes, side by side.

Thin nodes on loopback, behind a proxy that stands for the distance. Keeps its section of the page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import bulk, report, sections, tools
from bench.tools import Call, Site
from macfleet.lab.thin import ThinLab, thin_down, thin_up

NODES = 20
RTTS = (0, 50, 100)
MANY = (50, 500)
_LATEST = 30.0
"""Seconds within which a command must have opened a connection."""


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few nodes, one run each, nothing is kept")
    parser.add_argument("tables", nargs="*", help=f"which of {', '.join(report.TITLES)}; all unless named")
    wanted = parser.parse_args()
    chosen = wanted.tables or list(report.TITLES)
    if unknown := [name for name in chosen if name not in report.TITLES]:
        parser.error(f"there is no table {unknown[0]}; there are {', '.join(report.TITLES)}")
    section = report.Section(report.machine(), tools.versions(), report.tables_in(sections.kept("engine")))
    with tempfile.TemporaryDirectory(prefix="mfb-") as scratch:
        bench = Bench(Path(scratch), quick=wanted.quick)
        for name in chosen:
            section.add(getattr(bench, name)())
            if not wanted.quick:
                # After each: what was measured stays when the rest is stopped.
                sections.keep("engine", section.markdown())
    if not wanted.quick:
        print(f"wrote {sections.PAGE}")


@dataclass(frozen=True, slots=True)
class Bench:
    """The scenarios; each returns its table."""

    scratch: Path
    quick: bool

    def unchanged(self) -> report.Table:
        """Nothing to change, at each distance, beside every peer."""
        count, rtts = (4, (0, 50)) if self.quick else (NODES, RTTS)
        rows = []
        with _lab(self.scratch / "u", count) as lab:
            fleet = tools.make_fleet(self.scratch / "u")
            _converge(tools.make_site(self.scratch / "u" / "c", fleet, lab, _ports(lab)))
            for rtt in rtts:
                with _distance(lab, rtt) as far:
                    site = tools.make_site(self.scratch / "u" / f"r{rtt}", fleet, lab, far.ports)
                    rows.append(self._beside_peers(site, lab, far, rtt))
        return report.unchanged(count, rows)

    def changed(self) -> report.Table:
        """Nine files to change on every node at 50 ms."""
        count, runs = (4, 1) if self.quick else (NODES, 3)
        with _lab(self.scratch / "c", count) as lab:
            fleet = tools.make_fleet(self.scratch / "c")
            _converge(tools.make_site(self.scratch / "c" / "c", fleet, lab, _ports(lab)))
            with _distance(lab, 50) as far:
                site = tools.make_site(self.scratch / "c" / "r", fleet, lab, far.ports)
                turns = iter(range(2, 100))

                def change(call: Callable[[int], Call]) -> float:
                    revision = next(turns)
                    seconds = _seconds(call(revision))
                    _prove(lab, revision)
                    return seconds

                far.passed()
                ours = [change(lambda r: tools.macfleet(site, r, change=True)) for _ in range(runs)]
                trips = far.passed()[1]
                theirs = [change(lambda r: tools.pyinfra(site, r)) for _ in range(runs)]
        return report.changed(count, ours, theirs, trips)

    def many(self) -> report.Table:
        """Nothing to change on 50 and on 500 nodes: time, memory, connections, start-up."""
        counts = (4, 12) if self.quick else MANY
        rows = []
        with _lab(self.scratch / "m", counts[-1]) as lab:
            fleet = tools.make_fleet(self.scratch / "m")
            _converge(tools.make_site(self.scratch / "m" / "c", fleet, lab, _ports(lab)))
            for count in counts:
                with _distance(lab, 0, count, counted=True) as far:
                    site = tools.make_site(self.scratch / "m" / f"n{count}", fleet, lab, far.ports)
                    seconds, memory = _usage(tools.macfleet(site, 1, change=False))
                    most, _ = far.passed()
                with _tripwire(count) as wire:
                    site = tools.make_site(self.scratch / "m" / f"s{count}", fleet, lab, wire.ports)
                    start = wire.seconds(tools.macfleet(site, 1, change=False))
                rows.append(report.Scale(count, seconds, memory, most, start))
        return report.many(rows)

    def bulk(self) -> report.Table:
        """A large file to eight nodes beside eight `scp`."""
        count, size = (2, 2**24) if self.quick else (8, 200 * 2**20)
        with _lab(self.scratch / "b", count) as lab:
            return report.bulk(count, size, bulk.measure(lab, self.scratch, size))

    def _beside_peers(self, site: Site, lab: ThinLab, far: _Distance, rtt: int) -> report.Unchanged:
        runs = 1 if self.quick else 5
        before = _written(lab)
        floor: list[float] = []
        ours: list[float] = []
        theirs: list[float] = []
        trips: list[int] = []
        for _ in range(runs):
            # Turn by turn, so that what else the machine does meets all of them alike.
            floor.append(float(_said(tools.floor(lab, far.ports))))
            far.passed()
            ours.append(_seconds(tools.macfleet(site, 1, change=False)))
            trips.append(far.passed()[1])
            if len(theirs) < 2:
                theirs.append(_seconds(tools.pyinfra(site, 1)))
        peers = {"pyinfra": theirs, "Ansible, Mitogen": [_seconds(tools.ansible(site, 1, mitogen=True))]}
        peers["Ansible, pipelining"] = [_seconds(tools.ansible(site, 1))]
        if _written(lab) != before:
            raise SystemExit("a tool wrote files although nothing was to change")
        with _tripwire(len(lab.nodes)) as wire:
            at_wire = tools.make_site(site.folder / "w", site.fleet, lab, wire.ports)
            start = wire.seconds(tools.macfleet(at_wire, 1, change=False))
        row = report.Unchanged(rtt, floor, ours, start, peers, max(trips) if rtt else None)
        print(report.line(row), flush=True)
        return row


class _Distance:
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


class _Tripwire:
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
            process = _started(call)
            reached = selector.select(timeout=_LATEST)
            seconds = time.perf_counter() - began
        process.kill()
        process.wait()
        if not reached:
            raise SystemExit(f"{' '.join(call.argv[:4])} opened no connection")
        return seconds


@contextlib.contextmanager
def _lab(folder: Path, count: int) -> Iterator[ThinLab]:
    folder.mkdir()
    lab = thin_up(folder / "lab", count, lambda line: print(line, flush=True))
    try:
        yield lab
    finally:
        thin_down(folder / "lab", lambda _: None)


@contextlib.contextmanager
def _distance(
    lab: ThinLab, rtt: int, count: int | None = None, *, counted: bool = False
) -> Iterator[_Distance]:
    """Yield the nodes' ports at a round trip of `rtt` ms; at 0 their own, unless passages are counted."""
    ports = _ports(lab)[:count]
    if rtt == 0 and not counted:
        yield _Distance(ports, None)
        return
    argv = [sys.executable, "-m", "macfleet.lab.delay", str(rtt), *map(str, ports)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as proxy:
        if proxy.stdin is None or proxy.stdout is None:
            raise SystemExit("the proxy has no pipes")
        yield _Distance(json.loads(proxy.stdout.readline()), proxy)
        proxy.stdin.close()


@contextlib.contextmanager
def _tripwire(count: int) -> Iterator[_Tripwire]:
    with contextlib.ExitStack() as open_sockets:
        listeners = [open_sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        yield _Tripwire(listeners)


def _ports(lab: ThinLab) -> tuple[int, ...]:
    return tuple(node.port for node in lab.nodes)


def _converge(site: Site) -> None:
    tools.run(*_parts(tools.macfleet(site, 1, change=True)))


def _seconds(call: Call) -> float:
    began = time.perf_counter()
    tools.run(*_parts(call))
    return time.perf_counter() - began


def _said(call: Call) -> str:
    return tools.run(*_parts(call))


def _usage(call: Call) -> tuple[float, int]:
    """Return seconds and the largest resident memory in bytes of a command."""
    began = time.perf_counter()
    process = _started(call)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(call.argv[:4])} ended with {process.returncode}")
    return seconds, used.ru_maxrss * 1024


def _started(call: Call) -> subprocess.Popen[bytes]:
    nowhere = subprocess.DEVNULL
    return subprocess.Popen(
        call.argv,
        cwd=call.cwd,
        env=tools.surroundings(call.env),
        stdin=nowhere,
        stdout=nowhere,
        stderr=nowhere,
    )


def _parts(call: Call) -> tuple[Sequence[str], Path, Mapping[str, str]]:
    return call.argv, call.cwd, call.env


def _files(lab: ThinLab) -> Iterator[Path]:
    for node in lab.nodes:
        yield from (Path(node.home) / "cache" / f"part-{part}.conf" for part in range(1, 10))


def _written(lab: ThinLab) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in _files(lab)}


def _prove(lab: ThinLab, revision: int) -> None:
    wrong = [path for path in _files(lab) if f", revision {revision}.\n" not in path.read_text()]
    if wrong:
        raise SystemExit(f"{len(wrong)} files do not have revision {revision}, such as {wrong[0]}")


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main()
