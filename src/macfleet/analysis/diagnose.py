"""Symptoms and their causes: each row of the table as a rule that names what speaks for and against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from macfleet.analysis import clues
from macfleet.analysis.clues import Clue, Record
from macfleet.analysis.cost import check_slo, error_bounds
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary

_CONNECTION = ("http_429", "http_502", "http_503", "http_504", "connect", "stall_timeout", "reset")
_NEITHER = ("ok", "censored", "http_error")
_QUEUES = 2.0
"""Growth of the time to first token from 1 to 4 that engine slots alone do not make."""
_TOLERATED = 0.005
"""Share of failed requests where the contract promises none."""


class State(StrEnum):
    """What a rule says of its cause."""

    LIKELY = "likely"
    POSSIBLE = "possible"
    UNLIKELY = "unlikely"
    ABSENT = "symptom absent"
    OPEN = "not enough evidence"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table for one node.

    Attributes:
        seen: what of the symptom itself was recorded; lacking: what is not recorded and would tell.
        supporting, refuting: evidence for and against the cause.
    """

    node: str
    symptom: str
    state: State
    cause: str
    action: str
    seen: tuple[str, ...] = ()
    supporting: tuple[str, ...] = ()
    refuting: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


def diagnose(record: Record) -> tuple[Finding, ...]:
    """Return every row for a node, in the table's order."""
    return tuple(rule(record) for rule in _RULES)


def _finding(
    record: Record,
    symptom: str,
    seen: Sequence[Clue],
    cause: str,
    action: str,
    weighed: Sequence[Clue] = (),
) -> Finding:
    """Weigh: without the symptom nothing is looked for; with it, clues for and against decide."""
    supporting = tuple(each.text for each in weighed if each.holds is True)
    refuting = tuple(each.text for each in weighed if each.holds is False)
    lacking = tuple(each.text for each in (*seen, *weighed) if each.holds is None)
    states = [each.holds for each in seen]
    if False in states:
        state = State.ABSENT
    elif not states or None in states:
        state = State.OPEN
    elif supporting:
        state = State.POSSIBLE if refuting else State.LIKELY
    else:
        state = State.UNLIKELY if refuting else State.OPEN
    told = tuple(each.text for each in seen if each.holds is not None)
    return Finding(record.node, symptom, state, cause, action, told, supporting, refuting, lacking)


def _first_token(record: Record) -> Finding:
    test, base = record.cell(Arm.CONTAINER, 1), record.cell(record.base, 1)
    first = clues.ratio(test, base, "time to first token", lambda cell: cell.ttft_p50)
    between = clues.ratio(test, base, "time between tokens", lambda cell: cell.itl_p50)
    return _finding(
        record,
        "only the first token is slow",
        [clues.slower(first), clues.as_fast(between)],
        "cold start reads, cold image layers",
        "prewarm, bind-mount weights",
        [*clues.storage(record, test), clues.weights_bound(record)],
    )


def _concurrency(record: Record) -> Finding:
    arm = Arm.CONTAINER if record.cell(Arm.CONTAINER, 4) else Arm.BARE
    few, many = record.cell(arm, 1), record.cell(arm, 4)
    growth = clues.ratio(many, few, "p95 from 1 to 4", lambda cell: cell.p95)
    line = record.limits["p95_growth_above"]
    return _finding(
        record,
        "everything slows under concurrency",
        [clues.above(growth, line)],
        "page cache thrash, swap",
        "cap concurrency, split to remote",
        [
            clues.level("host memory", many.memory if many else None, record.limits["memory_above"]),
            clues.swap(record, many),
            *clues.storage(record, many),
        ],
    )


def _one_model(record: Record) -> Finding:
    known = len(record.models)
    return _finding(
        record,
        "only one model is slow",
        [Clue(None, f"{known} model was measured on this node; two are needed to compare")],
        "quantisation against mmap, libraries for the wrong architecture",
        "other quantisation, verify arm64-native libraries",
    )


def _jitter(record: Record) -> Finding:
    test, base = record.cell(Arm.CONTAINER, 4), record.cell(record.base, 4)
    test, base = test or record.cell(Arm.CONTAINER, 1), base or record.cell(record.base, 1)
    weighed = [
        *clues.storage(record, test),
        clues.virtiofs(record),
        clues.steal(record, test),
        clues.throttling(record, test),
        clues.fsync(record, test),
    ]
    return _finding(
        record,
        "jitter only in the container",
        [clues.wider(test, base)],
        "volumes, network mode, cgroup limits, fsync",
        "bind mounts, host-network A/B",
        weighed,
    )


