"""`macfleet contract probe`: what the endpoints of nodes keep of the promised routes, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import each, finish
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm

if TYPE_CHECKING:
    from macfleet.model.json import Json
    from macfleet.model.load import EndpointReport, RouteCheck


@click.command()
@limit_option
@click.option(
    "--arm", type=click.Choice([Arm.BARE.value, Arm.CONTAINER.value]), help="This arm only; both unless said."
)
@fleet_command
def probe(fleet: FleetContext, limit: str, arm: str | None) -> int:
    """Ask the engines of nodes for every promised route: streaming, usage, errors, shape.

    Asks from each node's loopback, as stage 1 does, and changes no service. `✗` is a broken promise (exit 7);
    `·` is where an answer differs from OpenAI's shape, which typed clients may stumble over.

    Example: macfleet contract probe -l mac-01 --arm bare
    """
    from macfleet.cli.compose import frozen_contract
    from macfleet.cli.on_demand import InProcessOnDemand, packed_client
    from macfleet.executors.vantage import VantageLoadGenerator
    from macfleet.rollout.arms import base_url

    promised = frozen_contract(fleet)
    load = VantageLoadGenerator(fleet.transports, packed_client, InProcessOnDemand())
    wanted = [Arm(arm)] if arm else [Arm.BARE, Arm.CONTAINER]
    found, failed = each(
        fleet,
        fleet.nodes(limit),
        lambda node: [
            load.probe(node, which, base_url(node, which), promised) for which in wanted if which in node.arms
        ],
    )
    failed += [MacfleetError(broken) for name, reports in found.items() if (broken := _broken(name, reports))]
    if fleet.output == "json":
        rows: Mapping[str, Json] = {name: [each.document() for each in found[name]] for name in found}
        return finish(failed, {"schema": 1, "kind": "contract.probe", "nodes": rows})
    _say(found)
    return finish(failed)


def _broken(name: str, reports: list[EndpointReport]) -> list[Diagnostic]:
    return [
        Diagnostic(
            "E0725",
            f"the {report.arm} arm breaks {sum(bool(r.problems) for r in report.routes)} promised routes",
            why=next((r.problems[0] for r in report.routes if r.problems), ""),
            mend="Choose an engine or flags that keep it, or take it out of contract.yml and freeze again.",
            node=name,
            exit_code=ExitCode.HELD,
        )
        for report in reports
        if not report.keeps_promise
    ]


def _say(found: Mapping[str, list[EndpointReport]]) -> None:
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    for name, reports in found.items():
        if not reports:
            show([f"{name}: none of these arms is declared"])
        for report in reports:
            show([f"{name} {report.arm} {report.base_url}"])
            show(clean(line) for route in report.routes for line in _lines(route))


def _lines(route: RouteCheck) -> list[str]:
    streamed = " streamed" if route.stream else ""
    head = f"  {'✗' if route.problems else '✓'} {route.route}{streamed}  {route.status or 'no answer'}"
    return [
        head,
        *(f"      ✗ {text}" for text in route.problems),
        *(f"      · {text}" for text in route.notes),
    ]
