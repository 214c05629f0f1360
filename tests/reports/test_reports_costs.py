"""What procurement reads: costs beside figures, currencies apart, doubts said."""

import datetime as dt
import json
from dataclasses import replace
from decimal import Decimal

import pytest
from click.testing import CliRunner
from rich.console import Console

from macfleet.analysis.cost import Price
from macfleet.analysis.offers import Offer
from macfleet.analysis.summaries import summary_document
from macfleet.cli.compare import compare as compare_command
from macfleet.cli.cost import cost
from macfleet.model.contract import Slo
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.run import Interval
from macfleet.reports.compare import compare
from macfleet.reports.costs import Terms, cost_report, with_costs
from macfleet.reports.exports import json_document, plain
from macfleet.reports.markdown import markdown
from macfleet.reports.money import plain as amount
from macfleet.reports.money import price
from macfleet.views.compare import show_comparison
from macfleet.views.cost import show_costs

TODAY = dt.date(2026, 11, 23)
RENT = Offer("rented", "rent", Decimal("0.49"), "EUR", "hour", TODAY, "high", "list", min_commit=Decimal(24))
OWN = Offer(
    "owned", "own", Decimal(999), "EUR", "once", TODAY, "high", "list", amortise=36, load=Decimal(45),
    kwh=Decimal("0.25"),
)  # fmt: skip
SLO = Slo(ttft_p95=0.8, e2e_p95=9.0)


def terms(*offers, **changes):
    chosen = offers or (OWN, RENT)
    given = {"contract": "9f2c" + "0" * 60, "slos": {"short": SLO}, **changes}
    return Terms({each.id: each for each in chosen}, today=TODAY, **given)


@pytest.fixture
def pair(make_run):
    """An owned node and a rented one."""
    return (
        make_run(node="mac-01", id="20261120-loadtest", facts={"offer": "owned"}),
        make_run(
            node="rent-01", id="20261121-loadtest", facts={"offer": "rented", "ownership": "rented"}, seed=2
        ),
    )


def text(draw, what, width=100):
    console = Console(width=width, file=None, record=True, color_system=None)
    with console.capture() as captured:
        draw(what, console)
    return captured.get()


@pytest.mark.parametrize(
    ("value", "currency", "shown"),
    [
        ("0.11", "USD", "$0.11"),
        ("1.016", "EUR", "€1.02"),
        ("12345.6", "GBP", "£12,346"),
        ("0.0312", "CHF", "CHF 0.031"),
        ("0.00458", "USD", "$0.0046"),
        ("0", "USD", "$0.00"),
    ],
)
def test_amounts_have_as_many_digits_as_they_need(value, currency, shown):
    assert amount(Decimal(value), currency) == shown


def test_an_interval_has_the_digits_of_its_figure():
    assert price(Price(Decimal("0.114"), "USD", Decimal("0.1"), Decimal("0.123"))) == "$0.11 [0.10, 0.12]"


def test_an_interval_is_never_shown_as_if_there_were_none():
    narrow = Price(Decimal("0.1041"), "USD", Decimal("0.1034"), Decimal("0.1049"))
    assert price(narrow) == "$0.104 [0.103, 0.105]"


def test_each_node_is_counted_with_its_own_offer(pair):
    report = cost_report(pair, terms())
    assert {(each.node, each.offer, each.cell) for each in report.nodes} == {
        ("mac-01", "owned", "short×4"),
        ("rent-01", "rented", "short×4"),
    }
    assert all(each.full.low < each.full.value < each.full.high for each in report.nodes)
    assert all(each.planned.value > each.full.value for each in report.nodes)


def test_owned_and_rented_are_held_against_each_other_arm_by_arm(pair):
    report = cost_report(pair, terms())
    assert [(each.own, each.rent, each.arm) for each in report.pairs] == [
        ("mac-01", "rent-01", "bare short"),
        ("mac-01", "rent-01", "container short"),
    ]
    found = report.pairs[1]
    assert found.found.months == pytest.approx(Decimal("2.81"), abs=Decimal("0.01"))
    assert 0 < found.found.utilisation.low < found.found.utilisation.value < 0.2
    costs = [each.value for _, each in found.blends]
    assert costs == sorted(costs) or costs == sorted(costs, reverse=True)


def test_two_currencies_are_neither_compared_nor_blended(pair):
    report = cost_report(pair, terms(replace(OWN, currency="USD"), RENT))
    assert all(each.found.months is None and not each.blends for each in report.pairs)
    assert "USD and EUR are not compared" in text(show_costs, report)


def test_old_and_doubtful_prices_are_flagged(pair):
    old = replace(RENT, as_of=dt.date(2026, 8, 1), confidence="low")
    shown = text(show_costs, cost_report(pair, terms(OWN, old)))
    assert "! rented: price of 2026-08-01, 114 days old: ask again" in shown
    assert "! rented: confidence in the price is low" in shown
    assert "· rented: at least 24 h are billed" in shown
    assert "owned: price" not in shown


def test_the_sensitivity_table_moves_one_thing_at_a_time(pair):
    report = cost_report(pair, terms())
    rows = {each.node: dict(each.rows) for each in report.sensitivities}
    base = {each.node: each.base.value for each in report.sensitivities}
    assert rows["rent-01"]["utilisation 35 %"].value == base["rent-01"]
    assert rows["rent-01"]["price +20 %"].value == pytest.approx(base["rent-01"] * Decimal("1.2"))
    assert rows["mac-01"]["written off over 24 months"].value > base["mac-01"]
    assert rows["mac-01"]["worth 20 % at the end"].value < base["mac-01"]
    assert "written off over 24 months" not in rows["rent-01"]


