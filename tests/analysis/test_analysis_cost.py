"""Cost per million tokens: at which load, with which interval, and when owning wins."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.analysis.cost import blend, break_even, check_slo, cost_per_million, good_rate, node_costs
from macfleet.analysis.offers import Offer
from macfleet.model.contract import Slo
from macfleet.model.run import CellSummary, Interval

RENT = Offer("rented", "rent", Decimal("0.36"), "EUR", "hour", dt.date(2026, 11, 1), "high", "list")
OWN = Offer("owned", "own", Decimal(730), "EUR", "once", dt.date(2026, 11, 1), "high", "list", amortise=10)
SLO = Slo(ttft_p95=0.8, itl_p95=0.06, e2e_p95=9.0, errors=0.005)
HALF = Decimal("0.5")


def cell(concurrency=1, **changes):
    base = CellSummary(
        node="mac-01",
        arm="container",
        cell=f"short×{concurrency}",
        bucket="short",
        concurrency=concurrency,
        n=1000,
        ok=1000,
        tokens_per_second=Interval(100.0, 80.0, 125.0),
        qps=1.0,
        p50=Interval(2.0),
        p95=Interval(3.0, 2.9, 3.1),
        p99=Interval(4.0),
        ttft_p50=Interval(0.2),
        ttft_p95=Interval(0.4, 0.3, 0.5),
        itl_p50=Interval(0.02),
        itl_p95=Interval(0.03, 0.02, 0.04),
        errors=0.0,
        status={},
        outcomes={},
        minutes=30.0,
        segments=4,
    )
    return replace(base, **changes)


def test_the_formula_divides_the_hour_by_its_busy_tokens():
    # 0.36 an hour is 0.0001 a second; 100 tokens/s make a token cost a millionth.
    assert cost_per_million(Interval(100.0), RENT, Decimal(1)).value == pytest.approx(Decimal(1))
    assert cost_per_million(Interval(100.0), RENT, Decimal("0.2")).value == pytest.approx(Decimal(5))


def test_the_interval_of_the_rate_is_carried_through_turned_round():
    price = cost_per_million(Interval(100.0, 80.0, 125.0), RENT, Decimal(1))
    assert (price.low, price.high) == (pytest.approx(Decimal("0.8")), pytest.approx(Decimal("1.25")))
    assert cost_per_million(Interval(100.0), RENT, Decimal(1)).low is None


@given(st.floats(0.01, 1e5), st.floats(0, 0.9), st.integers(1, 100))
def test_the_figure_lies_inside_its_interval_and_falls_with_utilisation(rate, spread, percent):
    share = Decimal(percent) / 100
    price = cost_per_million(Interval(rate, rate * (1 - spread), rate * (1 + spread)), RENT, share)
    assert price.low <= price.value <= price.high
    assert price.value >= cost_per_million(Interval(rate), RENT, Decimal(1)).value


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"p95": Interval(8.9, 8.5, 9.1)}, None),
        ({"p95": Interval(9.5, 9.1, 9.9)}, False),
        ({"p95": Interval(3.0)}, None),
        ({"itl_p95": None}, None),
        ({"itl_p95": Interval(0.09, 0.08, 0.1)}, False),
        ({"n": 598, "ok": 598}, True),
        ({"n": 590, "ok": 590}, None),
        ({"n": 1000, "ok": 996}, None),
        ({"n": 1000, "ok": 980}, False),
        ({"n": 0, "ok": 0}, None),
        ({"invalid": ("late",)}, None),
    ],
)
def test_a_service_level_holds_only_by_its_bound(change, holds):
    check = check_slo(cell(**change), SLO)
    assert check.holds is holds
    assert bool(check.reasons) == (holds is not True)


def test_what_is_not_promised_is_not_asked():
    assert check_slo(cell(p95=Interval(99.0), n=3, ok=1), Slo()).holds is True


def test_the_highest_load_that_is_proven_counts():
    slow = cell(4, tokens_per_second=Interval(300.0), p95=Interval(8.9, 8.0, 9.5))
    (found,) = node_costs([cell(1), slow], RENT, {"short": SLO}, HALF)
    assert (found.cell, found.slo) == ("short×1", True)
    assert found.why == ("short×4: end to end p95 8.90 s [8.00 s, 9.50 s] against 9.00 s",)
    (found,) = node_costs([cell(1), cell(4)], RENT, {"short": SLO}, HALF)
    assert found.cell == "short×4"


def test_where_nothing_is_proven_the_highest_open_load_stands_and_says_so():
    few = {"n": 40, "ok": 40, "p95": Interval(3.0), "ttft_p95": Interval(0.4), "itl_p95": Interval(0.03)}
    (found,) = node_costs([cell(1, **few), cell(4, **few)], RENT, {"short": SLO}, HALF)
    assert (found.cell, found.slo) == ("short×4", None)
    assert found.planned.value == pytest.approx(2 * found.full.value)


@pytest.mark.parametrize(
    "change",
    [{"p95": Interval(19.0, 18.0, 20.0)}, {"invalid": ("late",)}, {"tokens_per_second": Interval(0.0)}],
)
def test_a_node_that_keeps_no_level_has_no_cost_and_a_reason(change):
    (found,) = node_costs([cell(1, **change)], RENT, {"short": SLO}, HALF)
    assert found.full is None
    assert found.why


def test_each_arm_and_bucket_is_counted_for_itself():
    other = cell(1, arm="bare", tokens_per_second=Interval(200.0))
    found = node_costs([cell(1), other, cell(1, bucket="long", cell="long×1")], RENT, {})
    assert [(each.arm, each.bucket) for each in found] == [
        ("container", "short"),
        ("bare", "short"),
        ("container", "long"),
    ]


def test_failed_answers_cost_but_do_not_count():
    assert good_rate(cell(errors=0.2)) == Interval(80.0, 64.0, 100.0)


def test_months_of_rent_pay_the_price_of_an_owned_node():
    found = break_even(OWN, RENT)
    assert found.months == pytest.approx(Decimal(730) / (Decimal("0.36") * 730))
    assert found.utilisation is None


def test_a_cheap_rent_never_pays_an_owned_node():
    found = break_even(replace(OWN, colo_month=Decimal(500)), RENT, Interval(1.0), Interval(1.0))
    assert found.months is None
    assert "running the owned node costs as much" in found.why


def test_currencies_are_never_mixed():
    found = break_even(replace(OWN, currency="USD"), RENT, Interval(1.0), Interval(1.0))
    assert (found.months, found.utilisation) == (None, None)
    assert found.why == "USD and EUR are not compared"


def test_the_break_even_utilisation_makes_both_cost_the_same():
    own = replace(OWN, idle=Decimal(10), load=Decimal(60), kwh=Decimal("0.3"))
    mine, theirs = Interval(80.0, 76.0, 84.0), Interval(100.0, 95.0, 105.0)
    found = break_even(own, RENT, mine, theirs).utilisation
    assert found.low < found.value < found.high
    owned = cost_per_million(mine, own, Decimal(repr(found.value)))
    assert float(owned.value) == pytest.approx(float(cost_per_million(theirs, RENT, Decimal(1)).value))


def test_a_blend_lies_between_its_parts_and_needs_one_currency():
    own = node_costs([cell(1)], OWN, {}, HALF)[0]
    rent = node_costs([cell(1)], RENT, {}, HALF)[0]
    mixed = blend(own, rent, Decimal("0.75"))
    assert mixed.value == pytest.approx(own.planned.value * 3 / 4 + rent.full.value / 4)
    assert mixed.low < mixed.value < mixed.high
    dollars = node_costs([cell(1)], replace(RENT, currency="USD"), {}, HALF)[0]
    assert blend(own, dollars, HALF) is None
