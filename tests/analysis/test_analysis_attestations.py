"""Colleagues' words: days counted, files read strictly, entries written so that they are read back."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macfleet.analysis.attestations import (
    HEAD,
    Attested,
    business_days,
    counted,
    load_attestations,
    parse_attestations,
    written,
)
from macfleet.documents import parse_yaml
from macfleet.model.diagnostic import MacfleetError
from macfleet.sources.disk import DiskFiles

CONTRACT = "9f2c" + "0" * 60
MONDAY = dt.date(2026, 11, 16)
PRINTABLE = st.text(st.characters(exclude_categories=("C",)), max_size=20)


def day(offset):
    return MONDAY + dt.timedelta(days=offset)


@pytest.mark.parametrize(
    ("start", "end", "holidays", "expected"),
    [
        (0, 0, (), 0),
        (0, 1, (), 1),
        (0, 4, (), 4),
        (0, 7, (), 5),
        (0, 8, (), 6),
        (4, 7, (), 1),
        (5, 7, (), 1),
        (5, 6, (), 0),
        (0, 8, (3,), 5),
        (0, 8, (5,), 6),
        (0, 8, (0,), 6),
    ],
)
def test_business_days_leave_out_weekends_named_holidays_and_the_day_of_the_start(
    start, end, holidays, expected
):
    assert business_days(day(start), day(end), [day(each) for each in holidays]) == expected


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 60))
def test_a_longer_time_never_has_fewer_business_days(first, length):
    assert business_days(day(first), day(first + length)) <= business_days(
        day(first), day(first + length + 1)
    )
    assert business_days(day(first), day(first + 7)) == 5


def attested(who="ada", **changes):
    return Attested(
        who, changes.pop("started", day(0)), changes.pop("reproduced", day(3)), CONTRACT, **changes
    )


def test_only_words_about_the_same_contract_count():
    other = Attested("eve", day(0), day(1), "f" * 64)
    found = counted([attested(), other, attested("bob", by_hand=("cmake",))], CONTRACT)
    assert [(each.who, each.business_days, each.installed_by_hand) for each in found] == [
        ("ada", 3, False),
        ("bob", 3, True),
    ]


@settings(deadline=None)
@given(
    PRINTABLE.filter(bool),
    st.lists(PRINTABLE, max_size=3),
    PRINTABLE,
    st.integers(0, 30),
)
def test_what_is_written_is_read_back(who, by_hand, note, length):
    entry = attested(
        who, by_hand=tuple(by_hand), note=note, reproduced=day(length), holidays=(day(1),), recorded=day(40)
    )
    text = HEAD + written(attested()) + written(entry)
    assert parse_attestations(parse_yaml(text.encode(), "attestations.yml")) == (attested(), entry)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{who: ada, started: 2026-11-16, reproduced: 2026-11-13, contract: %s}", "E1041"),
        ("{who: ada, started: 2026-11-16, reproduced: soon, contract: %s}", "E0103"),
        ("{who: ada, started: 2026-11-16, reproduced: 2026-11-17}", "E0103"),
        ("{who: ada, started: 2026-11-16, reproduced: 2026-11-17, contract: %s, days: 1}", "E0103"),
    ],
)
def test_a_word_that_cannot_be_is_refused_with_its_line(line, code):
    text = "attestations:\n  - " + (line % CONTRACT if "%" in line else line) + "\n"
    with pytest.raises(MacfleetError) as caught:
        parse_attestations(parse_yaml(text.encode(), "attestations.yml"))
    (found,) = caught.value.diagnostics
    assert (found.code, found.where.line) == (code, 2)


def test_a_fleet_without_the_file_has_no_attestations(tmp_path):
    assert load_attestations(DiskFiles(tmp_path)) == ()