def test_a_node_without_an_offer_is_named(make_run):
    unknown = make_run(node="mac-02", facts={"offer": "gone"})
    report = cost_report([unknown, make_run(id="20261120-loadtest")], terms())
    assert "mac-02 has no cost: its offer gone is not in contract/offers.yml" in report.notices
    assert "mac-01 has no cost: it names no offer" in report.notices


def test_levels_of_another_contract_are_not_passed_off_as_those_measured_under(pair):
    notices = cost_report(pair, terms(contract="f" * 64)).notices
    assert any(each.startswith("service levels are those of the contract as it is now") for each in notices)


def test_invalid_cells_have_no_cost_and_say_invalid(make_run):
    run = make_run(
        facts={"offer": "owned"}, cells=lambda cells: tuple(replace(c, invalid=("late",)) for c in cells)
    )
    report = cost_report([run], terms())
    assert {each.load for each in report.nodes} == {"INVALID"}
    assert "short×4 is INVALID: late" in text(show_costs, report)


def test_simulated_figures_are_never_passed_off_as_a_macs(make_run):
    report = cost_report([make_run(facts={"offer": "owned"}, simulated=("a lab",))], terms())
    assert "not a Mac's figure" in report.notices[0]


def test_without_a_run_the_offers_alone_are_shown():
    shown = text(show_costs, cost_report((), terms()))
    assert "Cost per 1M output tokens: not measured" in shown
    assert "owning is paid after 2.8 months of renting" in shown


def test_a_report_fits_a_narrow_terminal_and_has_a_document(pair):
    report = cost_report(pair, terms())
    assert max(len(line) for line in text(show_costs, report, 80).splitlines()) <= 80
    document = json.loads(json.dumps(plain({"nodes": [each.full.value for each in report.nodes]})))
    assert all(isinstance(each, str) for each in document["nodes"])


def test_a_comparison_by_ownership_shows_what_each_node_costs(pair):
    found = with_costs(compare(pair, "ownership"), pair, terms(replace(OWN, currency="USD"), RENT))
    shown = text(show_comparison, found)
    lines = {line.split("  ")[0].strip(): line for line in shown.splitlines()}
    assert "cost per 1M output tokens · short" in shown
    assert "$" in lines["at 35 % · container"]
    assert "€" in lines["at 35 % · container"]
    assert "short×4" in lines["at load · container"]
    assert "currencies are kept apart, nothing is converted: EUR, USD" in shown
    assert "at 100 % · container" in markdown(found)
    assert json.loads(json.dumps(json_document(found)))["columns"][0]["costs"][0]["offer"] == "owned"


def test_a_comparison_by_ownership_says_when_owning_wins_and_how_sure_the_price_is(pair):
    shown = text(show_comparison, with_costs(compare(pair, "ownership"), pair, terms()))
    lines = {line.split("  ")[0].strip(): line for line in shown.splitlines()}
    assert "2.8 months, 8 % busy" in lines["own or rent"]
    assert "rented, high" in lines["offer, confidence"]


def test_a_level_that_is_not_proven_carries_a_question_mark(pair):
    few = tuple(replace(run, cells=tuple(replace(c, p95=Interval(1.0)) for c in run.cells)) for run in pair)
    shown = text(show_comparison, with_costs(compare(few, "ownership"), few, terms()))
    assert "? short×4, SLO not proven" in shown


@pytest.fixture
def priced(fleet, record, pair):
    (fleet / "contract").mkdir()
    (fleet / "contract" / "offers.yml").write_text(
        "offers:\n"
        '  - {id: owned, kind: own, price: "999", currency: EUR, amortise: 36mo, as_of: 2026-11-01, confidence: high, source: list}\n'
        '  - {id: rented, kind: rent, price: "0.49", currency: EUR, unit: hour, as_of: 2026-11-01, confidence: high, source: list}\n'
    )
    for run in pair:
        record(run)
    return fleet


def invoke(fleet, command, *arguments):
    return CliRunner().invoke(command, [*arguments, "--fleet", str(fleet)], standalone_mode=False)


def test_the_command_counts_the_newest_run_of_each_node(priced):
    document = json.loads(invoke(priced, cost, "--output", "json").stdout)
    assert (document["kind"], document["schema"]) == ("costs", 1)
    assert {each["node"] for each in document["nodes"]} == {"mac-01", "rent-01"}
    assert "no contract could be read" in " ".join(document["notices"])
    assert "rent-01" in invoke(priced, cost, "--utilisation", "60%").stdout


@pytest.mark.parametrize("given", ["0%", "120%", "much", "-5%"])
def test_a_utilisation_is_a_share_above_nothing(priced, given):
    result = invoke(priced, cost, "--utilisation", given)
    assert isinstance(result.exception, MacfleetError)
    assert result.exception.diagnostics[0].code == "E1023"


def test_compare_by_ownership_reads_the_offers(priced):
    assert "cost per 1M output tokens" in invoke(priced, compare_command, "--by", "ownership").stdout
    assert "cost per 1M output tokens" not in invoke(priced, compare_command, "--by", "node").stdout


def test_a_fleet_that_measured_nothing_still_sees_its_offers(fleet):
    assert "There are no offers yet" in invoke(fleet, cost).stdout


def test_summaries_without_the_newer_figure_are_still_read(make_run):
    rows = summary_document(make_run().cells)["cells"]
    assert all("itl_p95" in row for row in rows)
