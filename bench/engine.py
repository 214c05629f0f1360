"""`make bench-engine`: nothing to change, nine files to change, and hundreds of nodes, side by side.

Thin nodes on loopback, behind a proxy that stands for the distance. Keeps its section of the page.
"""

from __future__ import annotations

import argparse
import functools
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import bulk, report, sections, tools
from bench.places import Distance, distance, lab_of, ports_of, started, tripwire
from bench.tools import Call, Site
from macfleet.lab.thin import ThinLab

NODES = 20
RTTS = (0, 50, 100)
MANY = (50, 500)
_LONGEST = 150.0
"""Seconds for a peer to find nothing to change: twice what the slowest takes."""
_PATIENCE = 60.0
"""Seconds for a peer to change nine files on each node: six times what it takes."""


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
        failed = [name for name in chosen if not _measured(bench, name, section)]
    if not wanted.quick:
        print(f"wrote {sections.PAGE}")
    if failed:
        raise SystemExit(f"not measured to the end: {', '.join(failed)}")


def _measured(bench: Bench, name: str, section: report.Section) -> bool:
    """Measure one table, kept as far as it is known; return whether it came to its end."""
    try:
        for table in getattr(bench, name)():
            section.add(table)
            if not bench.quick:
                # After each: what was measured stays when the rest is stopped.
                sections.keep("engine", section.markdown())
    except SystemExit as error:
        if isinstance(error.code, int):  # somebody stopped all of it
            raise
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return False
    return True


