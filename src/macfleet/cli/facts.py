"""`macfleet facts`: what nodes are and which versions run on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.model.json import Json


@click.command()
@limit_option
@fleet_command
def facts(fleet: FleetContext, limit: str) -> int:
    """Read typed facts in one exec a node: macOS, chip, memory, formulae, engine.

    Example: macfleet facts -l mac-01 --output json
    """
    import secrets

    from macfleet.engine import observe
    from macfleet.executors.threads import ThreadExecutor
    from macfleet.facts.versions import probes
    from macfleet.views.diagnostics import clean
    from macfleet.views.progress import asking
    from macfleet.views.terminal import show, show_json

    by_name = {node.name: node for node in fleet.nodes(limit)}

    def read(name: str) -> dict[str, object]:
        try:
            transport = fleet.transports.to(by_name[name])
            seen = observe(name, (), transport, nonce=lambda: secrets.token_hex(12), extra=probes())
        finally:
            answered(name)
        return {key.removeprefix("facts."): dict(state or {}) for key, state in seen.extra.items()}

    with asking("Facts", tuple(by_name)) as answered:
        answers = ThreadExecutor(fleet.forks or fleet.settings.forks).each(tuple(by_name), read)
    found = {name: answer for name, answer in answers.items() if not isinstance(answer, Exception)}
    document: dict[str, Json] = {"schema": 1, "kind": "facts", "nodes": cast("Json", found)}
    if fleet.output != "json":
        for name, groups in found.items():
            show([name])
            for group, values in sorted(groups.items()):
                rows = values.items() if isinstance(values, dict) else ()
                show(f"  {group}.{key}  {clean(str(value))}" for key, value in sorted(rows))
    problems: list[Diagnostic] = []
    for answer in answers.values():
        if isinstance(answer, MacfleetError):
            problems += answer.diagnostics
        elif isinstance(answer, Exception):
            raise answer
    if problems:
        raise MacfleetError(problems, document)
    if fleet.output == "json":
        show_json(document)
    return int(ExitCode.DONE)
