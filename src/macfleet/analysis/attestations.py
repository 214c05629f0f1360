"""Colleagues' word that they brought the service up from nothing: ``attestations.yml`` of a fleet folder."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from macfleet.analysis.holiday_calendar import DAYS, SATURDAY_SUNDAY
from macfleet.analysis.judging import Attestation
from macfleet.documents import Border, Document, parse_yaml, validate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.ports import Files

FILE = "attestations.yml"
HEAD = """\
# Who brought the service up from nothing, and how long it took.
# `macfleet attest` adds to this file; commit it.
attestations:
"""

_Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


@dataclass(frozen=True, slots=True)
class Attested:
    """One colleague's word.

    Attributes:
        started, reproduced: days of the first step and of the first promised answer.
        by_hand: what was installed by hand; empty when nothing was.
        contract: hash of what was reproduced.
        holidays: days between that nobody worked on, besides weekends.
        calendar: country, or country and subdivision, whose public holidays are among them; empty for none.
        weekend: names of the days of each week that are free.
        recorded: day it was written down; recorded_by: who did.
    """

    who: str
    started: dt.date
    reproduced: dt.date
    contract: str
    by_hand: tuple[str, ...] = ()
    holidays: tuple[dt.date, ...] = ()
    note: str = ""
    recorded: dt.date | None = None
    recorded_by: str = ""
    calendar: str = ""
    weekend: tuple[str, ...] = SATURDAY_SUNDAY

    @property
    def business_days(self) -> int:
        """Working days after the day of the start, up to the day it was reproduced."""
        return business_days(self.started, self.reproduced, self.holidays, self.weekend)


def business_days(
    start: dt.date,
    end: dt.date,
    holidays: Collection[dt.date] = (),
    weekend: Collection[str] = SATURDAY_SUNDAY,
) -> int:
    """Return the days after `start` up to `end` that are no weekend and no named holiday."""
    days = (start + dt.timedelta(days=step) for step in range(1, (end - start).days + 1))
    return sum(DAYS[day.weekday()] not in weekend and day not in holidays for day in days)


def counted(attested: Iterable[Attested], contract: str) -> tuple[Attestation, ...]:
    """Return what a threshold judges: the words that speak of this contract."""
    return tuple(
        Attestation(each.who, each.business_days, bool(each.by_hand))
        for each in attested
        if each.contract == contract
    )


def load_attestations(files: Files, path: str = FILE) -> tuple[Attested, ...]:
    """Read the attestations; none where there is no file.

    Raises:
        MacfleetError: every problem of the file: E0101 to E0104, E1041 a day that cannot be.
    """
    if not files.exists(path):
        return ()
    return parse_attestations(parse_yaml(files.read(path), path))


def parse_attestations(document: Document) -> tuple[Attested, ...]:
    """Return the attestations of a parsed file (raises as `load_attestations`)."""
    rows = validate(document, _FileBorder, kind="attestations file").attestations
    found: list[Attested] = []
    problems: list[Diagnostic] = []
    for index in range(len(rows)):
        try:
            row = validate(document, _Border, "attestations", index, kind="attestation")
        except MacfleetError as error:
            problems.extend(error.diagnostics)
            continue
        if row.reproduced < row.started:
            problems.append(
                document.diagnose(
                    "E1041",
                    f"{row.who} reproduced it on {row.reproduced}, before the start on {row.started}",
                    "attestations",
                    index,
                    "reproduced",
                    on_value=True,
                )
            )
        found.append(_attested(row))
    if problems:
        raise MacfleetError(problems)
    return tuple(found)


def written(attested: Attested) -> str:
    """Return the lines that are added to the file, its texts quoted as JSON, which YAML reads."""
    fields: list[tuple[str, object]] = [
        ("who", attested.who),
        ("started", attested.started.isoformat()),
        ("reproduced", attested.reproduced.isoformat()),
        ("contract", attested.contract),
        ("by_hand", list(attested.by_hand)),
        ("calendar", attested.calendar),
        ("weekend", list(attested.weekend) if attested.weekend != SATURDAY_SUNDAY else []),
        ("holidays", [each.isoformat() for each in attested.holidays]),
        ("note", attested.note),
        ("recorded", attested.recorded.isoformat() if attested.recorded else None),
        ("recorded_by", attested.recorded_by),
    ]
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields if value]
    return "  - " + "\n    ".join(lines) + "\n"


def _attested(row: _Border) -> Attested:
    return Attested(
        row.who,
        row.started,
        row.reproduced,
        row.contract,
        tuple(row.by_hand),
        tuple(row.holidays),
        row.note,
        row.recorded,
        row.recorded_by,
        row.calendar,
        tuple(row.weekend),
    )


class _FileBorder(Border):
    attestations: list[dict[str, object]] = Field(description="one a colleague")


class _Border(Border):
    who: str = Field(min_length=1, description="the colleague")
    started: dt.date = Field(description="day of the first step")
    reproduced: dt.date = Field(description="day the service answered as promised")
    contract: str = Field(pattern=r"^[0-9a-f]{64}$", description="hash of the contract that was reproduced")
    by_hand: list[str] = Field(default=[], description="what was installed by hand")
    calendar: str = Field(default="", description="country or country-subdivision the holidays are of")
    weekend: list[_Day] = Field(
        default=["saturday", "sunday"], max_length=6, description="days of each week that are free"
    )
    holidays: list[dt.date] = Field(default=[], description="days between that nobody worked on")
    note: str = Field(default="", description="anything else")
    recorded: dt.date | None = Field(default=None, description="day this was written down")
    recorded_by: str = Field(default="", description="who wrote it down")
