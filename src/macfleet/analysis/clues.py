"""Single observations a diagnosis rests on: for a cause, against it, or not recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from macfleet.analysis.bootstrap import lower_bound, upper_bound
from macfleet.analysis.conditions import factor, share
from macfleet.analysis.pairs import Ratio, interval_ratio
from macfleet.analysis.signs import Signs
from macfleet.analysis.thresholds import DEFAULTS, DIAGNOSIS
from macfleet.model.contract import Slo
from macfleet.model.json import JsonObject
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary, Interval

LIMITS: Mapping[str, float] = {
    name: value for each in (*DEFAULTS, *DIAGNOSIS) for name, value in each.limits.items()
}
_SLOWER = 1.2
"""A ratio proven above this is called slower: less is inside what two runs differ by anyway."""
_WIDER = 1.5
_PORTS = 16_384
"""Ports macOS has for new connections, net.inet.ip.portrange.first to last."""


@dataclass(frozen=True, slots=True)
class Record:
    """Everything recorded about one node that a rule can ask for.

    Attributes:
        cells: summaries of one run; INVALID ones prove nothing and are not asked.
        signs: by arm and cell; slos: service level by bucket; models: names measured on the node so far.
        mounts: by root (``weights``, ``cache``, ``logs``) as the run's facts hold them.
    """

    node: str
    run: str
    cells: tuple[CellSummary, ...]
    signs: Mapping[tuple[str, str], Signs] = field(default_factory=dict)
    slos: Mapping[str, Slo] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    mounts: JsonObject = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=lambda: LIMITS)

    def cell(self, arm: str, concurrency: int) -> CellSummary | None:
        """Return the valid cell of an arm at a concurrency, of the first bucket that has one."""
        return next(
            (c for c in self.cells if (c.arm, c.concurrency) == (arm, concurrency) and not c.invalid), None
        )

    def beside(self, cell: CellSummary | None) -> Signs:
        """Return what the sampler saw beside a cell."""
        return self.signs.get((cell.arm, cell.cell), Signs()) if cell else Signs()

    @property
    def base(self) -> str:
        """The arm the container is held against: bare-cpu where bare has an accelerator it lacks.

        No cause in the VM is looked for behind a loss that is the GPU's.
        """
        known = {cell.arm: cell.accelerator for cell in self.cells}
        bare, container = known.get(Arm.BARE, ""), known.get(Arm.CONTAINER) or "cpu"
        return Arm.BARE_CPU if bare and bare != container else Arm.BARE


@dataclass(frozen=True, slots=True)
class Clue:
    """One observation: True supports, False refutes, None says what was not recorded."""

    holds: bool | None
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """A ratio of two cells under a name; None when a cell is missing or has no interval."""

    name: str
    ratio: Ratio | None


def ratio(
    test: CellSummary | None, base: CellSummary | None, name: str, figure: Callable[[CellSummary], Interval]
) -> Found:
    """Return the ratio of one figure of two cells, named."""
    if test is None or base is None:
        return Found(f"{name}: no valid cells to compare", None)
    ratio = interval_ratio(figure(test), figure(base))
    shown = f"{name}, {test.arm} {test.cell} over {base.arm} {base.cell}"
    return Found(f"{shown}: {factor(ratio)}" if ratio else f"{shown}: no ratio", ratio)


def above(found: Found, line: float) -> Clue:
    """Proven above the line, proven below it, or open."""
    ratio = found.ratio
    if ratio is None or ratio.lower is None or ratio.upper is None:
        return Clue(None, found.name)
    holds = True if ratio.lower > line else False if ratio.upper < line else None
    return Clue(holds, f"{found.name}, line {line:g}×")


def slower(found: Found) -> Clue:
    """Proven slower by more than runs differ anyway."""
    return above(found, _SLOWER)


def as_fast(found: Found) -> Clue:
    """Proven not slower than that."""
    clue = above(found, _SLOWER)
    return Clue(turned(clue.holds), clue.text)


def turned(holds: bool | None) -> bool | None:  # noqa: FBT001 (a three-valued not)
    """Return the opposite; what is open stays open."""
    return None if holds is None else not holds


def wider(test: CellSummary | None, base: CellSummary | None) -> Clue:
    """Spread is p95 over p50; the container's against the other arm's."""
    if test is None or base is None or test.p50.value <= 0 or base.p50.value <= 0:
        return Clue(None, "spread of latencies: no valid cells of both arms")
    ours, theirs = test.p95.value / test.p50.value, base.p95.value / base.p50.value
    text = f"p95 is {ours:.2f}× the median in {test.arm} {test.cell}, {theirs:.2f}× in {base.arm}"
    if test.p95.low is None or base.p95.high is None:
        return Clue(None, f"{text}; too few requests for bounds")
    least = test.p95.low / test.p50.value / (base.p95.high / base.p50.value)
    return Clue(True if least > _WIDER else False if ours / theirs < _WIDER else None, text)


def storage(record: Record, cell: CellSummary | None) -> list[Clue]:
    """In-VM iowait and PSI against the team's lines; one's silence does not refute the other."""
    found = [
        level("in-VM iowait", cell.iowait if cell else None, record.limits["iowait_above"]),
        level("PSI io some", cell.psi_io if cell else None, record.limits["psi_io_some_above"]),
    ]
    return [each for each in found if each.holds] or found


def level(name: str, found: Interval | None, line: float) -> Clue:
    """The window mean of a share is proven above its line, or below."""
    if found is None:
        return Clue(None, f"{name}: not recorded")
    text = f"{name} {share(found)}, line {100 * line:.0f} %"
    low, high = lower_bound(found), upper_bound(found)
    if low is None or high is None:
        return Clue(None, f"{text}; too few seconds for bounds")
    return Clue(True if low > line else False if high < line else None, text)


def swap(record: Record, cell: CellSummary | None) -> Clue:
    """Pages were swapped out while the cell was measured."""
    signs = record.beside(cell)
    if signs.swapouts is None:
        return Clue(None, "swap: not recorded")
    return Clue(signs.swapouts > 0, f"{signs.swapouts:,} pages were swapped out")


def steal(record: Record, cell: CellSummary | None) -> Clue:
    """The VM waited for the host's CPU."""
    signs = record.beside(cell)
    if signs.steal is None:
        return Clue(None, "steal: not recorded")
    return Clue(signs.steal > 0.05, f"steal {100 * signs.steal:.1f} % of the VM's CPU time, line 5 %")