@dataclass(frozen=True, slots=True)
class Bench:
    """The scenarios; each yields its table whenever more of it is known."""

    scratch: Path
    quick: bool

    def unchanged(self) -> Iterator[report.Table]:
        """Nothing to change, at each distance, beside every peer."""
        count, rtts = (4, (0, 50)) if self.quick else (NODES, RTTS)
        rows: list[report.Unchanged] = []
        with lab_of(self.scratch / "u", count) as lab:
            fleet = tools.make_fleet(self.scratch / "u")
            _converge(tools.make_site(self.scratch / "u" / "c", fleet, lab, ports_of(lab)))
            for rtt in rtts:
                with distance(lab, rtt) as far:
                    site = tools.make_site(self.scratch / "u" / f"r{rtt}", fleet, lab, far.ports)
                    rows.append(self._beside_peers(site, lab, far, rtt, rows))
                yield report.unchanged(count, rows)

    def changed(self) -> Iterator[report.Table]:
        """Nine files to change on every node at 50 ms."""
        count, runs = (4, 1) if self.quick else (NODES, 3)
        with lab_of(self.scratch / "c", count) as lab:
            fleet = tools.make_fleet(self.scratch / "c")
            _converge(tools.make_site(self.scratch / "c" / "c", fleet, lab, ports_of(lab)))
            with distance(lab, 50) as far:
                site = tools.make_site(self.scratch / "c" / "r", fleet, lab, far.ports)
                revision = 1

                def change(call: Callable[[Site, int], Call], timed: Callable[[Call], float]) -> float:
                    nonlocal revision
                    revision += 1
                    seconds = timed(call(site, revision))
                    _prove(lab, revision)
                    return seconds

                ours: list[float] = []
                theirs: list[float] = []
                failures: list[str] = []
                trips = 0
                # In turn, and on while a run of pyinfra came to no end: it gives no figure.
                for _ in range(3 * runs):
                    if len(ours) < runs:
                        far.passed()
                        ours.append(change(functools.partial(tools.macfleet, change=True), tools.seconds))
                        # Of the first run: later a peer's last bytes may still be on their way and count.
                        trips = trips or far.passed()[1]
                    try:
                        theirs.append(change(tools.pyinfra, _of_waiting))
                    except tools.NoFigureError as error:
                        failures.append(str(error))
                    if len(theirs) == runs:
                        break
        yield report.changed(count, ours, theirs, failures, trips)

    def many(self) -> Iterator[report.Table]:
        """Nothing to change on 50 and on 500 nodes: time, memory, connections, start-up."""
        counts = (4, 12) if self.quick else MANY
        rows = []
        with lab_of(self.scratch / "m", counts[-1]) as lab:
            fleet = tools.make_fleet(self.scratch / "m")
            _converge(tools.make_site(self.scratch / "m" / "c", fleet, lab, ports_of(lab)))
            for count in counts:
                with distance(lab, 0, count, counted=True) as far:
                    site = tools.make_site(self.scratch / "m" / f"n{count}", fleet, lab, far.ports)
                    seconds, memory = _usage(tools.macfleet(site, 1, change=False))
                    most, _ = far.passed()
                with tripwire(count) as wire:
                    site = tools.make_site(self.scratch / "m" / f"s{count}", fleet, lab, wire.ports)
                    start = wire.seconds(tools.macfleet(site, 1, change=False))
                rows.append(report.Scale(count, seconds, memory, most, start))
        yield report.many(rows)

    def bulk(self) -> Iterator[report.Table]:
        """A large file to eight nodes beside eight `scp`."""
        count, size = (2, 2**24) if self.quick else (8, 200 * 2**20)
        with lab_of(self.scratch / "b", count) as lab:
            yield report.bulk(count, size, bulk.measure(lab, self.scratch, size))

    def _beside_peers(
        self, site: Site, lab: ThinLab, far: Distance, rtt: int, before: Sequence[report.Unchanged]
    ) -> report.Unchanged:
        runs = 1 if self.quick else 5
        files = _written(lab)
        floor: list[float] = []
        ours: list[float] = []
        trips: list[int] = []
        for _ in range(runs):
            # Turn by turn, so that what else the machine does meets all of them alike.
            floor.append(float(_said(tools.floor(lab, far.ports))))
            far.passed()
            ours.append(tools.seconds(tools.macfleet(site, 1, change=False)))
            trips.append(far.passed()[1])
        calls = {
            "pyinfra": [tools.pyinfra(site, 1)] * min(runs, 2),
            "Ansible, Mitogen": [tools.ansible(site, 1, mitogen=True)],
            "Ansible, pipelining": [tools.ansible(site, 1)],
        }
        peers = {
            name: _of_peer([functools.partial(tools.seconds_of_peer, call, _LONGEST) for call in each])
            # One that did not end once is not waited for again.
            if not any(isinstance(row.peers[name], str) for row in before)
            else "not run again"
            for name, each in calls.items()
        }
        if _written(lab) != files:
            raise SystemExit("a tool wrote files although nothing was to change")
        with tripwire(len(lab.nodes)) as wire:
            at_wire = tools.make_site(site.folder / "w", site.fleet, lab, wire.ports)
            start = wire.seconds(tools.macfleet(at_wire, 1, change=False))
        row = report.Unchanged(rtt, floor, ours, start, peers, max(trips) if rtt else None)
        print(report.line(row), flush=True)
        return row


def _converge(site: Site) -> None:
    tools.run(*_parts(tools.macfleet(site, 1, change=True)))


def _of_peer(turns: Sequence[Callable[[], float]]) -> list[float] | str:
    """Return a peer's seconds, one for each turn that ended; in words why there are none if none did."""
    found: list[float] = []
    why = ""
    for turn in turns:
        try:
            found.append(turn())
        except tools.NoFigureError as error:
            why = str(error)
    return found or why


def _of_waiting(call: Call) -> float:
    return tools.seconds_of_peer(call, _PATIENCE)


def _said(call: Call) -> str:
    return tools.run(*_parts(call))


def _usage(call: Call) -> tuple[float, int]:
    """Return seconds and the largest resident memory in bytes of a command."""
    began = time.perf_counter()
    process = started(call)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(call.argv[:4])} ended with {process.returncode}")
    return seconds, used.ru_maxrss * 1024


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
