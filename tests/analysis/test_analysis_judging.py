from dataclasses import replace
from pathlib import Path

import pytest

from macfleet.analysis.cells import summarise
from macfleet.analysis.judging import Attestation, NodeEvidence, judge_thresholds
from macfleet.analysis.thresholds import (
    DEFAULTS,
    DIAGNOSIS,
    Threshold,
    in_scope,
    load_diagnosis,
    load_thresholds,
    parse_diagnosis,
    parse_thresholds,
)
from macfleet.documents import parse_yaml
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.run import Interval
from macfleet.model.stage import Outcome
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

JUDGED = ("short×1", "short×4")


def evidence(*arms, accelerators=None, segments=4, seconds=60, **more):
    run = synthetic_run(arms, segments=segments, seconds=seconds)
    cells = summarise(run.samples, run.reports, run.series, node="mac-01", accelerators=accelerators)
    return NodeEvidence(**{"node": "mac-01", "run": "r1", "cells": cells, "judged": JUDGED} | more)


def judged(found, thresholds=DEFAULTS):
    return {each.threshold: each for each in judge_thresholds(found, thresholds)}


BARE = SyntheticArm("bare", rate=50)
GOOD = SyntheticArm("container", rate=47, iowait=3, psi=1, memory=60)
SLOW = SyntheticArm("container", rate=30, iowait=3, psi=1, memory=60)


@pytest.mark.parametrize(
    ("container", "outcome"),
    [
        (GOOD, Outcome.PASS),
        (SLOW, Outcome.PASS),
        (replace(GOOD, iowait=40), Outcome.PASS),
        (replace(SLOW, iowait=40), Outcome.FAIL),
        (replace(SLOW, iowait=None), Outcome.INCONCLUSIVE),
    ],
)
def test_mounts_first_trips_only_when_drop_and_iowait_are_both_proven(container, outcome):
    found = judged(evidence(BARE, container))["mounts-first"]
    assert found.outcome is outcome
    assert found.grade == "discussion-grade default"
    assert any(name.startswith("r1/summary.json#mac-01/container/short×") for name in found.evidence)


@pytest.mark.parametrize(
    ("psi", "storage", "outcome", "words"),
    [
        (1, None, Outcome.INCONCLUSIVE, "storage proof (bind against native): not measured"),
        (1, 0.05, Outcome.PASS, "bind is 5 % below native"),
        (1, 0.45, Outcome.FAIL, "bind is 45 % below native"),
        (35, None, Outcome.FAIL, "PSI io some 35.0 %"),
    ],
)
def test_on_virtiofs_psi_or_the_storage_proof_may_speak_for_iowait(psi, storage, outcome, words):
    slow = replace(SLOW, psi=psi)
    found = judged(evidence(BARE, slow, virtiofs=True, storage_drop=storage))["mounts-first"]
    assert found.outcome is outcome
    assert any(words in reason for reason in found.reasons)


@pytest.mark.parametrize(
    ("psi", "storage", "virtiofs", "who"),
    [
        (1, 0.45, True, "the storage proof"),
        (35, 0.05, True, "PSI io some"),
        (35, 0.45, True, "PSI io some and the storage proof"),
        (1, 0.05, True, ""),  # nothing spoke
        (35, 0.45, False, ""),  # neither is asked where iowait is visible
    ],
)
def test_the_verdict_names_which_sign_spoke_on_virtiofs(psi, storage, virtiofs, who):
    slow = replace(SLOW, psi=psi)
    reasons = judged(evidence(BARE, slow, virtiofs=virtiofs, storage_drop=storage))["mounts-first"].reasons
    said = [reason for reason in reasons if "spoke" in reason]
    assert set(said) <= {f"container {cell}: on virtiofs, {who} spoke for slow storage" for cell in JUDGED}
    assert bool(said) is bool(who)
    assert "spoke" in reasons[1] or not who


@pytest.mark.parametrize(
    ("planted", "threshold", "words"),
    [
        ("host-memory", "offload-live", "container short×4: host memory used (planted, simulated) 85.1 %"),
        ("vm-iowait", "mounts-first", "container short×1: in-VM iowait (planted, simulated) 3.0 %"),
    ],
)
def test_a_figure_the_lab_made_up_is_called_so_in_the_verdict(planted, threshold, words):
    queueing = replace(SLOW, memory=85, queueing=0.8)
    found = judged(evidence(BARE, queueing, planted=(planted,)))[threshold]
    assert any(reason.startswith(words) for reason in found.reasons), found.reasons
    plain = judged(evidence(BARE, queueing))[threshold]
    assert not any("simulated" in reason for reason in plain.reasons)


def test_no_mounts_advice_for_a_loss_that_is_the_gpus():
    arms = (BARE, SyntheticArm("bare-cpu", rate=32), replace(SLOW, iowait=40))
    found = judged(evidence(*arms, accelerators={"bare": "metal", "bare-cpu": "cpu", "container": "cpu"}))
    assert found["mounts-first"].outcome is Outcome.PASS
    assert all("against bare-cpu" in each for each in found["mounts-first"].reasons if "tokens/s" in each)


