"""What a load test says before it begins: hours, rent by currency, and what could not be signed afterwards."""

import datetime as dt
from dataclasses import replace
from decimal import Decimal

import pytest
from straight_line import Fleet

from macfleet.analysis.offers import Offer
from macfleet.model.node import Ownership
from macfleet.rollout.load_plan import load_plan
from macfleet.rollout.load_profile import LoadProfile, full_profile

CLEAN = ("c0ffee", False)


def offer(name, price, currency, unit="hour", kind="rent"):
    return Offer(name, kind, Decimal(price), currency, unit, dt.date(2026, 11, 1), "medium", "price list")


OFFERS = {
    each.id: each
    for each in (
        offer("hourly", "0.50", "EUR"),
        offer("daily", "24", "USD", "day"),
        offer("bought", "999", "EUR", "once", "own"),
    )
}


@pytest.fixture
def fleet(tmp_path):
    return Fleet.make(tmp_path, "mac-01", "mac-02", "mac-03")


def rented(nodes, *names):
    return [replace(n, ownership=Ownership.RENTED, offer=o) for n, o in zip(nodes, names, strict=True)]


def test_nodes_measure_at_once_unless_they_share_hardware(fleet):
    profile = full_profile(1800.0)
    apart = load_plan(fleet.nodes, fleet.desired, profile, {}, commit=CLEAN)
    shared = [replace(node, hardware="one") for node in fleet.nodes]
    together = load_plan(shared, fleet.desired, profile, {}, commit=CLEAN)
    assert (apart.nodes, apart.groups, together.groups) == (3, 3, 1)
    assert together.seconds == pytest.approx(3 * apart.seconds)
    assert (apart.arms, apart.cells) == (("bare", "container"), ("short×1", "short×4"))
    # Two arms, two cells, half an hour each; four times that where the pilot asks for it.
    assert 2 * 3600 < apart.seconds < 2.5 * 3600
    assert 4 * 2 * 3600 < apart.longest < 4 * 2.5 * 3600
    assert apart.unsignable == ()


def test_rented_hours_are_priced_by_currency_and_what_has_no_price_is_named(fleet):
    nodes = rented(fleet.nodes, "hourly", "daily", "bought")
    plan = load_plan(nodes, fleet.desired, full_profile(1800.0), OFFERS, commit=CLEAN)
    hours = Decimal(str(plan.seconds)) / 3600
    assert list(plan.rent) == ["EUR", "USD"]
    assert plan.rent["EUR"] == pytest.approx(hours * Decimal("0.50"))
    assert plan.rent["USD"] == pytest.approx(hours)
    assert plan.longest_rent["USD"] > 3 * plan.rent["USD"]
    assert plan.unpriced == ("mac-03",)
    assert load_plan(fleet.nodes, fleet.desired, full_profile(1800.0), OFFERS, commit=CLEAN).rent == {}


@pytest.mark.parametrize(
    ("duration", "commit", "words"),
    [
        (1800.0, CLEAN, ()),
        (20.0, CLEAN, ("short",)),
        (1800.0, ("c0ffee", True), ("uncommitted changes",)),
        (1799.0, ("", True), ("short", "not a git repository")),
    ],
)
def test_what_could_not_be_signed_is_said_before_the_hours_are_spent(fleet, duration, commit, words):
    plan = load_plan(fleet.nodes, fleet.desired, full_profile(duration), {}, commit=commit)
    assert len(plan.unsignable) == len(words)
    assert all(word in said for word, said in zip(words, plan.unsignable, strict=True))


def test_a_short_load_test_is_never_longer_than_it_says(fleet):
    plan = load_plan(fleet.nodes, fleet.desired, LoadProfile(20.0, segments=2), {}, commit=CLEAN)
    assert plan.longest == plan.seconds
