"""What measured nodes cost, rented and owned beside each other, for whoever signs the order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from macfleet.analysis.cost import (
    PLANNED,
    BreakEven,
    NodeCost,
    Price,
    blend,
    break_even,
    cost_per_million,
    node_costs,
)
from macfleet.analysis.offers import Offer, month_cost
from macfleet.model.contract import Slo
from macfleet.model.node import Arm
from macfleet.model.run import Interval
from macfleet.reports.comparison import NOT_A_MAC, Comparison
from macfleet.reports.loaded import LoadedRun, newest_of_each_node
from macfleet.reports.money import share

_BASES = tuple(Decimal(percent) / 100 for percent in (100, 75, 50, 25))


@dataclass(frozen=True, slots=True)
class Terms:
    """What a cost is counted with.

    Attributes:
        offers: by id.
        slos: service level by bucket, of the contract with hash `contract`.
        utilisation: planned share of the time a node is busy, above 0.
        today: against which prices are old.
    """

    offers: Mapping[str, Offer]
    slos: Mapping[str, Slo]
    today: dt.date
    utilisation: Decimal = PLANNED
    contract: str = ""


@dataclass(frozen=True, slots=True)
class OfferLine:
    """An offer and what it costs in a month at the planned utilisation.

    Attributes:
        flags: why the price is to be doubted; terms: what comes with it.
    """

    offer: Offer
    month: Price
    flags: tuple[str, ...]
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """An owned node and a rented one of the same arm and bucket; bare offers where no node was measured.

    Attributes:
        blends: cost per million by the share the owned node serves.
    """

    own: str
    rent: str
    arm: str
    found: BreakEven
    blends: tuple[tuple[Decimal, Price], ...] = ()


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How a node's planned cost per million moves when one assumption does."""

    node: str
    arm: str
    base: Price
    rows: tuple[tuple[str, Price], ...]


@dataclass(frozen=True, slots=True)
class CostReport:
    """Everything `macfleet cost` shows; no amount is converted into another currency."""

    utilisation: Decimal
    offers: tuple[OfferLine, ...]
    nodes: tuple[NodeCost, ...]
    pairs: tuple[Pair, ...]
    sensitivities: tuple[Sensitivity, ...]
    notices: tuple[str, ...]
    schema: int = 1


def cost_report(runs: Sequence[LoadedRun], terms: Terms) -> CostReport:
    """Count the cost of the newest run of each node; without runs, of the offers alone."""
    chosen = newest_of_each_node(runs)
    nodes = tuple(cost for run, node in chosen for cost in _costs(run, node, terms))
    lines = tuple(_line(offer, terms) for offer in terms.offers.values())
    return CostReport(
        terms.utilisation,
        lines,
        nodes,
        tuple(_pairs(nodes, terms)),
        tuple(_sensitivities(nodes, terms)),
        (*_notices([run for run, _ in chosen], terms), *_without_offer(chosen, terms)),
    )


def with_costs(comparison: Comparison, runs: Sequence[LoadedRun], terms: Terms) -> Comparison:
    """Return the comparison with each column's costs, and what must be known before reading them."""
    by_id = {run.manifest.id: run for run in runs}
    priced = [(column, _costs(by_id[column.run], column.node, terms)) for column in comparison.columns]
    pairs = tuple(_pairs([cost for _, costs in priced for cost in costs], terms))
    columns = tuple(
        replace(
            column,
            costs=tuple(cost for cost in costs if cost.arm in column.arms),
            offer=_priced_by(costs, terms),
            break_even=_shortest(column.node, pairs),
        )
        for column, costs in priced
    )
    used = {cost.offer for column in columns for cost in column.costs}
    chosen = [(by_id[column.run], column.node) for column in columns]
    notices = [f"offer {line.offer.id}: {flag}" for line in _lines(used, terms) for flag in line.flags]
    notices += [*_contract_notice([run for run, _ in chosen], terms), *_without_offer(chosen, terms)]
    currencies = sorted({terms.offers[name].currency for name in used})
    if len(currencies) > 1:
        notices.append(f"currencies are kept apart, nothing is converted: {', '.join(currencies)}")
    return replace(comparison, columns=columns, notices=(*comparison.notices, *dict.fromkeys(notices)))


def _priced_by(costs: Sequence[NodeCost], terms: Terms) -> str:
    offers = [terms.offers[cost.offer] for cost in costs[:1]]
    return "".join(f"{offer.id}, {offer.confidence}" for offer in offers)


def _shortest(node: str, pairs: Sequence[Pair]) -> str:
    """Return an owned node's break-even against the rented one it pays off against first."""
    own = [pair for pair in pairs if pair.own == node and pair.arm]
    own = [pair for pair in own if pair.arm.startswith(Arm.CONTAINER)] or own
    paid = [(pair.found.months, pair) for pair in own if pair.found.months is not None]
    if not paid:
        return own[0].found.why.partition(":")[0] if own else ""
    months, pair = min(paid, key=lambda each: each[0])
    busy = pair.found.utilisation
    return f"{months:.1f} months" + (f", {100 * busy.value:.0f} % busy" if busy and busy.value <= 1 else "")


def _costs(run: LoadedRun, node: str, terms: Terms) -> tuple[NodeCost, ...]:
    offer = _offer(run, node, terms)
    return node_costs(run.of(node), offer, terms.slos, terms.utilisation) if offer else ()


