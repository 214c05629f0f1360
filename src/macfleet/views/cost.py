"""Costs in the terminal: offers, nodes, rent against own, what moves the figure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from macfleet.analysis.cost import BreakEven, NodeCost, Price
from macfleet.model.run import Interval
from macfleet.reports import figures, money
from macfleet.reports.costs import CostReport, OfferLine, Pair, Sensitivity
from macfleet.views.diagnostics import clean
from macfleet.views.flow import fold


def show_costs(report: CostReport, console: Console) -> None:
    """Print the whole report: what to know first, then each table that has rows."""
    for notice in dict.fromkeys(report.notices):
        _say(console, f"! {notice}")
    planned = money.share(report.utilisation)
    _offers(report.offers, planned, console)
    _nodes(report.nodes, planned, console)
    for pair in report.pairs:
        _pair(pair, console)
    for each in report.sensitivities:
        _sensitivity(each, planned, console)


def _offers(lines: Sequence[OfferLine], planned: str, console: Console) -> None:
    if not lines:
        _say(console, "There are no offers yet: write them into contract/offers.yml.")
        return
    rows = [
        (
            line.offer.id,
            line.offer.kind,
            f"{money.plain(line.offer.price, line.offer.currency)} {line.offer.unit}",
            money.price(line.month),
            line.offer.as_of.isoformat(),
        )
        for line in lines
    ]
    _table(console, f"Offers, a month at {planned}", ("offer", "kind", "price", "a month", "as of"), rows)
    for line in lines:
        for flag in line.flags:
            _say(console, f"! {line.offer.id}: {flag}")
        if line.terms:
            _say(console, f"· {line.offer.id}: {', '.join(line.terms)}")


def _nodes(costs: Sequence[NodeCost], planned: str, console: Console) -> None:
    if not costs:
        console.print()
        _say(console, "Cost per 1M output tokens: not measured. Measure with: macfleet rollout stage5")
        return
    rows = [
        (
            cost.node,
            cost.arm,
            cost.load.partition(",")[0],
            figures.rate(cost.rate) if cost.rate else figures.MISSING,
            _amount(cost.full),
            _amount(cost.planned),
        )
        for cost in costs
    ]
    head = ("node", "arm", "at load", "tokens/s", "at 100 %", f"at {planned}")
    _table(console, "Cost per 1M output tokens", head, rows)
    for cost in costs:
        if cost.full is None or not cost.slo:
            for reason in cost.why:
                _say(console, f"? {cost.node} {cost.arm} {reason}")


def _pair(pair: Pair, console: Console) -> None:
    console.print()
    arm = f", {pair.arm}" if pair.arm else ""
    console.print(Text(f"Own {pair.own} or rent {pair.rent}{arm}", style="bold"), soft_wrap=True)
    for line in _pair_lines(pair.found):
        _say(console, f"  {line}")
    for base, amount in pair.blends:
        _say(console, f"  {money.share(base):>5} owned, rented peaks   {money.price(amount)} per 1M tokens")


def _pair_lines(found: BreakEven) -> Iterable[str]:
    if found.months is not None:
        yield f"owning is paid after {found.months:.1f} months of renting"
    if found.utilisation is not None:
        yield f"owned tokens are cheaper from {_busy(found.utilisation)} busy on"
    if found.why:
        yield f"· {found.why}"


def _busy(share: Interval) -> str:
    if share.value > 1:
        return f"no share of time (it would take {_percent(share.value)})"
    if share.low is None or share.high is None:
        return f"{_percent(share.value)} of the time"
    return f"{_percent(share.value)} [{_percent(share.low)}, {_percent(share.high)}] of the time"


def _percent(share: float) -> str:
    return "∞" if math.isinf(share) else f"{100 * share:.1f} %"


def _sensitivity(each: Sensitivity, planned: str, console: Console) -> None:
    rows = [(label, money.price(amount), _change(amount, each.base)) for label, amount in each.rows]
    title = f"{each.node} {each.arm}: {money.price(each.base)} at {planned}, and when one thing changes"
    _table(console, title, ("assumption", "per 1M tokens", "change"), rows)


def _change(amount: Price, base: Price) -> str:
    percent = round(100 * (amount.value / base.value - 1)) if base.value else 0
    return f"−{-percent} %" if percent < 0 else f"+{percent} %" if percent else "0 %"


def _amount(amount: Price | None) -> str:
    return figures.MISSING if amount is None else money.price(amount)


def _table(console: Console, title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    console.print()
    for part in fold(clean(title), console.width):
        console.print(Text(part, style="bold"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(clean(text)) for text in row))
    console.print(table)


def _say(console: Console, line: str) -> None:
    for part in fold(clean(line), console.width, indent="  "):
        console.print(Text(part), soft_wrap=True)