def test_where_accelerators_differ_and_bare_cpu_is_missing_nothing_is_concluded():
    found = judged(evidence(BARE, replace(SLOW, iowait=40), accelerators={"bare": "metal"}))["mounts-first"]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "bare-cpu was not measured" in found.reasons[0]


@pytest.mark.parametrize(
    ("queueing", "memory", "outcome"),
    [
        (0.05, 60, Outcome.PASS),
        (0.80, 60, Outcome.PASS),
        (0.05, 90, Outcome.PASS),
        (0.80, 90, Outcome.FAIL),
        (0.40, 90, Outcome.INCONCLUSIVE),
    ],
)
def test_offload_live_trips_only_when_growth_and_memory_are_both_proven(queueing, memory, outcome):
    container = replace(GOOD, queueing=queueing, memory=memory, rate=100)
    found = judged(evidence(BARE, container))["offload-live"]
    assert found.outcome is outcome, found.reasons
    assert (found.minutes is not None) == (outcome is Outcome.INCONCLUSIVE)


def test_too_few_requests_are_inconclusive_with_the_minutes_that_lack():
    container = replace(GOOD, queueing=0.8, memory=90)
    found = judged(evidence(BARE, container, segments=2, seconds=20))["offload-live"]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.minutes == pytest.approx(30 - 2 * 20 / 60)
    assert "130 are needed" in found.reasons[0]


def test_two_pairs_of_segments_are_not_enough_for_a_verdict_on_tokens():
    found = judged(evidence(BARE, replace(SLOW, iowait=40), segments=2))["mounts-first"]
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.minutes >= 28


def test_an_invalid_cell_proves_nothing():
    whole = evidence(BARE, replace(SLOW, iowait=40))
    broken = tuple(
        replace(cell, invalid=("the client was late",)) if cell.arm == "container" else cell
        for cell in whole.cells
    )
    found = judged(replace(whole, cells=broken))
    assert found["mounts-first"].outcome is found["offload-live"].outcome is Outcome.INCONCLUSIVE
    assert "container short×1 is INVALID: the client was late" in found["mounts-first"].reasons[0]


def test_failures_at_four_make_the_growth_infinite():
    container = replace(GOOD, rate=100, memory=90)
    whole = evidence(BARE, container)
    failing = evidence(BARE, replace(container, errors=0.3))
    cells = tuple(cell for cell in whole.cells if cell.concurrency == 1) + tuple(
        cell for cell in failing.cells if cell.concurrency == 4
    )
    found = judged(replace(whole, cells=cells))["offload-live"]
    assert found.outcome is Outcome.FAIL
    assert "p95 is infinite" in found.reasons[0]


def test_reproducible_waits_for_attestations_and_passes_with_two():
    whole = evidence(BARE, GOOD)
    assert judged(whole)["reproducible"].outcome is Outcome.INCONCLUSIVE
    assert "0 of 2 colleagues" in judged(whole)["reproducible"].reasons[0]
    two = (Attestation("ada", 2), Attestation("bob", 5))
    assert judged(replace(whole, attestations=two))["reproducible"].outcome is Outcome.PASS
    late = (Attestation("ada", 2), Attestation("bob", 6), Attestation("eve", 1, installed_by_hand=True))
    assert judged(replace(whole, attestations=late))["reproducible"].outcome is Outcome.INCONCLUSIVE


def test_a_tripped_threshold_ends_reproducibility_whoever_attests():
    whole = evidence(BARE, replace(SLOW, iowait=40), attestations=(Attestation("a", 1), Attestation("b", 1)))
    found = judged(whole)["reproducible"]
    assert found.outcome is Outcome.FAIL
    assert found.verdict == "run the same image on a remote node and ship thin clients"


def test_shock_absorber_is_not_measured_without_a_plan():
    whole = evidence(BARE, GOOD)
    assert judged(whole)["shock-absorber"].outcome is Outcome.NOT_APPLICABLE
    assert "not measured" in judged(whole)["shock-absorber"].reasons[0]
    assert judged(replace(whole, planned_memory=0.70))["shock-absorber"].outcome is Outcome.FAIL
    assert judged(replace(whole, planned_memory=0.50))["shock-absorber"].outcome is Outcome.PASS


def test_a_node_without_container_arm_is_not_applicable_rather_than_passed():
    assert judged(evidence(BARE))["mounts-first"].outcome is Outcome.NOT_APPLICABLE


def test_the_narrowest_scope_speaks():
    rows = (
        Threshold("offload-live", {"p95_growth_above": 2.2, "memory_above": 0.78}, "all"),
        Threshold("offload-live", {"p95_growth_above": 3.0, "memory_above": 0.9}, "m4", chip="m4*"),
    )
    assert [each.verdict for each in in_scope(rows, "m", "m4-pro")] == ["m4"]
    assert [each.verdict for each in in_scope(reversed(rows), "m", "m4-pro")] == ["m4"]
    assert [each.verdict for each in in_scope(rows, "m", "m2")] == ["all"]


