"""What the sampler on a node printed, as rows of a series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from macfleet.model.json import Json, JsonObject
from macfleet.model.load import SegmentReport

_SECOND = 1_000_000_000
_PAGE_SIZE = re.compile(r"page size of (\d+) bytes")
_COUNTER = re.compile(r'^"?([^":]+)"?:\s*(\d+)\.?$')


def parse_series(text: str) -> list[dict[str, Json]]:
    """Return one row a second from the sampler's output, in time order.

    Unknown and broken lines are left out: they come from a node and are untrusted. A counter that is
    missing makes its figure None, never 0. VM shares are differences to the VM line before, so the first
    one has none.

    Returns:
        Rows with ``t_wall_ns``, ``host_used_pct``, ``host_pressure_level``, ``swapouts``,
        ``vm_iowait_pct``, ``vm_steal_pct``, ``vm_psi_io_some_avg10``, ``vm_mem_used`` (bytes), and
        ``arm``, ``cell``, ``segment`` as None.
    """
    rows: dict[int, dict[str, Json]] = {}
    ticks: Sequence[int] | None = None
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        stamp, _, body = rest.partition(" ")
        if kind not in ("H", "V") or not stamp.isdecimal():
            continue
        row = rows.setdefault(int(stamp), _empty(int(stamp)))
        if kind == "H":
            row.update(_host(body))
            continue
        fields = _fields(body)
        current = _ticks(fields.get("stat", ""))
        row.update(_vm(fields, _shares(ticks, current)))
        ticks = current or ticks
    return [rows[second] for second in sorted(rows)]


def label_series(rows: Iterable[JsonObject], reports: Sequence[SegmentReport]) -> list[dict[str, Json]]:
    """Return the rows with arm, cell and segment of the window each second began in; null between windows.

    The sampler stamps whole seconds, so a window's first part of a second belongs to what was before it.
    """
    windows = [
        (each.wall_start, each.wall_start + each.window_end - each.window_start, each) for each in reports
    ]
    labelled = []
    for row in rows:
        moment = row.get("t_wall_ns")
        found = next(
            (each for start, end, each in windows if isinstance(moment, int) and start <= moment < end), None
        )
        labels: dict[str, Json] = (
            {"arm": None, "cell": None, "segment": None}
            if found is None
            else {"arm": found.arm, "cell": found.cell, "segment": found.segment}
        )
        labelled.append({**row, **labels})
    return labelled


def used_percent(memsize: int | None, counters: Mapping[str, int], page: int | None) -> float | None:
    """Return Activity Monitor's "Memory Used" as a percentage of unified memory.

    used = (anonymous − purgeable + wired + occupied by compressor) × page size. Memory wired by Metal is
    inside wired, a VM's memory is anonymous memory of its process. None when any counter is missing.
    """
    names = ("Anonymous pages", "Pages purgeable", "Pages wired down", "Pages occupied by compressor")
    values = [counters.get(name) for name in names]
    known = [value for value in values if value is not None]
    if len(known) < len(names) or not memsize or not page:
        return None
    anonymous, purgeable, wired, compressor = known
    return 100 * (anonymous - purgeable + wired + compressor) * page / memsize


def _empty(second: int) -> dict[str, Json]:
    names = (
        "host_used_pct",
        "host_pressure_level",
        "swapouts",
        "vm_iowait_pct",
        "vm_steal_pct",
        "vm_psi_io_some_avg10",
        "vm_mem_used",
        "arm",
        "cell",
        "segment",
    )
    return {"t_wall_ns": second * _SECOND, **dict.fromkeys(names)}


def _host(body: str) -> dict[str, Json]:
    fields = _fields(body)
    page = _PAGE_SIZE.search(body)
    matches = [_COUNTER.match(part.strip()) for part in body.split(";")]
    counters = {found.group(1): int(found.group(2)) for found in matches if found}
    return {
        "host_used_pct": used_percent(
            _integer(fields.get("memsize")), counters, int(page.group(1)) if page else None
        ),
        "host_pressure_level": _integer(fields.get("level")),
        "swapouts": counters.get("Swapouts"),
    }


def _vm(fields: Mapping[str, str], shares: tuple[float | None, float | None]) -> dict[str, Json]:
    psi = re.search(r"\bsome avg10=(\d+(?:\.\d+)?)", fields.get("psi", ""))
    total, available = _integer(fields.get("total")), _integer(fields.get("available"))
    return {
        "vm_iowait_pct": shares[0],
        "vm_steal_pct": shares[1],
        "vm_psi_io_some_avg10": float(psi.group(1)) if psi else None,
        "vm_mem_used": None if total is None or available is None else (total - available) * 1024,
    }


def _fields(body: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in body.split(";") if "=" in part]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _ticks(text: str) -> Sequence[int] | None:
    """CPU ticks: user nice system idle iowait irq softirq steal; guest time is inside user already."""
    parts = text.split()[:8]
    return [int(part) for part in parts] if len(parts) == 8 and all(map(str.isdecimal, parts)) else None


def _shares(before: Sequence[int] | None, now: Sequence[int] | None) -> tuple[float | None, float | None]:
    """Percent of iowait and steal between two readings."""
    if before is None or now is None:
        return None, None
    deltas = [later - earlier for earlier, later in zip(before, now, strict=True)]
    total = sum(deltas)
    if total <= 0:
        return None, None
    # The kernel may take iowait back when it accounts a CPU anew; less than nothing is nothing.
    return 100 * max(deltas[4], 0) / total, 100 * max(deltas[7], 0) / total


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None
