"""The engine's section of the page: tables of seconds, their ratios, and whether the targets are met."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import paramiko

from bench.bulk import Found

TITLES = {
    "unchanged": "Nothing to change",
    "changed": "Nine files to change",
    "many": "Hundreds of nodes",
    "bulk": "A large file",
}
"""What is measured, with its table's title, in the page's order."""
TARGETS = {"pyinfra": 4.0, "Ansible, Mitogen": 15.0, "Ansible, pipelining": 40.0}
"""How many times faster than each peer macfleet shall be where nothing is to change."""
START_UP = 0.5
OVER_FLOOR = 1.5
ROUND_TRIPS = 8
CHANGED = 5.0
BULK = 0.8


@dataclass(frozen=True, slots=True)
class Table:
    """A table: title, prose, and rows of cells, the header first."""

    title: str
    prose: str
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return its text."""
        lines = ["| " + " | ".join(cells) + " |" for cells in self.rows]
        lines.insert(1, "|" + "---|" * len(self.rows[0]))
        return f"### {self.title}\n\n{self.prose}\n\n" + "\n".join(lines) + "\n"


@dataclass(slots=True)
class Section:
    """The section while its tables are measured; each is printed when it is there.

    Attributes:
        tables: text by title, in the page's order; those of an earlier run stay until they are measured anew.
    """

    machine: Mapping[str, str]
    peers: Mapping[str, str]
    tables: dict[str, str] = field(default_factory=dict)

    def add(self, table: Table) -> None:
        """Take a table, with the day and the load it was measured at, and print it."""
        load = os.getloadavg()[0]
        when = f"Measured {dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, load average {load:.2f} at its end."
        text = replace(table, prose=f"{table.prose} {when}").markdown()
        self.tables[table.title] = text
        print(f"\n{text}", flush=True)

    def markdown(self) -> str:
        """Return the section's text."""
        peers = ", ".join(f"{name} {version}" for name, version in self.peers.items())
        measured = {"measured": f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}", **self.machine, "peers": peers}
        facts = "".join(f"| {name} | {value} |\n" for name, value in measured.items())
        wanted = [title for title in TITLES.values() if title in self.tables]
        return f"| | |\n|---|---|\n{facts}\n" + "\n".join(self.tables[title] for title in wanted)


def tables_in(section: str) -> dict[str, str]:
    """Return the tables of a section's text by title."""
    return {text.partition("\n")[0].strip(): f"### {text.strip()}\n" for text in section.split("### ")[1:]}


@dataclass(frozen=True, slots=True)
class Unchanged:
    """One distance (ms): seconds of the floor, of macfleet and of each peer, start-up, round trips a node.

    Attributes:
        peers: seconds, or in words why there are none.
    """

    rtt: int
    floor: Sequence[float]
    ours: Sequence[float]
    start: float
    peers: Mapping[str, Sequence[float] | str]
    round_trips: int | None


@dataclass(frozen=True, slots=True)
class Scale:
    """One number of nodes: seconds, largest resident memory (bytes), connections at once, start-up."""

    nodes: int
    seconds: float
    memory: int
    connections: int
    start: float


def unchanged(nodes: int, rows: Sequence[Unchanged]) -> Table:
    """Return the section of nothing to change."""
    names = list(dict.fromkeys(name for row in rows for name in row.peers))
    head = ["round trip", "floor", "macfleet", "start-up", "limit", "round trips", *names]
    body = [[f"{row.rtt} ms", *_ours(row), *(_peer(row, name) for name in names)] for row in rows]
    prose = (
        f"{nodes} nodes. The limit is {OVER_FLOOR} × the floor + {START_UP} s; at most {ROUND_TRIPS} round "
        "trips from SYN to verdict. Behind each peer: how many times faster macfleet is, and the target."
    )
    return Table(TITLES["unchanged"], prose, [head, *body])


def changed(
    nodes: int, ours: Sequence[float], theirs: Sequence[float], failures: Sequence[str], round_trips: int
) -> Table:
    """Return the section of nine files to change; `failures` are pyinfra's further runs, in words."""
    judged = ["no figure", "not known"]
    if theirs:
        ratio = statistics.median(theirs) / statistics.median(ours)
        judged = [_spread(theirs), _judged(ratio, CHANGED)]
    if failures:
        judged[0] += f"; {len(failures)} of {len(theirs) + len(failures)} runs: {failures[-1]}"
    rows = [["macfleet", "pyinfra", "ratio"], [_spread(ours), *judged]]
    return Table(
        TITLES["changed"],
        f"{nodes} nodes at 50 ms, the tools in turn. A node cost macfleet {round_trips} round trips.",
        rows,
    )