def test_the_shipped_file_says_what_the_defaults_say():
    text = (Path(__file__).parents[2] / "contract" / "thresholds.yml").read_bytes()
    document = parse_yaml(text, "thresholds.yml")
    shipped = (*parse_thresholds(document), *parse_diagnosis(document)[len(DIAGNOSIS) :])
    assert [replace(each, reason="") for each in shipped] == [
        replace(each, source="discussion-grade default; replace with your measurements")
        for each in (*DEFAULTS, *DIAGNOSIS)
    ]
    assert all(each.discussion_grade for each in shipped)


class NoFiles:
    def exists(self, path):
        return False


def test_without_a_file_the_defaults_are_judged():
    assert load_thresholds(NoFiles()) == DEFAULTS
    assert load_diagnosis(NoFiles()) == DIAGNOSIS


def test_a_teams_own_line_of_a_diagnosis_stands_in_for_the_default_where_it_speaks():
    text = b"thresholds: []\ndiagnosis:\n - {id: slow-disk, scope: {chip: m4*}, when: {fsync_above: 8ms}, source: week 47}\n"
    lines = parse_diagnosis(parse_yaml(text, "t.yml"))
    of_m4, of_m2 = ({each.id: each for each in in_scope(lines, "m", chip)} for chip in ("m4-pro", "m2"))
    assert of_m4["slow-disk"].limits == {"fsync_above": 0.008}
    assert of_m4["slow-disk"].source == "week 47"
    assert of_m2["slow-disk"].limits == {"fsync_above": 0.020}
    assert set(of_m4) == set(of_m2) == {"cpu-limit", "slow-disk", "ports"}


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{id: slow-disc, when: {fsync_above: 8ms}, source: s}", "E1011"),
        ("{id: mounts-first, when: {fsync_above: 8ms}, source: s}", "E1011"),
        ("{id: ports, when: {fsync_above: 8ms}, source: s}", "E0103"),
        ("{id: ports, when: {time_wait_above: 50%}}", "E0103"),
    ],
)
def test_a_line_of_a_diagnosis_that_is_none_is_refused_by_whoever_reads_the_file(line, code):
    for parse in (parse_thresholds, parse_diagnosis):
        with pytest.raises(MacfleetError) as caught:
            parse(parse_yaml(f"thresholds: []\ndiagnosis:\n - {line}\n".encode(), "t.yml"))
        assert code in [each.code for each in caught.value.diagnostics]


LINE = "{id: mounts-first, when: {tokens_per_second_drop: 18%, iowait_above: 12%}, verdict: v, source: s}"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("thresholds: [{id: mount-first}]", 1, 'did you mean "mounts-first"'),
        (f"thresholds:\n - {LINE.replace('iowait_above', 'iowait_abov')}", 2, "iowait_abov"),
        (f"thresholds:\n - {LINE.replace('12%', 'lots')}", 2, "not a number"),
        (f"thresholds:\n - {LINE}\n - {LINE}", 3, "stands twice"),
        (
            "thresholds:\n - {id: shock-absorber, when: {absorber: 45%, limit: 78%}, verdict: v, source: s}",
            2,
            "absorber",
        ),
        ("thresholds:\n - {when: {}}", 2, "without an id"),
    ],
)
def test_a_wrong_line_is_refused_with_its_place(text, line, words):
    with pytest.raises(MacfleetError) as caught:
        parse_thresholds(parse_yaml(text.encode(), "contract/thresholds.yml"))
    shown = [f"{each.summary} {each.mend}" for each in caught.value.diagnostics]
    assert any(words in each for each in shown), shown
    assert {each.where.line for each in caught.value.diagnostics} == {line}


def test_every_wrong_line_is_reported_at_once():
    with pytest.raises(MacfleetError) as caught:
        parse_thresholds(parse_yaml(b"thresholds:\n - {id: a}\n - {id: b}", "t.yml"))
    assert len(caught.value.diagnostics) == 2


def in_pairs(arm, name, figures, **more):
    few = evidence(BARE).cells[0]
    return replace(few, arm=arm, cell=name, segment_tokens_per_second=figures, **more)


@pytest.mark.parametrize(("cells", "outcome"), [(("a",), Outcome.FAIL), (("a", "b"), Outcome.INCONCLUSIVE)])
def test_a_cell_that_barely_trips_alone_is_not_enough_where_two_were_tried(cells, outcome):
    iowait = Interval(0.4, 0.38, 0.42)
    found = [
        cell
        for name in cells
        for cell in (
            in_pairs("bare", name, (50.0, 50.0, 50.0, 50.0)),
            # Its upper bound is a little under 0.82: p is 0.04.
            in_pairs("container", name, (40.9, 39.6, 40.0, 40.5), iowait=iowait),
        )
    ]
    made = NodeEvidence("mac-01", "r1", tuple(found), cells)
    judgement = judged(made)["mounts-first"]
    assert judgement.outcome is outcome
    if outcome is Outcome.INCONCLUSIVE:
        assert any("Holm" in reason for reason in judgement.reasons)
        assert judgement.minutes
