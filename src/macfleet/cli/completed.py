"""Types of arguments that a shell can complete from the fleet folder: nodes, groups, runs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from macfleet.model.diagnostic import MacfleetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem

    from macfleet.cli.fleet import FleetContext

_JOINS = ":,&!"


class NodePattern(click.ParamType[str]):
    """A pattern of nodes: the term being typed is completed with nodes and groups."""

    name = "pattern"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 (click's signature)
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer nodes and groups for the last term; what stands before it stays."""
        fleet = _fleet(ctx)
        if fleet is None:
            return []
        with suppress(MacfleetError):
            inventory = fleet.inventory
            return _offered(incomplete, (*(node.name for node in inventory.nodes), *inventory.groups))
        return []


class RunId(click.ParamType[str]):
    """The id of a recorded run, the newest first."""

    name = "run"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 (click's signature)
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer the ids of finished runs."""
        fleet = _fleet(ctx)
        return [] if fleet is None else _offered(incomplete, reversed(fleet.runs.ids()))


def _offered(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    before = incomplete[: max(incomplete.rfind(join) for join in _JOINS) + 1]
    return [CompletionItem(before + name) for name in names if (before + name).startswith(incomplete)]


def _fleet(ctx: click.Context) -> FleetContext | None:
    """Return the fleet folder that the command line names so far, or None where there is none."""
    from macfleet.cli.fleet import FleetContext
    from macfleet.cli.fleet_folder import find_root

    with suppress(MacfleetError):
        return FleetContext(
            root=find_root(ctx.params.get("fleet_dir")),
            sources=tuple(ctx.params.get("inventory_paths") or ()),
        )
    return None
