"""Public holidays and weekends: from a library, written down with the word they count for."""

import datetime as dt
import sys

import pytest

from macfleet.analysis.attestations import HEAD, Attested, parse_attestations, written
from macfleet.analysis.holiday_calendar import DaysOff, days_off
from macfleet.documents import parse_yaml
from macfleet.model.diagnostic import MacfleetError


def date(text):
    return dt.date.fromisoformat(text)


@pytest.mark.parametrize(
    ("calendar", "start", "end", "holidays", "weekend"),
    [
        ("DE", "2026-05-28", "2026-06-09", [], "saturday sunday"),
        ("DE-BY", "2026-05-28", "2026-06-09", ["2026-06-04"], "saturday sunday"),
        ("US", "2026-11-23", "2026-11-30", ["2026-11-26"], "saturday sunday"),
        ("FR", "2025-12-24", "2026-01-02", ["2025-12-25", "2026-01-01"], "saturday sunday"),
        ("IL", "2026-02-01", "2026-02-06", [], "friday saturday"),
    ],
)
def test_a_calendar_knows_the_holidays_and_the_weekend_of_its_place(calendar, start, end, holidays, weekend):
    found = days_off(calendar, date(start), date(end))
    assert [day.isoformat() for day, _ in found.holidays] == holidays
    assert found.weekend == tuple(weekend.split())
    assert all(name for _, name in found.holidays)


@pytest.mark.parametrize(
    ("calendar", "why"), [("XX", ""), ("de", ""), ("", ""), ("DE-ZZ", "BY"), ("DE-BY-X", "BY")]
)
def test_a_calendar_nobody_knows_is_refused_with_what_there_is(calendar, why):
    with pytest.raises(MacfleetError) as caught:
        days_off(calendar, date("2026-01-01"), date("2026-01-02"))
    [found] = caught.value.diagnostics
    assert found.code == "E1073"
    assert why in found.why


def test_without_the_library_the_days_can_be_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "holidays", None)
    with pytest.raises(MacfleetError) as caught:
        days_off("DE", date("2026-01-01"), date("2026-01-02"))
    [found] = caught.value.diagnostics
    assert (found.code, "--holiday DAY" in found.mend) == ("E1074", True)


def test_corpus_christi_makes_six_days_five_in_bavaria_and_the_file_says_why():
    start, end = date("2026-05-28"), date("2026-06-05")
    off = days_off("DE-BY", start, end)
    free = tuple(day for day, _ in off.holidays)
    word = Attested("ada", start, end, "0" * 64, holidays=free, calendar="DE-BY", weekend=off.weekend)
    assert word.business_days == 5
    assert Attested("bob", start, end, "0" * 64).business_days == 6
    text = HEAD + written(word)
    assert 'calendar: "DE-BY"' in text
    assert parse_attestations(parse_yaml(text.encode(), "attestations.yml")) == (word,)


def test_where_friday_is_free_and_sunday_is_not_it_is_counted_and_written_so():
    # From a Thursday to the Monday after: Sunday and Monday are worked.
    word = Attested("ada", date("2026-02-05"), date("2026-02-09"), "0" * 64, weekend=("friday", "saturday"))
    assert word.business_days == 2
    text = HEAD + written(word)
    assert parse_attestations(parse_yaml(text.encode(), "attestations.yml")) == (word,)


def test_a_weekend_of_every_day_or_of_no_day_of_the_week_is_refused():
    for weekend in ("[someday]", "[monday, tuesday, wednesday, thursday, friday, saturday, sunday]"):
        line = f"{{who: a, started: 2026-02-05, reproduced: 2026-02-09, contract: {'0' * 64}, weekend: {weekend}}}"
        with pytest.raises(MacfleetError) as caught:
            parse_attestations(parse_yaml(f"attestations:\n  - {line}\n".encode(), "attestations.yml"))
        assert caught.value.diagnostics[0].code == "E0103"


def test_nothing_is_off_on_ordinary_days():
    assert days_off("DE", date("2026-07-06"), date("2026-07-08")) == DaysOff((), ("saturday", "sunday"))
