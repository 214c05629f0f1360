"""Offers: what is refused, what is flagged, what a month costs."""

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.analysis.offers import load_offers, month_cost, parse_offers, running_month
from macfleet.documents import parse_yaml
from macfleet.model.diagnostic import MacfleetError
from macfleet.sources.disk import DiskFiles

RENT = {
    "id": "rented",
    "kind": "rent",
    "price": '"0.49"',
    "currency": "EUR",
    "unit": "hour",
    "as_of": "2026-11-01",
    "confidence": "medium",
    "source": "list",
}
OWN = {**RENT, "id": "owned", "kind": "own", "price": '"999"', "unit": "once", "amortise": "36mo"}


def text(*rows):
    return "offers:\n" + "".join(
        f"  - {{{', '.join(f'{name}: {value}' for name, value in row.items())}}}\n" for row in rows
    )


def parse(*rows):
    return parse_offers(parse_yaml(text(*rows).encode(), "contract/offers.yml"))


def refusals(*rows):
    with pytest.raises(MacfleetError) as caught:
        parse(*rows)
    return [(each.code, each.summary, each.where.line) for each in caught.value.diagnostics]


def test_the_offers_that_come_with_a_new_fleet_are_read():
    offers = load_offers(DiskFiles(Path(__file__).parents[2]))
    assert {name: (each.kind, each.currency) for name, each in offers.items()} == {
        "mini-m4-24": ("own", "USD"),
        "scw-m4-xl": ("rent", "EUR"),
    }
    assert offers["scw-m4-xl"].min_commit == 24


def test_a_fleet_without_offers_has_none(tmp_path):
    assert load_offers(DiskFiles(tmp_path)) == {}


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (
            {"price": "0.49"},
            "E0103",
            '"price" for offer rented: money is written as text, so that no digit is lost: "0.49"',
        ),
        ({"price": '"0,49"'}, "E0103", 'an amount such as "0.49"'),
        ({"price": '"-1"'}, "E0103", 'an amount such as "0.49"'),
        ({"currency": "eur"}, "E0103", "currency"),
        ({"unit": "minute"}, "E0103", "unit"),
        ({"unit": "once"}, "E0103", "unit"),
        ({"as_of": "last week"}, "E0103", "as_of"),
        ({"confidence": "sure"}, "E0103", "confidence"),
        ({"prise": '"1"'}, "E0103", 'unknown key "prise"'),
        ({"amortise": "36mo"}, "E0103", 'unknown key "amortise"'),
        ({"kind": "lease"}, "E1022", 'kind must be "rent" or "own"'),
        ({"min_commit": "a day"}, "E0103", "min_commit"),
    ],
)
def test_what_a_rented_offer_may_not_say(change, code, said):
    ((found, summary, line),) = refusals({**RENT, **change})
    assert found == code
    assert said in summary
    assert line == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amortise": "36"}, "months such as 36mo are wanted"),
        ({"amortise": "0mo"}, "months such as 36mo are wanted"),
        ({"idle": "6"}, "power such as 45W is wanted"),
        ({"residual": "120%"}, "less than or equal to 1"),
        ({"kwh": "0.25"}, "money is written as text"),
    ],
)
def test_what_an_owned_offer_may_not_say(change, said):
    ((_, summary, _),) = refusals({**OWN, **change})
    assert said in summary


def test_every_problem_of_the_file_is_reported_with_its_line():
    found = refusals({**RENT, "currency": "euro"}, OWN, {**OWN, "idle": "much"}, {**RENT, "id": "owned"})
    assert [(code, line) for code, _, line in found] == [("E0103", 2), ("E0103", 4), ("E1021", 5)]


def test_a_month_of_the_owned_mac_mini_of_the_reference_costs_33_dollars():
    row = {**OWN, "idle": "6W", "load": "45W", "kwh": '"0.25"', "duty": "60%", "currency": "USD"}
    offer = parse(row)["owned"]
    assert running_month(offer, Decimal(0)) == Decimal("5.3655")
    assert month_cost(offer, Decimal(1)) == Decimal("33.1155")


def test_every_term_of_owning_counts():
    row = {
        **OWN,
        "residual": "20%",
        "colo_month": '"10"',
        "spare": "10%",
        "ops_hours_month": '"0.5"',
        "ops_rate": '"80"',
    }
    expected = Decimal(999) * Decimal("0.8") / 36 + 10 + Decimal("99.9") / 36 + 40
    assert month_cost(parse(row)["owned"], Decimal("0.35")) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("unit", "price", "month"),
    [("hour", "1", 730), ("day", "24", 730), ("week", "168", 730), ("month", "149", 149)],
)
def test_a_rented_month_has_730_hours_whatever_the_unit(unit, price, month):
    offer = parse({**RENT, "unit": unit, "price": f'"{price}"'})["rented"]
    assert month_cost(offer, Decimal(1)) == month


@pytest.mark.parametrize(("days", "stale"), [(0, False), (90, False), (91, True)])
def test_a_price_older_than_90_days_is_stale(days, stale):
    today = dt.date(2026, 11, 1) + dt.timedelta(days=days)
    assert parse(RENT)["rented"].stale(today) is stale


@given(st.integers(0, 10**9), st.integers(0, 10**6 - 1))
def test_no_digit_of_a_price_is_lost(whole, fraction):
    price = f"{whole}.{fraction:06}"
    assert parse({**RENT, "price": f'"{price}"'})["rented"].price == Decimal(price)
