"""What a load test takes, before it begins: cells, hours, the rent of them, and what cannot be signed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from macfleet.analysis.offers import HOURS_A_MONTH, Offer, month_cost
from macfleet.model.node import Node, Ownership
from macfleet.model.quantity import show_seconds
from macfleet.rollout.desired import Desired
from macfleet.rollout.load_profile import (
    SIGNABLE_SECONDS,
    LoadProfile,
    judged_concurrency,
    longest_seconds,
    seconds_needed,
)

Money = Mapping[str, Decimal]
"""Amounts by currency; currencies are never added up."""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """One load test of some nodes, before it begins.

    Attributes:
        cells: judged cells, such as ``short×4``; arms: of the node that has most.
        groups: how many nodes, or groups of nodes on one hardware, measure at the same time.
        seconds: until the last node is done; longest: where the pilot makes every cell as long as it may be.
        rent: what rented nodes cost in these hours; longest_rent: and at the longest.
        unpriced: rented nodes without an offer that says what an hour costs.
        unsignable: why the run cannot be signed whatever it finds.
    """

    nodes: int
    groups: int
    arms: tuple[str, ...]
    cells: tuple[str, ...]
    seconds: float
    longest: float
    rent: Money
    longest_rent: Money
    unpriced: tuple[str, ...]
    unsignable: tuple[str, ...]


def load_plan(
    nodes: Sequence[Node],
    desired: Desired,
    profile: LoadProfile,
    offers: Mapping[str, Offer],
    *,
    commit: tuple[str, bool],
) -> LoadPlan:
    """Add up what the nodes take; those on the same hardware take turns.

    `commit` is the fleet folder's git commit, empty without one, and whether it has uncommitted changes.
    """
    rented = [node for node in nodes if node.ownership is Ownership.RENTED]
    priced = [
        (node, offer)
        for node in rented
        if (offer := offers.get(node.offer)) is not None and offer.kind == "rent"
    ]
    known = {node.name for node, _ in priced}
    bucket = desired.contract.primary

    def usual(node: Node) -> float:
        return seconds_needed(desired, node, profile)

    def longest(node: Node) -> float:
        return longest_seconds(desired, node, profile)

    return LoadPlan(
        nodes=len(nodes),
        groups=len(_groups(nodes, usual)),
        arms=max((tuple(map(str, node.measured_arms)) for node in nodes), key=len, default=()),
        cells=tuple(f"{bucket}×{concurrency}" for concurrency in judged_concurrency(desired)),
        seconds=max(_groups(nodes, usual).values(), default=0.0),
        longest=max(_groups(nodes, longest).values(), default=0.0),
        rent=_rent(priced, usual),
        longest_rent=_rent(priced, longest),
        unpriced=tuple(node.name for node in rented if node.name not in known),
        unsignable=tuple(_unsignable(profile, *commit)),
    )


def _groups(nodes: Sequence[Node], length: Callable[[Node], float]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for node in nodes:
        name = node.hardware or node.name
        found[name] = found.get(name, 0.0) + length(node)
    return found


def _rent(priced: Sequence[tuple[Node, Offer]], length: Callable[[Node], float]) -> Money:
    found: dict[str, Decimal] = {}
    for node, offer in priced:
        hours = Decimal(str(length(node))) / 3600
        cost = hours * month_cost(offer, Decimal(1)) / HOURS_A_MONTH
        found[offer.currency] = found.get(offer.currency, Decimal(0)) + cost
    return dict(sorted(found.items()))


def _unsignable(profile: LoadProfile, commit: str, dirty: bool) -> list[str]:  # noqa: FBT001  (unpacked pair)
    found = []
    if profile.short:
        asked, full = show_seconds(profile.duration), show_seconds(SIGNABLE_SECONDS)
        found.append(f"short, {asked} of {full} an arm and cell: passes the gate, no cell is made longer")
    if not commit:
        found.append("the fleet folder is not a git repository")
    elif dirty:
        found.append("the fleet folder has uncommitted changes")
    return found
