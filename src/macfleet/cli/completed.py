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


class _FromFleet(click.ParamType[str]):
    """A text that is completed with names from the fleet folder; none where there is no folder to read."""

    def names(self, fleet: FleetContext) -> Iterable[str]:
        """Return what may be offered, in order (raises MacfleetError)."""
        raise NotImplementedError

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 (click's signature)
        incomplete: str,
    ) -> list[CompletionItem]:
        """Offer names for the last term; what stands before it stays."""
        with suppress(MacfleetError):
            return _offered(incomplete, self.names(_fleet(ctx)))
        return []


class NodePattern(_FromFleet):
    """A pattern of nodes: the term being typed is completed with nodes and groups."""

    name = "pattern"

    def names(self, fleet: FleetContext) -> Iterable[str]:
        """Return nodes, then groups."""
        return (*(node.name for node in fleet.inventory.nodes), *fleet.inventory.groups)


class RunId(_FromFleet):
    """The id of a recorded run."""

    name = "run"

    def names(self, fleet: FleetContext) -> Iterable[str]:
        """Return the ids of finished runs, the newest first."""
        return reversed(fleet.runs.ids())


class BegunRunId(RunId):
    """The id of a run that may be going on."""

    def names(self, fleet: FleetContext) -> Iterable[str]:
        """Return the ids of runs that never ended, then of finished ones, the newest first."""
        return (*reversed(fleet.runs.unfinished()), *super().names(fleet))


def _offered(incomplete: str, names: Iterable[str]) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    before = incomplete[: max(incomplete.rfind(join) for join in _JOINS) + 1]
    return [CompletionItem(before + name) for name in names if (before + name).startswith(incomplete)]


def _fleet(ctx: click.Context) -> FleetContext:
    """Return the fleet folder that the command line names so far (raises MacfleetError E0110: none)."""
    from macfleet.cli.fleet import FleetContext
    from macfleet.cli.fleet_folder import find_root

    return FleetContext(
        root=find_root(ctx.params.get("fleet_dir")), sources=tuple(ctx.params.get("inventory_paths") or ())
    )
