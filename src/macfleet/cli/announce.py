"""What a load test is about to do, and whether to start."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.run import Options

_THIRD = "bare-cpu because bare has an accelerator the container lacks"


def announce(nodes: tuple[object, ...], desired: Desired, options: Options, *, yes: bool) -> None:
    """Say what will be measured and until when, and ask."""
    from macfleet.cli.compose import confirm
    from macfleet.model.node import Node
    from macfleet.model.quantity import show_seconds
    from macfleet.rollout.load_profile import judged_concurrency, seconds_needed
    from macfleet.views.flow import flow, width_of

    chosen = [node for node in nodes if isinstance(node, Node)]
    groups: dict[str, float] = {}
    for node in chosen:
        name = node.hardware or node.name
        groups[name] = groups.get(name, 0.0) + seconds_needed(desired, node, options.load)
    longest = max(groups.values(), default=0.0)
    cells = len(judged_concurrency(desired))
    arms = max((node.measured_arms for node in chosen), key=len, default=())
    many = f"{len(chosen)} node{'' if len(chosen) == 1 else 's'}"
    if len(groups) > 1:
        many += f", {len(groups)} at once"
    parts = [
        "Stage 5 · loadtest",
        many,
        f"{len(arms)} arms ({', '.join(arms)}) × {cells} cells × {show_seconds(options.load.duration)}",
        f"about {show_seconds(longest)} until {_clock_after(longest)}, less where evidence is current",
        *([_THIRD] if any(set(node.measured_arms) - set(node.arms) for node in chosen) else []),
        *(["short: cannot be signed"] if options.load.short else []),
    ]
    for line in flow(parts, width_of(sys.stderr)):
        click.echo(line, err=True)
    if longest > 1800:
        confirm("Start?", yes=yes)


def _clock_after(seconds: float) -> str:
    """Return the local time of day `seconds` from now."""
    import datetime as dt

    return f"{dt.datetime.now().astimezone() + dt.timedelta(seconds=seconds):%H:%M}"
