"""What a million output tokens cost on a node, and when owning beats renting."""

# ruff: noqa: PLC0415  (scipy is slow to import: only where a figure is computed)

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from macfleet.analysis.offers import HOURS_A_MONTH, Offer, month_cost, running_month
from macfleet.analysis.pairs import interval_ratio
from macfleet.model.contract import Slo
from macfleet.model.run import CellSummary, Interval

PLANNED = Decimal("0.35")
"""Share of the time a node is busy, unless the team plans otherwise: working hours with pauses."""
_FULL = Decimal(1)
_MILLION = Decimal(1_000_000)
_SECONDS = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Price:
    """An amount in one currency with the interval its tokens/s carry into it; None without an interval."""

    value: Decimal
    currency: str
    low: Decimal | None = None
    high: Decimal | None = None


@dataclass(frozen=True, slots=True)
class SloCheck:
    """Whether a cell keeps what its bucket promises.

    Attributes:
        holds: True when the upper bound of every promised figure is within its level, False when a lower
            bound is beyond one, None when neither is proven.
        reasons: a sentence for each level that is not proven to hold.
    """

    holds: bool | None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeCost:
    """Cost per million output tokens of one arm of a node in one bucket.

    Attributes:
        cell: the highest load that counts; empty when none does.
        rate: tokens/s of answers that succeeded, in that cell.
        full: at 100 % utilisation; planned: at `utilisation`; None where there is no figure.
        slo: whether the service level is proven at `cell`; None means its bounds leave it open.
        why: what keeps the figure away, or the level open.
    """

    node: str
    arm: str
    bucket: str
    offer: str
    utilisation: Decimal
    cell: str = ""
    rate: Interval | None = None
    full: Price | None = None
    planned: Price | None = None
    slo: bool | None = None
    why: tuple[str, ...] = ()

    @property
    def load(self) -> str:
        """The load in words; a question mark where the service level is not proven there."""
        if self.full is not None:
            return self.cell if self.slo else f"? {self.cell}, SLO not proven"
        if self.why and all(" is INVALID" in reason for reason in self.why):
            return "INVALID"
        return "none keeps the SLO"


@dataclass(frozen=True, slots=True)
class BreakEven:
    """When owning beats renting.

    Attributes:
        months: of renting that pay the owned node's price; None when they never do.
        utilisation: share of the time an owned node must be busy so that its tokens cost no more than those
            of a rented one that is paid only while busy; above 1 it never is. None when not comparable.
        why: what is not comparable, or never happens.
    """

    own: str
    rent: str
    months: Decimal | None = None
    utilisation: Interval | None = None
    why: str = ""


def check_slo(cell: CellSummary, slo: Slo) -> SloCheck:
    """Hold a cell's intervals against the service level of its bucket; an INVALID cell proves nothing."""
    if cell.invalid:
        return SloCheck(None, (f"{cell.cell} is INVALID: {cell.invalid[0]}",))
    levels = (
        ("time to first token p95", cell.ttft_p95, slo.ttft_p95),
        ("time between tokens p95", cell.itl_p95, slo.itl_p95),
        ("end to end p95", cell.p95, slo.e2e_p95),
        ("errors", error_bounds(cell), slo.errors),
    )
    states: list[bool | None] = []
    reasons: list[str] = []
    for name, found, level in levels:
        if level is None:
            continue
        state = _within(found, level)
        states.append(state)
        if state is not True:
            reasons.append(f"{cell.cell}: {name} {_shown(found, name)} against {_figure(level, name)}")
    holds = False if False in states else None if None in states else True
    return SloCheck(holds, tuple(reasons))


def node_costs(
    cells: Sequence[CellSummary], offer: Offer, slos: Mapping[str, Slo], utilisation: Decimal = PLANNED
) -> tuple[NodeCost, ...]:
    """Return the cost of every arm and bucket of one node, at the highest load that keeps its level.

    A load whose bounds leave the level open counts only where no load is proven to keep it.
    """
    kinds = dict.fromkeys((cell.node, cell.arm, cell.bucket) for cell in cells)
    found = []
    for node, arm, bucket in kinds:
        own = [each for each in cells if (each.node, each.arm, each.bucket) == (node, arm, bucket)]
        found.append(_cost(node, arm, bucket, own, offer, slos.get(bucket, Slo()), utilisation))
    return tuple(found)


def cost_per_million(rate: Interval, offer: Offer, utilisation: Decimal) -> Price:
    """Return the cost of a million tokens: the hour's cost over the tokens of a busy hour's share.

    Args:
        rate: tokens/s while busy, positive; its bounds become those of the cost.
        offer: price of the node, busy or idle.
        utilisation: share of the time the node is busy, above 0.
    """
    hour = month_cost(offer, utilisation) / HOURS_A_MONTH

    def at(tokens: float | None) -> Decimal | None:
        if tokens is None or tokens <= 0:
            return None
        return hour / (_SECONDS * Decimal(repr(tokens)) * utilisation) * _MILLION

    value = at(rate.value)
    if value is None:
        raise ValueError("a cost needs a positive rate")
    low, high = at(rate.high), at(rate.low)
    bounded = low is not None and high is not None
    return Price(value, offer.currency, low if bounded else None, high if bounded else None)


