"""`macfleet budget`: where the milliseconds of a request go, against what they may."""

from __future__ import annotations

import datetime as dt
import json
import sys

import click

from macfleet.cli.completed import RunId
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm


@click.group(epilog="Example: macfleet budget report")
def budget() -> None:
    """Hold the latency budget of contract/budget.yml against what was measured."""


@budget.command(
    epilog="Examples: macfleet budget report · macfleet budget report --arm bare --require within"
)
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RunId())
@click.option("--arm", type=click.Choice([str(arm) for arm in Arm]), default="container", show_default=True)
@click.option(
    "--require", type=click.Choice(["within"]), help="End with 7 when a term of a node is over its budget."
)
@fleet_command
def report(fleet: FleetContext, runs: tuple[str, ...], arm: str, require: str | None) -> int:
    """Show each term with its way of measuring or "not measured"; class overruns.

    Without RUN the newest load test of each node is taken. An overrun is environmental when the arm without
    the VM is within the budget, else what the file says: the two are mended differently.
    """
    from macfleet.analysis.budget import FILE, load_budget
    from macfleet.cli.run_ids import find_runs
    from macfleet.contract.load import load_contract
    from macfleet.reports.budget import budget_report
    from macfleet.reports.loaded import load_run, newest_runs

    contract = load_contract(fleet.files)
    wanted = load_budget(fleet.files, contract)
    if wanted is None:
        raise MacfleetError(
            Diagnostic(
                "E1093", f"there is no {FILE}", mend="See one: macfleet docs budget", exit_code=ExitCode.USAGE
            )
        )
    store = fleet.runs
    chosen = (
        tuple(load_run(store, run) for run in dict.fromkeys(find_runs(store, runs)))
        if runs
        else newest_runs(store.own).runs
    )
    found = budget_report(wanted, contract, chosen, store, arm=arm, now=dt.datetime.now(tz=dt.UTC))
    if fleet.output == "json":
        from dataclasses import asdict

        from macfleet.reports.budget import classed
        from macfleet.reports.exports import plain

        document = {
            "schema": 1,
            "kind": "budget",
            "over": found.over,
            "overruns": classed(found),
            **asdict(found),
        }
        json.dump(plain(document), sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        from macfleet.views.budget import budget_lines
        from macfleet.views.flow import width_of
        from macfleet.views.terminal import show

        show(budget_lines(found, width_of(sys.stdout)))
    return ExitCode.HELD if require and found.over else ExitCode.DONE
