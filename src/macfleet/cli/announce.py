"""What a load test is about to do, and whether to start."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.model.node import Node
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.load_plan import LoadPlan
    from macfleet.rollout.run import Options

_THIRD = "bare-cpu because bare has an accelerator the container lacks"


def announce(
    fleet: FleetContext, nodes: tuple[Node, ...], desired: Desired, options: Options, *, yes: bool
) -> None:
    """Say what will be measured, until when and for what rent, and ask where it takes over half an hour."""
    from macfleet.analysis.offers import load_offers
    from macfleet.cli.compose import confirm
    from macfleet.model.node import Ownership
    from macfleet.rollout.load_plan import load_plan
    from macfleet.views.flow import flow, width_of

    rented = any(node.ownership is Ownership.RENTED for node in nodes)
    offers = load_offers(fleet.files) if rented else {}
    plan = load_plan(nodes, desired, options.load, offers, commit=fleet.commit)
    third = any(set(node.measured_arms) - set(node.arms) for node in nodes)
    parts = [*_work(plan, options.load.duration), *([_THIRD] if third else []), *_cost(plan)]
    for line in flow(parts, width_of(sys.stderr)):
        click.echo(line, err=True)
    for why in plan.unsignable:
        click.echo(f"! cannot be signed: {why}", err=True)
    if plan.seconds > 1800:
        confirm("Start?", yes=yes)


def _work(plan: LoadPlan, duration: float) -> list[str]:
    from macfleet.model.quantity import show_seconds

    many = f"{plan.nodes} node{'' if plan.nodes == 1 else 's'}"
    if plan.groups > 1:
        many += f", {plan.groups} at once"
    arms, cells = ", ".join(plan.arms), ", ".join(plan.cells)
    parts = [
        "Stage 5 · loadtest",
        many,
        f"{len(plan.arms)} arms ({arms}) × {len(plan.cells)} cells ({cells}) × {show_seconds(duration)}",
        (
            f"about {show_seconds(plan.seconds)} until {_clock_after(plan.seconds)}, "
            "less where evidence is current"
        ),
    ]
    if plan.longest > plan.seconds:
        parts.append(
            f"at most {show_seconds(plan.longest)} until {_clock_after(plan.longest)}, "
            "where a pilot finds that a cell needs longer for its requests"
        )
    return parts


def _cost(plan: LoadPlan) -> list[str]:
    parts = []
    if plan.rent:
        parts.append(f"rented hours: {_money(plan.rent)}")
        if plan.longest > plan.seconds:
            parts[-1] += f", at most {_money(plan.longest_rent)}"
    if plan.unpriced:
        parts.append(f"no price of an hour: {', '.join(plan.unpriced)}")
    return parts


def _money(amounts: Mapping[str, Decimal]) -> str:
    return " + ".join(f"{amount:.2f} {currency}" for currency, amount in amounts.items())


def _clock_after(seconds: float) -> str:
    """Return the local time `seconds` from now, with its day where that is another one."""
    import datetime as dt

    now = dt.datetime.now().astimezone()
    then = now + dt.timedelta(seconds=seconds)
    return f"{then:%H:%M}" if then.date() == now.date() else f"{then:%a %H:%M}"