def many(rows: Sequence[Scale]) -> Table:
    """Return the section of hundreds of nodes."""
    few, lots = rows[0], rows[-1]
    growth = (lots.seconds / few.seconds) / (lots.nodes / few.nodes)
    each = (lots.memory - few.memory) / (lots.nodes - few.nodes) / 2**20
    head = ["nodes", "seconds", "memory", "connections at once", "start-up"]
    body = [
        [
            str(r.nodes),
            f"{r.seconds:.2f}",
            f"{r.memory / 2**20:.0f} MiB",
            str(r.connections),
            f"{r.start:.2f}",
        ]
        for r in rows
    ]
    prose = (
        f"Nothing to change, no distance. Time a node grows by the factor {growth:.2f} "
        f"({_met(growth <= 1.05)}: linear or better), memory by {each:.2f} MiB a node ({_met(each < 1)}: "
        f"below 1), connections {_met(lots.connections <= 128)} (at most 128), start-up "
        f"{_met(lots.start < START_UP)} (below {START_UP} s)."
    )
    return Table(TITLES["many"], prose, [head, *body])


def bulk(nodes: int, size: int, found: Found) -> Table:
    """Return the section of a large file."""
    ratio = found.scp / found.delivery
    seconds = (found.scp, found.proven_scp, found.stream, found.delivery)
    head = ["scp", "scp, then sha256sum", "macfleet, bytes alone", "macfleet, proven", "scp / macfleet"]
    kept, rest = (f"{count / 2**20:.0f} MiB" for count in (found.kept, found.resumed))
    prose = (
        f"{size // 2**20} MiB to {nodes} nodes at once, no distance, in seconds, medians of three in turn. "
        f"Broken off at half, then gone on with: at least {kept} were there, at most {rest} were sent "
        f"({_met(found.rest_alone)}: the rest alone)."
    )
    rows = [head, [*(f"{value:.2f}" for value in seconds), _judged(ratio, BULK)]]
    return Table(TITLES["bulk"], prose, rows)


def line(row: Unchanged) -> str:
    """Return one distance as a line for the terminal."""
    floor, ours, *_ = _ours(row)
    peers = "".join(f"  {name} {_peer(row, name)}" for name in row.peers)
    return f"{row.rtt} ms:  floor {floor}  macfleet {ours}{peers}"


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    cpu = next(
        (text.partition(":")[2].strip() for text in _lines("/proc/cpuinfo") if text.startswith("model name")),
        platform.machine(),
    )
    memory = int(next(text for text in _lines("/proc/meminfo") if text.startswith("MemTotal")).split()[1])
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=False).stderr.strip()
    return {
        "machine": f"{cpu}, {os.cpu_count()} processors, {memory / 2**20:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "SSH": f"{ssh}; paramiko {paramiko.__version__}",
        "load before the start": f"{os.getloadavg()[0]:.2f}",
    }


def _ours(row: Unchanged) -> list[str]:
    limit = OVER_FLOOR * statistics.median(row.floor) + START_UP
    ours = statistics.median(row.ours)
    trips = (
        "not counted"
        if row.round_trips is None
        else f"{row.round_trips}, {_met(row.round_trips <= ROUND_TRIPS)}"
    )
    return [
        _spread(row.floor),
        _spread(row.ours),
        f"{row.start:.2f}",
        f"{limit:.2f}, {_met(ours <= limit)}",
        trips,
    ]


def _peer(row: Unchanged, name: str) -> str:
    found = row.peers.get(name, "not run")
    if isinstance(found, str):
        return found
    seconds = statistics.median(found)
    ratio = seconds / statistics.median(row.ours)
    target = TARGETS.get(name)
    return f"{seconds:.1f} ({_judged(ratio, target) if target else f'{ratio:.1f} ×'})"


def _judged(ratio: float, target: float) -> str:
    return f"{ratio:.1f} ×, {_met(ratio >= target)}: {target:g} ×"


def _met(holds: bool) -> str:  # noqa: FBT001 (a verdict)
    return "met" if holds else "**missed**"


def _spread(values: Sequence[float]) -> str:
    middle = f"{statistics.median(values):.2f}"
    return middle if len(values) == 1 else f"{middle} [{min(values):.2f}, {max(values):.2f}]"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
