"""`macfleet cost`: what measured nodes cost, rented or owned."""

from __future__ import annotations

import datetime as dt
import json
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import RunId
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.run_ids import find_runs
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.quantity import parse_share

if TYPE_CHECKING:
    from macfleet.model.contract import Slo
    from macfleet.reports.costs import Terms
    from macfleet.reports.loaded import LoadedRun

utilisation_option = click.option(
    "--utilisation",
    default="35%",
    show_default=True,
    metavar="SHARE",
    help="Planned share of the time a node is busy, for costs.",
)


@click.command(epilog="Examples: macfleet cost · macfleet cost --utilisation 60%")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RunId())
@utilisation_option
@fleet_command
def cost(fleet: FleetContext, runs: tuple[str, ...], utilisation: str) -> int:
    """Show what a million output tokens cost on each node, and when owning beats renting.

    Prices are those of contract/offers.yml; no currency is converted. The cost holds at the highest load
    whose service level is proven, and carries the interval of the tokens/s it rests on.
    """
    from macfleet.reports.costs import cost_report

    report = cost_report(_runs(fleet, runs), cost_terms(fleet, utilisation))
    if fleet.output == "json":
        from dataclasses import asdict

        from macfleet.reports.exports import plain

        json.dump({"kind": "costs", **_mapping(plain(asdict(report)))}, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
        return ExitCode.DONE
    from rich.console import Console

    from macfleet.views.cost import show_costs

    show_costs(report, Console())
    return ExitCode.DONE


def cost_terms(fleet: FleetContext, utilisation: str) -> Terms:
    """Read offers and service levels of the fleet folder.

    Raises:
        MacfleetError: E1023 a utilisation that is no share above 0, or every problem of the files.
    """
    from macfleet.analysis.offers import load_offers
    from macfleet.reports.costs import Terms

    slos, contract = _slos(fleet)
    return Terms(
        load_offers(fleet.files),
        slos,
        dt.datetime.now(tz=dt.UTC).date(),
        _share(utilisation),
        contract,
    )


def _slos(fleet: FleetContext) -> tuple[dict[str, Slo], str]:
    """Return the service levels by bucket and the contract's hash; none where there is no contract."""
    from macfleet.contract.load import load_contract

    if not fleet.files.exists("contract/contract.yml"):
        return {}, ""
    contract = load_contract(fleet.files)
    return {bucket.name: bucket.slo for bucket in contract.buckets}, contract.hash


def _share(text: str) -> Decimal:
    try:
        found = Decimal(str(round(parse_share(text), 6)))
    except ValueError:
        found = Decimal(0)
    if not 0 < found <= 1:
        raise MacfleetError(
            Diagnostic("E1023", f"{text!r} is no share of the time", mend="Type one such as 35%, up to 100%.")
        )
    return found


def _runs(fleet: FleetContext, given: tuple[str, ...]) -> tuple[LoadedRun, ...]:
    """Return the runs named, else the newest load tests; none where nothing was measured yet."""
    from macfleet.reports.loaded import load_run, newest_runs

    if given:
        return tuple(load_run(fleet.runs, run) for run in dict.fromkeys(find_runs(fleet.runs, given)))
    try:
        return newest_runs(fleet.runs.own).runs
    except MacfleetError as error:
        if error.diagnostics[0].code != "E1002":
            raise
        return ()


def _mapping(document: object) -> dict[str, object]:
    return dict(document) if isinstance(document, dict) else {}
