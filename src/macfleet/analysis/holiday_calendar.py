"""The days nobody works on where a colleague lives: public holidays and the weekend of a country."""

# ruff: noqa: PLC0415  (the calendars are loaded only where somebody asks for one)

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
SATURDAY_SUNDAY = ("saturday", "sunday")


@dataclass(frozen=True, slots=True)
class DaysOff:
    """What a calendar says of some days.

    Attributes:
        holidays: public holidays by day, with their names, those on a weekend included.
        weekend: names of the days of each week that are free, such as ``saturday``.
    """

    holidays: tuple[tuple[dt.date, str], ...]
    weekend: tuple[str, ...]


def days_off(calendar: str, start: dt.date, end: dt.date) -> DaysOff:
    """Look up the days off from `start` to `end`, both included.

    Args:
        calendar: ISO 3166 country, or country and subdivision: ``DE``, ``DE-BY``, ``US-CA``.
        start: first day.
        end: last day.

    Raises:
        MacfleetError: E1073 a calendar nobody knows, E1074 the library of calendars is not installed.
    """
    try:
        import holidays
    except ImportError as error:
        raise MacfleetError(
            Diagnostic(
                "E1074",
                "holiday calendars need the package holidays",
                mend="pip install 'macfleet[analysis]', or name the days: --holiday DAY",
                exit_code=ExitCode.USAGE,
            )
        ) from error
    country, _, subdivision = calendar.partition("-")
    years = range(start.year, end.year + 1)
    try:
        found = holidays.country_holidays(country, subdiv=subdivision or None, years=years, language="en_US")
    except NotImplementedError as error:
        raise MacfleetError(_unknown(calendar, country, subdivision)) from error
    inside = sorted((day, name) for day, name in found.items() if start <= day <= end)
    return DaysOff(tuple(inside), tuple(DAYS[day] for day in sorted(found.weekend)))


def _unknown(calendar: str, country: str, subdivision: str) -> Diagnostic:
    import holidays

    parts = holidays.list_supported_countries().get(country, [])
    known = f"{country} has: {', '.join(parts)}." if parts else f"{country} has no subdivisions."
    return Diagnostic(
        "E1073",
        f"there is no holiday calendar {calendar}",
        why=known if subdivision and country in holidays.list_supported_countries() else "",
        mend="A country, or country-subdivision, of ISO 3166, such as DE-BY; or the days: --holiday DAY",
        exit_code=ExitCode.USAGE,
    )
