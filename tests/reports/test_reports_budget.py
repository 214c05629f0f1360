"""The latency budget against recorded runs: which figure fills which term, and what is said of the rest."""

import datetime as dt
from dataclasses import replace

import pytest

from macfleet.analysis.budget import Budget, Term
from macfleet.model.contract import Bucket, ClientDiscipline, Contract, Slo
from macfleet.model.run import RunManifest
from macfleet.model.stage import Outcome
from macfleet.reports.budget import budget_report, classed
from macfleet.testing import FakeRuns
from macfleet.testing.synthetic import SyntheticArm
from macfleet.views.budget import budget_lines

NOW = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
BARE = SyntheticArm("bare", first_token=0.2)
SLOW = SyntheticArm("container", first_token=0.5)
CONTRACT = Contract(
    "c", 1, "9f2c" + "0" * 60, "5a" * 32, (), "m", 4, (1, 4), (Bucket("short", 512, 32, Slo(e2e_p95=9.0), ()),),
    "short", ClientDiscipline(), 1800.0, {},
)  # fmt: skip
TERMS = (
    Term("tls", 0.005, "not measured", "environmental"),
    Term("hop", 0.010, "network proof", "environmental"),
    Term("prefill", 0.400, "time to first token", "algorithmic"),
    Term("decode", 5.0, "inter-token latency × output", "algorithmic"),
)
BUDGET = Budget("short", 1, TERMS)


def report(*runs, budget=BUDGET, store=None, arm="container", now=NOW, contract=CONTRACT):
    return budget_report(budget, contract, runs, store or FakeRuns(), arm=arm, now=now)


def rows(found):
    [node] = found.nodes
    return {each.term.name: each for each in (*node.terms, node.whole)}


def test_terms_are_filled_from_the_cell_and_what_nothing_measures_says_so(make_run):
    run = make_run(BARE, SLOW)
    found = rows(report(run))
    [cell] = [c for c in run.cells if (c.arm, c.cell) == ("container", "short×1")]
    assert found["prefill"].measurement.seconds == cell.ttft_p95
    assert found["decode"].measurement.seconds.value == pytest.approx(31 * cell.itl_p95.value)
    assert found["end to end"].measurement.seconds == cell.p95
    assert found["prefill"].measurement.evidence == f"{run.manifest.id}/summary.json#mac-01/container/short×1"
    assert (found["tls"].outcome, found["tls"].why) == (Outcome.NOT_APPLICABLE, "")
    assert (found["hop"].outcome, found["hop"].why) == (
        Outcome.NOT_APPLICABLE,
        "no proof of the network is recorded",
    )


def test_what_the_container_adds_is_environmental_and_what_both_need_is_algorithmic(make_run):
    added = report(make_run(BARE, SLOW))
    assert classed(added) == {"environmental": ("mac-01: prefill",)}
    both = report(make_run(SyntheticArm("bare", first_token=0.5), SLOW))
    assert classed(both) == {"algorithmic": ("mac-01: prefill",)}
    assert (added.over, report(make_run(BARE, SLOW), arm="bare").over) == (True, False)


def test_the_gpus_worth_is_no_matter_of_the_environment(make_run):
    arms = (BARE, SyntheticArm("bare-cpu", first_token=0.5), SLOW)
    kinds = {"bare": "metal", "bare-cpu": "cpu", "container": "cpu"}
    found = rows(report(make_run(*arms, accelerators=kinds)))
    assert (found["prefill"].kind, "bare-cpu is over" in found["prefill"].why) == ("algorithmic", True)


def test_an_invalid_cell_fills_nothing(make_run):
    spoilt = make_run(BARE, SLOW, cells=lambda found: tuple(replace(c, invalid=("late",)) for c in found))
    found = rows(report(spoilt))
    assert found["prefill"].why == "container short×1 is INVALID"
    assert rows(report(make_run(BARE)))["prefill"].why == "the run has no container short×1"


def test_the_hop_is_of_the_mode_that_the_newest_proof_chose(make_run):
    store = FakeRuns()
    for number, (mode, ms) in enumerate((("bridge", 12.0), ("host", 3.0))):
        paths = {
            f"{each}/client/keep-alive": {"n": 300, "p50_ms": 1.0, "p95_ms": ms}
            for each in ("bridge", "host")
        }
        writer = store.create(f"2026112{number}T000000Z-stage4")
        writer.json("nodes/mac-01/network.json", {"mode": mode, "paths": paths})
        writer.finish(head(writer.id))
    found = rows(report(make_run(BARE, SLOW), store=store))["hop"]
    assert (found.outcome, found.measurement.seconds.value) == (Outcome.PASS, 0.003)
    assert found.measurement.evidence == "20261121T000000Z-stage4/nodes/mac-01/network.json"
    assert "host/client/keep-alive" in found.measurement.how


def head(run_id):
    return RunManifest(
        run_id, "network", "network", "", "", "", False, ("mac-01",), (), "client", "", "", "", "", "0.1.0",
        files={"nodes/mac-01/network.json": "0" * 64},
    )  # fmt: skip


def test_old_figures_a_sum_over_the_promise_and_another_contract_are_told_first(make_run):
    run = make_run(BARE, SLOW)
    tight = replace(CONTRACT, hash="e" * 64, buckets=(Bucket("short", 512, 32, Slo(e2e_p95=5.0), ()),))
    told = report(run, now=NOW + dt.timedelta(days=8), contract=tight).notices
    assert any("reviewed weekly" in each for each in told)
    assert any("add up to 5.415 s, more than the 5 s" in each for each in told)
    assert any("another contract" in each for each in told)
    assert report(run).notices == ()


@pytest.mark.parametrize("width", [0, 60, 100])
def test_the_lines_name_ways_of_measuring_outcomes_and_classes_at_any_width(make_run, width):
    lines = budget_lines(report(make_run(BARE, SLOW)), width)
    text = " ".join(" ".join(lines).split())
    for words in (
        "not measured",
        "✗ over",
        "✗ environmental (mounts, VM, noisy neighbours): mac-01: prefill",
    ):
        assert words in text
    assert not width or all(len(line) <= width for line in lines)


def test_nothing_measured_is_not_called_good(make_run):
    lines = budget_lines(report(make_run(BARE)), 0)
    assert lines[-1] == "? nothing of the budget was measured"
    fine = budget_lines(report(make_run(BARE, SyntheticArm("container"))), 0)
    assert fine[-1].startswith("✓ no measured term is over its budget; 2 of 4")
