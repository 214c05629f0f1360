"""What the sampler on a node printed, as rows of a series."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from macfleet.analysis.frames import SERIES_COLUMNS
from macfleet.analysis.sampler_fields import Fields, Reading, rate
from macfleet.model.json import Json, JsonObject
from macfleet.model.load import SegmentReport

_SECOND = 1_000_000_000
_SECTOR = 512
_MEBIBYTE = 2**20
_DIGITS = 12
_TICKS_A_SECOND = 100
"""USER_HZ of every Linux: what /proc counts CPU time in."""


def parse_series(text: str) -> list[dict[str, Json]]:
    """Return one row a second from the sampler's output, in time order.

    Unknown and broken lines are left out: they come from a node and are untrusted; of two lines of a kind in
    one second the first stands. A counter that is
    missing makes its figure None, never 0. Shares and rates are differences to the line of that kind before,
    so the first one has none.

    Returns:
        Rows with the names of `SERIES_COLUMNS`: ``…_pct`` in percent, ``…_per_s`` in bytes or events a
        second, memory and swap in bytes, ``…_ms`` in milliseconds, ``…_s`` in seconds, ``slept_at`` and
        ``woke_at`` in epoch seconds, ``sampler_cpu_s`` and ``vm_sampler_cpu_s`` the sampler's own CPU time so
        far; ``clock_offset_s``, ``arm``, ``cell`` and ``segment`` are None.
    """
    rows: dict[int, dict[str, Json]] = {}
    before: dict[str, Reading] = {}
    spent: dict[str, float] = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        stamp, _, body = rest.partition(" ")
        if not stamp.isdecimal() or len(stamp) > _DIGITS:
            continue
        second = int(stamp)
        if kind == "C":
            part, seconds = _spent(body)
            spent |= {} if seconds is None else {part: seconds}
            found: dict[str, Json] = {"sampler_cpu_s": sum(spent.values()) if spent else None}
        elif kind in _KINDS:
            if kind in before and before[kind].second >= second:
                continue  # the loop came round twice in a second, and its first reading stands
            now = Reading(second, Fields(body))
            found = _KINDS[kind](now, before.get(kind))
            before[kind] = now
        else:
            continue
        rows.setdefault(second, _empty(second)).update(found)
    return [rows[second] for second in sorted(rows)]


def clock_offset(heard: Iterable[tuple[str, float]]) -> float | None:
    """Return by how many seconds the node's clock is ahead of ours, from when lines came; None without any.

    A line that holds the clock was under way for some milliseconds, so each shows the node further behind
    than it is; the one that was quickest shows it best.

    Args:
        heard: lines as the node sent them, each with our epoch seconds when it came.
    """
    shown = [
        (Fields(line.partition(" ")[2].partition(" ")[2]).number("clock"), came)
        for line, came in heard
        if line.startswith("K ")
    ]
    return max((clock - came for clock, came in shown if clock is not None), default=None)


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


def used_percent(memsize: int | None, counters: Mapping[str, int | None], page: int | None) -> float | None:
    """Return Activity Monitor's "Memory Used" as a percentage of unified memory.

    used = (anonymous − purgeable + wired + occupied by compressor) × page size. Memory wired by Metal is
    inside wired, a VM's memory is anonymous memory of its process. None when any counter is missing.
    """
    names = ("anonymous", "purgeable", "wired", "compressor")
    values = [counters.get(name) for name in names]
    known = [value for value in values if value is not None]
    if len(known) < len(names) or not memsize or not page:
        return None
    anonymous, purgeable, wired, compressor = known
    return 100 * (anonymous - purgeable + wired + compressor) * page / memsize


def _empty(second: int) -> dict[str, Json]:
    return {**dict.fromkeys(SERIES_COLUMNS), "t_wall_ns": second * _SECOND}


def _host(now: Reading, before: Reading | None) -> dict[str, Json]:
    fields = now.fields
    names = ("anonymous", "purgeable", "wired", "compressor")
    counters = {name: fields.integer(name) for name in names}
    disk = rate(now, before, "disk")
    return {
        "host_used_pct": used_percent(fields.integer("memsize"), counters, fields.integer("page")),
        "host_pressure_level": fields.integer("level"),
        "swapouts": fields.integer("swapouts"),
        "host_swap_used": fields.size("swap"),
        "host_open_files": fields.integer("files"),
        "host_sockets": fields.integer("sockets"),
        "host_time_wait": fields.integer("tw"),
        "host_disk_bytes_per_s": None if disk is None else disk * _MEBIBYTE,
        "slept_at": fields.integer("slept") or None,
        "woke_at": fields.integer("woke") or None,
    }


def _power(now: Reading, _before: Reading | None) -> dict[str, Json]:
    """Heat as macOS warns of it, 0 for no warning; mains or battery; the lid of a Mac that has one."""
    fields = now.fields
    heat, power, lid = fields.text("heat"), fields.text("power"), fields.text("lid")
    level = re.search(r"Thermal Warning Level\s*=\s*(\d{1,6})\b", heat)
    cool = 0 if "No thermal warning level" in heat else None
    return {
        "thermal_level": int(level.group(1)) if level else cool,
        "on_battery": "Battery" in power if "drawing from" in power else None,
        "lid_closed": {"Yes": True, "No": False}.get(lid),
        "busiest": fields.text("busy").strip(" ,") or None,
    }


def _vm(now: Reading, before: Reading | None) -> dict[str, Json]:
    fields = now.fields
    shares = _shares(_ticks(before.fields.text("stat")) if before else None, _ticks(fields.text("stat")))
    total, available = fields.integer("total"), fields.integer("available")
    return {
        "vm_iowait_pct": shares[0],
        "vm_steal_pct": shares[1],
        "vm_psi_io_some_avg10": _stalled(fields.text("psi")),
        "vm_mem_used": None if total is None or available is None else (total - available) * 1024,
    }


def _inside(now: Reading, before: Reading | None) -> dict[str, Json]:
    fields = now.fields
    read, written = rate(now, before, "read"), rate(now, before, "written")
    throttled, cost = rate(now, before, "throttled"), fields.integer("cost")
    sockets = re.search(r"\binuse (\d{1,12}) .*\btw (\d{1,12})\b", fields.text("sockets"))
    return {
        "vm_psi_memory_some_avg10": _stalled(fields.text("memory")),
        "vm_psi_cpu_some_avg10": _stalled(fields.text("cpu")),
        "vm_sockets": int(sockets.group(1)) if sockets else None,
        "vm_time_wait": int(sockets.group(2)) if sockets else None,
        "vm_open_files": fields.integer("files"),
        "vm_disk_read_bytes_per_s": None if read is None else read * _SECTOR,
        "vm_disk_written_bytes_per_s": None if written is None else written * _SECTOR,
        "container_memory": fields.integer("used"),
        "container_throttled_pct": None if throttled is None else 100 * throttled / 1e6,
        "container_major_faults_per_s": rate(now, before, "faults"),
        "vm_sampler_cpu_s": None if cost is None else cost / _TICKS_A_SECOND,
    }


def _probed(now: Reading, _before: Reading | None) -> dict[str, Json]:
    clock, took = now.fields.integer("clock"), now.fields.number("fsync")
    return {
        "vm_fsync_ms": None if took is None else 1000 * took,
        "vm_clock_offset_s": None if clock is None else clock - now.second,
    }


def _engine(now: Reading, _before: Reading | None) -> dict[str, Json]:
    fields = now.fields
    busy = fields.numbers("llamacpp:requests_processing", "vllm:num_requests_running")
    queued = fields.numbers("llamacpp:requests_deferred", "vllm:num_requests_waiting")
    cache = fields.numbers(
        "llamacpp:kv_cache_usage_ratio", "vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"
    )
    return {
        "engine_busy": sum(busy) if busy else None,
        "engine_queued": sum(queued) if queued else None,
        "engine_kv_pct": 100 * max(cache) if cache else None,
    }


_KINDS = {"H": _host, "P": _power, "V": _vm, "W": _inside, "X": _probed, "E": _engine}


def _spent(body: str) -> tuple[str, float | None]:
    """Return the part of the sampler and the CPU seconds it and its programs took, as `times` prints them."""
    part, *shown = body.split()[:5] or [""]
    matches = [re.fullmatch(r"(\d{1,6})m(\d{1,2}(?:[.,]\d{1,6})?)s", each) for each in shown]
    seconds = [60 * int(m.group(1)) + float(m.group(2).replace(",", ".")) for m in matches if m]
    return part, sum(seconds) if len(seconds) == 4 else None


def _stalled(text: str) -> float | None:
    """Percent of the last ten seconds in which some task waited, of a line of PSI."""
    found = re.search(r"\bsome avg10=(\d{1,3}(?:\.\d{1,4})?)", text)
    return float(found.group(1)) if found else None


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
