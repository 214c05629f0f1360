"""The latency budget: the file read strictly, each term judged on its interval, overruns classed."""

from pathlib import Path

import pytest

from macfleet.analysis.budget import Measurement, Term, load_budget, parse_budget, spent
from macfleet.documents import parse_yaml
from macfleet.model.contract import Bucket, ClientDiscipline, Contract, Slo
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.run import Interval
from macfleet.model.stage import Outcome
from macfleet.sources.disk import DiskFiles

ROOT = Path(__file__).parents[2]
PREFILL = Term("prefill", 0.700, "time to first token", "algorithmic")
MOUNTS = Term("logging", 0.002, "time to first token", "environmental")
CONTRACT = Contract(
    "c", 1, "0" * 64, "0" * 64, (), "m", 4, (1, 4), (Bucket("short", 512, 128, Slo(), ()),), "short",
    ClientDiscipline(), 1800.0, {},
)  # fmt: skip


def took(value, low=None, high=None):
    return Measurement(Interval(value, low, high), "p95", "run/summary.json#mac-01/container/short×1")


def parsed(text, contract=CONTRACT):
    return parse_budget(parse_yaml(text.encode(), "contract/budget.yml"), contract)


def budget(term="{term: a, budget: 8ms, measured_by: not measured, class: algorithmic}", bucket="short", c=1):
    return f"bucket: {bucket}\nconcurrency: {c}\nterms:\n  - {term}\n"


def test_the_shipped_budget_is_read():
    found = load_budget(DiskFiles(ROOT), CONTRACT)
    assert (found.cell, len(found.terms)) == ("short×1", 7)
    assert found.whole == pytest.approx(7.727)
    assert {term.kind for term in found.terms} == {"algorithmic", "environmental"}


def test_a_fleet_without_a_budget_has_none(tmp_path):
    assert load_budget(DiskFiles(tmp_path)) is None


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (budget(bucket="long"), "E1090", 1),
        (budget(c=2), "E1091", 2),
        (budget().rstrip() + "\n" + budget().splitlines()[-1] + "\n", "E1092", 5),
        (budget("{term: a, budget: soon, measured_by: not measured, class: algorithmic}"), "E0103", 4),
        (budget("{term: a, budget: 0ms, measured_by: not measured, class: algorithmic}"), "E0103", 4),
        (budget("{term: a, budget: [1], measured_by: not measured, class: algorithmic}"), "E0103", 4),
        (budget("{term: a, budget: 8ms, measured_by: a stopwatch, class: algorithmic}"), "E0103", 4),
        (budget("{term: a, budget: 8ms, measured_by: not measured, class: cosmic}"), "E0103", 4),
        (budget("{term: a, budget: 8ms, measured_by: not measured}"), "E0103", 4),
        ("bucket: short\nconcurrency: 1\nterms: []\n", "E0103", 3),
    ],
)
def test_a_budget_that_cannot_be_is_refused_with_its_line(text, code, line):
    with pytest.raises(MacfleetError) as caught:
        parsed(text)
    [found] = caught.value.diagnostics
    assert (found.code, found.where.line) == (code, line)


@pytest.mark.parametrize(
    ("measured", "outcome"),
    [
        (took(0.600, 0.550, 0.690), Outcome.PASS),
        (took(0.900, 0.750, 0.990), Outcome.FAIL),
        (took(0.900, 0.650, 0.990), Outcome.INCONCLUSIVE),
        (took(0.600, 0.550, 0.800), Outcome.INCONCLUSIVE),
        (took(0.900), Outcome.INCONCLUSIVE),
        (took(float("inf"), 0.8, float("inf")), Outcome.FAIL),
    ],
)
def test_a_term_is_judged_on_its_interval(measured, outcome):
    assert spent(PREFILL, measured, None).outcome is outcome


def test_too_few_requests_are_said_to_be_the_reason():
    assert spent(PREFILL, took(0.9), None).why == "too few requests for an interval"


OVER, WITHIN, OPEN = took(0.9, 0.8, 1.0), took(0.3, 0.2, 0.4), took(0.7, 0.6, 0.8)


@pytest.mark.parametrize(
    ("term", "base", "kind", "why"),
    [
        (PREFILL, WITHIN, "environmental", "bare-cpu is within the budget with the same model"),
        (PREFILL, OVER, "algorithmic", "bare-cpu is over it as well"),
        (PREFILL, OPEN, "algorithmic", "as contract/budget.yml says; bare-cpu does not settle it"),
        (PREFILL, None, "algorithmic", "as contract/budget.yml says; no other arm to hold it against"),
        (MOUNTS, OVER, "environmental", "as contract/budget.yml says"),
    ],
)
def test_an_overrun_is_environmental_where_the_other_arm_does_not_have_it(term, base, kind, why):
    found = spent(term, OVER, base, "bare-cpu")
    assert (found.outcome, found.kind, found.why) == (Outcome.FAIL, kind, why)


def test_what_is_within_its_budget_has_no_class():
    assert spent(PREFILL, WITHIN, OVER, "bare").kind == ""
