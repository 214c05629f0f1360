"""What the commands of on-call share: the nodes they name, one thing done on each, all that went wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.model.json import JsonObject
    from macfleet.model.node import Node

Answer = TypeVar("Answer")


def named(fleet: FleetContext, names: Sequence[str]) -> tuple[Node, ...]:
    """Return the nodes that were typed.

    Raises:
        MacfleetError: E0882 (exit 2) a name is empty: a variable of a script that is not set would otherwise
            stand for every node.
    """
    if not all(name.strip(" ,:") for name in names):
        raise MacfleetError(_unnamed())
    return fleet.nodes(",".join(names))


def each(
    fleet: FleetContext, nodes: Sequence[Node], work: Callable[[Node], Answer]
) -> tuple[Mapping[str, Answer], list[MacfleetError]]:
    """Do one thing on every node at once; return answers by name, and what failed."""
    from macfleet.executors.threads import ThreadExecutor

    by_name = {node.name: node for node in nodes}
    # Made here, since threads would make them twice.
    _ = fleet.transports, fleet.state
    done: dict[str, Answer] = {}
    failed: list[MacfleetError] = []
    executor = ThreadExecutor(fleet.forks or fleet.settings.forks)
    for name, answer in executor.each(tuple(by_name), lambda name: work(by_name[name])).items():
        if isinstance(answer, MacfleetError):
            failed.append(answer)
        elif isinstance(answer, Exception):
            raise answer
        else:
            done[name] = answer
    return done, failed


def _unnamed() -> Diagnostic:
    return Diagnostic(
        "E0882",
        "the name of a node is empty",
        why="Nothing was done: an empty name would stand for every node.",
        mend="Look whether a variable of your shell is set. Every node is: all",
    )


def finish(failed: Sequence[MacfleetError], document: JsonObject | None = None) -> int:
    """Raise everything that went wrong at once, or return 0; `document` is shown as JSON either way."""
    if failed:
        raise MacfleetError((found for error in failed for found in error.diagnostics), document)
    if document is not None:
        from macfleet.views.terminal import show_json

        show_json(document)
    return int(ExitCode.DONE)


def say(line: str) -> None:
    """Tell the person at the terminal something that is no result."""
    click.echo(line, err=True)
