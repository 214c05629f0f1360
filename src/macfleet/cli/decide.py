"""`macfleet decide` and `macfleet attest`: whether the container path stays."""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import RunId
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.run_ids import find_runs
from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from macfleet.analysis.attestations import Attested
    from macfleet.analysis.holiday_calendar import DaysOff

_DAY = click.DateTime(["%Y-%m-%d"])


@click.command(epilog="Examples: macfleet decide · macfleet decide --require keep")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=RunId())
@click.option(
    "--require", type=click.Choice(["keep"]), help="End with 7 unless every node keeps the container path."
)
@fleet_command
def decide(fleet: FleetContext, runs: tuple[str, ...], require: str | None) -> int:
    """Say whether the container path stays, and fill the decision matrix with what was measured.

    Without RUN the newest load test of each node is taken. What nobody measured reads "not measured".
    """
    from macfleet.analysis.attestations import load_attestations
    from macfleet.analysis.thresholds import load_thresholds
    from macfleet.reports.compare import compare
    from macfleet.reports.decide import decide as decide_runs
    from macfleet.reports.loaded import Selection, load_run, newest_runs

    store = fleet.runs
    chosen = (
        Selection(tuple(load_run(store, run) for run in dict.fromkeys(find_runs(store, runs))))
        if runs
        else newest_runs(store.own)
    )
    comparison = compare(
        chosen.runs,
        thresholds=load_thresholds(fleet.files),
        every_run=bool(runs),
        notes=chosen.notes,
        attestations=load_attestations(fleet.files),
    )
    decision = decide_runs(comparison, chosen.runs)
    if fleet.output == "json":
        from dataclasses import asdict

        from macfleet.reports.exports import plain

        document = plain({"kind": "decision", "keep": decision.keep, **asdict(decision)})
        json.dump(document, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        from macfleet.views.decide import decision_lines
        from macfleet.views.flow import width_of
        from macfleet.views.terminal import show

        show(decision_lines(decision, width_of(sys.stdout)))
    return ExitCode.HELD if require == "keep" and not decision.keep else ExitCode.DONE


@click.command(
    epilog="Example: macfleet attest --who ada@example --started 2026-11-16 --reproduced 2026-11-19 "
    "--calendar DE-BY"
)
@click.option("--who", default="", metavar="NAME", help="The colleague (default: who runs this).")
@click.option("--started", type=_DAY, required=True, metavar="DAY", help="Day of the first step.")
@click.option(
    "--reproduced", type=_DAY, required=True, metavar="DAY", help="Day the service answered as promised."
)
@click.option(
    "--calendar",
    default="",
    metavar="COUNTRY[-PART]",
    help="Whose public holidays and weekend are left out, such as DE-BY.",
)
@click.option("--by-hand", multiple=True, metavar="WHAT", help="Something that was installed by hand.")
@click.option(
    "--holiday",
    "holidays",
    type=_DAY,
    multiple=True,
    metavar="DAY",
    help="A day between that nobody worked on.",
)
@click.option("--note", default="", help="Anything else.")
@fleet_command
def attest(
    fleet: FleetContext,
    who: str,
    started: dt.datetime,
    reproduced: dt.datetime,
    calendar: str,
    by_hand: tuple[str, ...],
    holidays: tuple[dt.datetime, ...],
    note: str,
) -> int:
    """Record that a colleague brought the service up from nothing, for the contract as it is now.

    Business days leave out weekends, the public holidays of --calendar, and each --holiday. The days left out
    are written down, so that whoever reads the file later counts the same.
    """
    from macfleet.analysis.attestations import FILE, Attested, counted, load_attestations
    from macfleet.analysis.holiday_calendar import SATURDAY_SUNDAY, DaysOff, days_off
    from macfleet.contract.load import load_contract

    known = load_attestations(fleet.files)
    contract = load_contract(fleet.files).hash
    today = dt.datetime.now(tz=dt.UTC).date()
    calendar = calendar.upper()
    begun, ended = started.date(), reproduced.date()
    _check(begun, ended, today)
    off = days_off(calendar, begun, ended) if calendar else DaysOff((), SATURDAY_SUNDAY)
    free = {day for day, _ in off.holidays} | {day.date() for day in holidays}
    given = Attested(
        who or fleet.who,
        begun,
        ended,
        contract,
        by_hand,
        tuple(sorted(free)),
        note,
        today,
        fleet.who,
        calendar,
        off.weekend,
    )
    _append(fleet.root / FILE, given, new=not fleet.files.exists(FILE))
    _report(fleet, given, off, len({each.who for each in counted((*known, given), contract)}))
    return ExitCode.DONE


def _check(started: dt.date, reproduced: dt.date, today: dt.date) -> None:
    problems = []
    if reproduced < started:
        problems.append(f"{reproduced} is before the start on {started}")
    if reproduced > today:
        problems.append(f"{reproduced} has not come yet")
    if problems:
        raise MacfleetError(
            Diagnostic("E1041", each, mend="macfleet attest --started DAY --reproduced DAY")
            for each in problems
        )


def _append(path: Path, given: Attested, *, new: bool) -> None:
    """Add one entry at the end of the file, whole or not at all."""
    from macfleet.analysis.attestations import HEAD, parse_attestations, written
    from macfleet.documents import parse_yaml

    before = HEAD if new else path.read_text(encoding="utf-8")
    text = f"{before.rstrip()}\n{written(given)}"
    parse_attestations(parse_yaml(text.encode(), path.name))
    write_whole(path, text)


def _report(fleet: FleetContext, given: Attested, off: DaysOff, colleagues: int) -> None:
    from macfleet.analysis.attestations import FILE

    if fleet.output == "json":
        document = {
            "schema": 1,
            "kind": "attested",
            "who": given.who,
            "business_days": given.business_days,
            "calendar": given.calendar,
            "weekend": list(given.weekend),
            "holidays": [each.isoformat() for each in given.holidays],
            "installed_by_hand": bool(given.by_hand),
            "contract": given.contract,
            "colleagues": colleagues,
        }
        json.dump(document, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    hand = f", by hand: {', '.join(given.by_hand)}" if given.by_hand else ", nothing by hand"
    days = "1 business day" if given.business_days == 1 else f"{given.business_days} business days"
    show(
        [
            f"✓ {clean(given.who)} reproduced it in {days}{clean(hand)}",
            *(f"· left out: {day}, {clean(name)} ({given.calendar})" for day, name in off.holidays),
            *([] if given.calendar else ["· no public holiday was looked up: --calendar COUNTRY"]),
            f"· {colleagues} {'colleague' if colleagues == 1 else 'colleagues'} attested this contract",
            f"Commit {FILE}, then: macfleet decide",
        ]
    )