def pressure(record: Record, cell: CellSummary | None) -> Clue:
    """The host was short of memory."""
    signs = record.beside(cell)
    if signs.pressure is None:
        return Clue(None, "memory pressure: not recorded")
    return Clue(signs.pressure > 1, f"memory pressure level {signs.pressure}, 1 is normal")


def throttling(record: Record, cell: CellSummary | None) -> Clue:
    """A CPU limit held the container back."""
    signs = record.beside(cell)
    if signs.throttled is None:
        return Clue(None, "CPU throttling of the container: not recorded")
    text = f"a CPU limit held the container back {100 * signs.throttled:.1f} % of the time"
    line = record.limits["throttled_above"]
    return Clue(signs.throttled > line, f"{text}, line {100 * line:.3g} %")


def fsync(record: Record, cell: CellSummary | None) -> Clue:
    """The VM's disk takes long to make a write last."""
    signs = record.beside(cell)
    if signs.fsync is None:
        return Clue(None, "fsync latency: not recorded")
    line = record.limits["fsync_above"]
    text = f"fsync in the VM took {1000 * signs.fsync:.1f} ms (median), line {1000 * line:.3g} ms"
    return Clue(signs.fsync > line, text)


def heat(record: Record, cell: CellSummary | None) -> Clue:
    """MacOS warned that the machine is too hot."""
    signs = record.beside(cell)
    if signs.heat is None:
        return Clue(None, "thermal state: not recorded")
    return Clue(signs.heat > 0, f"thermal warning level {signs.heat}, 0 is none")


def background(record: Record, cell: CellSummary | None) -> Clue:
    """Spotlight, Time Machine or a video call was among the host's busiest processes."""
    signs = record.beside(cell)
    if signs.background is None:
        return Clue(None, "the host's busiest processes: not recorded")
    if not signs.background:
        return Clue(False, "no Spotlight, Time Machine or video call among the host's busiest processes")
    return Clue(True, f"busy beside the engine: {', '.join(signs.background)}")


def ports(record: Record, cell: CellSummary | None) -> Clue:
    """Closed connections hold most of the ports a Mac has for new ones."""
    signs = record.beside(cell)
    if signs.time_wait is None:
        return Clue(None, "connections in TIME_WAIT: not recorded")
    line = record.limits["time_wait_above"]
    text = f"{signs.time_wait:,} connections in TIME_WAIT of {_PORTS:,} ports, line {100 * line:.3g} %"
    return Clue(signs.time_wait > line * _PORTS, text)


def queued(record: Record, cell: CellSummary | None) -> Clue:
    """Requests waited inside the engine for a slot."""
    signs = record.beside(cell)
    if signs.queued is None:
        return Clue(None, "requests waiting in the engine: not recorded")
    return Clue(signs.queued > 0, f"up to {signs.queued:.0f} requests waited in the engine for a slot")


def weights_bound(record: Record) -> Clue:
    """Weights that are bind-mounted come from no image layer."""
    mount = str(record.mounts.get("weights") or "")
    if not mount:
        return Clue(None, "the weights' mount is not recorded")
    return Clue(False, f"weights are bind-mounted: {mount}")


def virtiofs(record: Record) -> Clue:
    """Files are read through virtiofs, whose I/O hardly shows in the VM."""
    mounts = [name for name, mount in record.mounts.items() if "virtiofs" in str(mount)]
    if not record.mounts:
        return Clue(None, "mount types are not recorded")
    text = f"{', '.join(sorted(mounts)) or 'nothing'} is read through virtiofs"
    return Clue(bool(mounts), text)