def _both_slow(record: Record) -> Finding:
    seen = []
    for arm in (record.base, Arm.CONTAINER):
        cells = [c for c in record.cells if c.arm == arm and not c.invalid and c.bucket in record.slos]
        checks = [(cell, check_slo(cell, record.slos[cell.bucket])) for cell in cells]
        broken = [reason for _, check in checks if check.holds is False for reason in check.reasons]
        kept = bool(checks) and all(check.holds for _, check in checks)
        said = f"{arm}: {broken[0]}" if broken else f"{arm} keeps its service level" if kept else ""
        seen.append(Clue(True if broken else False if kept else None, said or f"{arm}: no level is proven"))
    bare = record.cell(record.base, 4) or record.cell(record.base, 1)
    return _finding(
        record,
        "both paths slow",
        seen,
        "quantisation, thermals, background jobs",
        "reduce noise, maintenance window, split to remote",
        [
            clues.level(
                "host memory of the bare arm", bare.memory if bare else None, record.limits["memory_above"]
            ),
            clues.pressure(record, bare),
            clues.heat(record, bare),
            clues.background(record, bare),
        ],
    )


def _errors(record: Record) -> Finding:
    cells = [cell for cell in record.cells if not cell.invalid and cell.n]
    worst = max(cells, key=lambda cell: (cell.errors, cell.n), default=None)
    named = dict(worst.outcomes) if worst else {}
    found = [
        Clue(name.startswith(_CONNECTION), f"{name}: {count}")
        for name, count in sorted(named.items())
        if name not in _NEITHER
    ]
    found.append(clues.ports(record, worst))
    found.append(Clue(None, "open descriptors and the engine's own log are not in the summary"))
    return _finding(
        record,
        "HTTP errors rise",
        [_failed(record, worst)],
        "descriptor limits, connection pools, timeouts",
        "tune connections, add backpressure",
        found,
    )


def _failed(record: Record, cell: CellSummary | None) -> Clue:
    """More requests failed than the bucket promises, by the bounds of their share."""
    if cell is None:
        return Clue(None, "errors: no valid cell")
    slo = record.slos.get(cell.bucket)
    line = _TOLERATED if slo is None or slo.errors is None else slo.errors
    found = error_bounds(cell)
    share = f"{100 * cell.errors:.1f} % of {cell.n} requests failed, line {100 * line:.1f} %"
    text = f"{cell.arm} {cell.cell}: {share}"
    low, high = found.low or 0.0, 1.0 if found.high is None else found.high
    return Clue(True if low > line else False if high <= line else None, text)


def _queue(record: Record) -> Finding:
    arm = Arm.CONTAINER if record.cell(Arm.CONTAINER, 4) else Arm.BARE
    few, many = record.cell(arm, 1), record.cell(arm, 4)
    wait = clues.ratio(many, few, "time to first token from 1 to 4", lambda cell: cell.ttft_p95)
    starving = [
        clues.steal(record, many),
        clues.level("in-VM iowait", many.iowait if many else None, record.limits["iowait_above"]),
    ]
    starves = any(clue.holds for clue in starving)
    action = "fewer slots, mounts, another node" if starves else "caps at the gateway"
    cause = "the worker starves" if starves else "too many admitted"
    admitted = [Clue(clues.turned(each.holds), each.text) for each in starving]
    weighed = starving if starves else [clues.queued(record, many), *admitted]
    seen = [clues.above(wait, _QUEUES)]
    return _finding(record, "queue or request age grows", seen, cause, action, weighed)


def _shared_volume(record: Record) -> Finding:
    roots = {
        name: str(record.mounts.get(name) or "").rpartition(" ")[2] for name in ("weights", "cache", "logs")
    }
    if not roots["weights"] or not (roots["cache"] or roots["logs"]):
        seen = Clue(None, "where weights, caches and logs lie is not recorded")
    else:
        inside = [n for n in ("cache", "logs") if _below(roots[n], roots["weights"])]
        text = (
            f"{', '.join(inside) or 'neither caches nor logs'} below the weights' folder {roots['weights']}"
        )
        seen = Clue(bool(inside), text)
    cell = record.cell(Arm.CONTAINER, 4) or record.cell(Arm.CONTAINER, 1)
    return _finding(
        record,
        "caches or logs on the weights' volume, large log streams",
        [seen],
        "sequential writes interfering with mmap reads",
        "separate bind mount or a remote collector",
        clues.storage(record, cell),
    )


def _restarts(record: Record) -> Finding:
    return _finding(
        record,
        "restarts in a loop",
        [Clue(None, "restart counts are not recorded by a load test")],
        "broken mount or bad image; unbounded restarts hide the first stack trace and wear the SSD",
        "bounded restarts, crash-loop detector, first failure kept",
    )


_RULES: Sequence[Callable[[Record], Finding]] = (
    _first_token,
    _concurrency,
    _one_model,
    _jitter,
    _both_slow,
    _errors,
    _queue,
    _shared_volume,
    _restarts,
)


def _below(path: str, folder: str) -> bool:
    return bool(path) and (path == folder or path.startswith(f"{folder.rstrip('/')}/"))