def _offer(run: LoadedRun, node: str, terms: Terms) -> Offer | None:
    return terms.offers.get(str(run.facts.get(node, {}).get("offer") or ""))


def _lines(names: set[str], terms: Terms) -> list[OfferLine]:
    return [_line(offer, terms) for name, offer in terms.offers.items() if name in names]


def _line(offer: Offer, terms: Terms) -> OfferLine:
    flags = []
    if offer.stale(terms.today):
        flags.append(f"price of {offer.as_of}, {offer.age(terms.today)} days old: ask again")
    if offer.confidence == "low":
        flags.append("confidence in the price is low")
    more = []
    if offer.min_commit:
        more.append(f"at least {offer.min_commit.normalize():f} h are billed")
    if offer.setup_fee:
        more.append(f"a set-up fee of {offer.setup_fee} {offer.currency} is not in it")
    if offer.kind == "rent" and offer.bills_when_stopped:
        more.append("billed while stopped too")
    month = Price(month_cost(offer, terms.utilisation), offer.currency)
    return OfferLine(offer, month, tuple(flags), tuple(more))


def _pairs(nodes: Sequence[NodeCost], terms: Terms) -> Iterator[Pair]:
    """Yield every owned node beside every rented one, then the pairs of offers that no node stands for."""
    owned = [cost for cost in nodes if terms.offers[cost.offer].kind == "own"]
    rented = [cost for cost in nodes if terms.offers[cost.offer].kind == "rent"]
    covered = set()
    for own in owned:
        for rent in rented:
            if (own.arm, own.bucket) != (rent.arm, rent.bucket):
                continue
            covered.add((own.offer, rent.offer))
            one, other = terms.offers[own.offer], terms.offers[rent.offer]
            found = break_even(one, other, own.rate, rent.rate, terms.utilisation)
            mixed = [(base, blend(own, rent, base)) for base in _BASES]
            blends = tuple((base, amount) for base, amount in mixed if amount is not None)
            yield Pair(own.node, rent.node, f"{own.arm} {own.bucket}", found, blends)
    for one in terms.offers.values():
        for other in terms.offers.values():
            if one.kind == "own" and other.kind == "rent" and (one.id, other.id) not in covered:
                found = break_even(one, other, utilisation=terms.utilisation)
                yield Pair(one.id, other.id, "", found)


def _sensitivities(nodes: Sequence[NodeCost], terms: Terms) -> Iterator[Sensitivity]:
    """Yield one table a node: of the container arm where it was measured."""
    for node in dict.fromkeys(cost.node for cost in nodes):
        own = [cost for cost in nodes if cost.node == node and cost.planned is not None]
        chosen = next((cost for cost in own if cost.arm == Arm.CONTAINER), own[0] if own else None)
        if chosen is not None and chosen.rate is not None and chosen.planned is not None:
            offer = terms.offers[chosen.offer]
            rows = tuple(_varied(offer, chosen.rate, terms.utilisation))
            yield Sensitivity(node, f"{chosen.arm} {chosen.cell}", chosen.planned, rows)


def _varied(offer: Offer, rate: Interval, planned: Decimal) -> Iterator[tuple[str, Price]]:
    for percent in (10, 20, 35, 50, 75, 100):
        used = Decimal(percent) / 100
        yield f"utilisation {share(used)}", cost_per_million(rate, offer, used)
    for label, changed in _other_offers(offer):
        yield label, cost_per_million(rate, changed, planned)


def _other_offers(offer: Offer) -> Iterator[tuple[str, Offer]]:
    for percent in (80, 120):
        amount = offer.price * percent / 100
        yield f"price {'+' if percent > 100 else '−'}20 %", replace(offer, price=amount)
    if offer.kind != "own":
        return
    for months in (24, 36, 48):
        if months != offer.amortise:
            yield f"written off over {months} months", replace(offer, amortise=months)
    if offer.kwh:
        yield "power twice as dear", replace(offer, kwh=2 * offer.kwh)
    yield "worth 20 % at the end", replace(offer, residual=Decimal("0.2"))
    if offer.ops_rate:
        yield "one hour of work a month more", replace(offer, ops_hours=offer.ops_hours + 1)


def _notices(runs: Sequence[LoadedRun], terms: Terms) -> Iterator[str]:
    if any(run.manifest.simulated for run in runs):
        yield NOT_A_MAC
    yield from _contract_notice(runs, terms)
    short = sorted({run.manifest.id for run in runs if run.manifest.short})
    if short:
        yield f"measured for under 30 minutes an arm and cell: {', '.join(short)}"


def _contract_notice(runs: Sequence[LoadedRun], terms: Terms) -> Iterator[str]:
    other = sorted({run.manifest.id for run in runs if run.manifest.contract != terms.contract})
    if other and terms.contract:
        yield f"service levels are those of the contract as it is now, not of: {', '.join(other)}"
    if not terms.slos:
        yield "no contract could be read: no service level is asked for"


def _without_offer(chosen: Sequence[tuple[LoadedRun, str]], terms: Terms) -> Iterator[str]:
    for run, node in chosen:
        if _offer(run, node, terms) is None:
            name = str(run.facts.get(node, {}).get("offer") or "")
            said = f"its offer {name} is not in contract/offers.yml" if name else "it names no offer"
            yield f"{node} has no cost: {said}"