def break_even(
    own: Offer,
    rent: Offer,
    own_rate: Interval | None = None,
    rent_rate: Interval | None = None,
    utilisation: Decimal = PLANNED,
) -> BreakEven:
    """Return when an owned node beats a rented one; prices in different currencies are not compared.

    Months are capex·(1 − residual) over what renting costs more each month than running the owned node.
    Utilisation solves own(u)/u = rent·rate_own/rate_rent, where own(u) = fixed + power·u per hour.
    """
    if own.currency != rent.currency:
        return BreakEven(own.id, rent.id, why=f"{own.currency} and {rent.currency} are not compared")
    saved = month_cost(rent, utilisation) - running_month(own, utilisation)
    months = own.price * (1 - own.residual) / saved if saved > 0 else None
    why = "" if months is not None else "running the owned node costs as much as renting"
    share = None
    if own_rate is None or rent_rate is None:
        why = why or "the share of busy time is not measured: it needs tokens/s of both"
    else:
        share = _busy_share(own, rent, own_rate, rent_rate)
    return BreakEven(own.id, rent.id, months, share, why)


def blend(own: NodeCost, rent: NodeCost, base: Decimal) -> Price | None:
    """Return the cost per million when an owned node serves the share `base`, and rented hours the peaks.

    The owned node is used as planned, rented hours are busy throughout. None without figures in one currency.
    """
    if own.planned is None or rent.full is None or own.planned.currency != rent.full.currency:
        return None
    one, other = own.planned, rent.full
    low = None if one.low is None or other.low is None else base * one.low + (1 - base) * other.low
    high = None if one.high is None or other.high is None else base * one.high + (1 - base) * other.high
    return Price(base * one.value + (1 - base) * other.value, one.currency, low, high)


def _cost(
    node: str,
    arm: str,
    bucket: str,
    cells: Sequence[CellSummary],
    offer: Offer,
    slo: Slo,
    utilisation: Decimal,
) -> NodeCost:
    ordered = sorted(cells, key=lambda cell: cell.concurrency, reverse=True)
    checked = [(cell, check_slo(cell, slo)) for cell in ordered]
    why = tuple(reason for _, check in checked for reason in check.reasons)
    fitting = [(cell, check) for cell, check in checked if check.holds and not cell.invalid]
    fitting = fitting or [
        (cell, check) for cell, check in checked if check.holds is None and not cell.invalid
    ]
    fitting = [(cell, check) for cell, check in fitting if good_rate(cell).value > 0]
    if not fitting:
        return NodeCost(node, arm, bucket, offer.id, utilisation, why=why or ("no token was generated",))
    cell, check = fitting[0]
    rate = good_rate(cell)
    return NodeCost(
        node,
        arm,
        bucket,
        offer.id,
        utilisation,
        cell.cell,
        rate,
        cost_per_million(rate, offer, _FULL),
        cost_per_million(rate, offer, utilisation),
        check.holds,
        why,
    )


def good_rate(cell: CellSummary) -> Interval:
    """Return tokens/s of answers that succeeded.

    A failed request is taken to have had its full share of tokens, so that the cost is not flattered.
    """
    share, rate = 1 - cell.errors, cell.tokens_per_second
    low = None if rate.low is None else rate.low * share
    high = None if rate.high is None else rate.high * share
    return Interval(rate.value * share, low, high)


def _busy_share(own: Offer, rent: Offer, own_rate: Interval, rent_rate: Interval) -> Interval | None:
    ratio = interval_ratio(own_rate, rent_rate)
    if ratio is None:
        return None
    fixed = month_cost(own, Decimal(0))
    power = month_cost(own, _FULL) - fixed
    rented = month_cost(rent, _FULL)

    def at(speed: float | None) -> float | None:
        if speed is None:
            return None
        worth = rented * Decimal(repr(speed)) - power
        return float(fixed / worth) if worth > 0 else float("inf")

    value = at(ratio.value)
    return None if value is None else Interval(value, at(ratio.high), at(ratio.low))


def error_bounds(cell: CellSummary) -> Interval:
    """Share of failed requests with one-sided 95 % bounds by Clopper and Pearson."""
    from scipy.special import betaincinv

    failed, count = cell.n - cell.ok, cell.n
    if not count:
        return Interval(1.0)
    low = float(betaincinv(failed, count - failed + 1, 0.05)) if failed else 0.0
    high = float(betaincinv(failed + 1, count - failed, 0.95)) if failed < count else 1.0
    return Interval(failed / count, low, high)


def _within(found: Interval | None, level: float) -> bool | None:
    if found is None:
        return None
    if found.high is not None and found.high <= level:
        return True
    return False if found.low is not None and found.low > level else None


def _shown(found: Interval | None, name: str) -> str:
    if found is None:
        return "was not recorded"
    if found.low is None or found.high is None:
        return f"{_figure(found.value, name)} (too few requests for bounds)"
    return f"{_figure(found.value, name)} [{_figure(found.low, name)}, {_figure(found.high, name)}]"


def _figure(value: float, name: str) -> str:
    if name == "errors":
        return f"{100 * value:.2f} %"
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.2f} s"
