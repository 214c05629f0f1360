from dataclasses import replace

import pytest

from macfleet.model.diagnostic import MacfleetError
from macfleet.reports.compare import compare
from macfleet.reports.comparison import NOT_A_MAC
from macfleet.reports.exports import csv_text, json_document
from macfleet.reports.layout import lay_out
from macfleet.reports.loaded import newest_of_each_node
from macfleet.testing.synthetic import SyntheticArm

BARE = SyntheticArm("bare", rate=50)
CONTAINER = SyntheticArm("container", rate=46, iowait=3, psi=1, memory=71)
BUSY = SyntheticArm("container", rate=100, iowait=3, psi=1, memory=90, queueing=0.8)


def texts(comparison, label):
    rows = [row for section in lay_out(comparison).sections for row in section.rows]
    return [row.texts for row in rows if row.label == label]


def test_nodes_stand_beside_each_other_ordered_by_what_they_are_compared_by(make_run):
    rented = make_run(node="rent-01", facts={"ownership": "rented", "chip": "M4 Pro"}, id="r2")
    comparison = compare([rented, make_run(facts={"ownership": "owned"})], "ownership")
    assert lay_out(comparison).titles == ("owned mac-01 (M4 24 GiB)", "rented rent-01 (M4 Pro 24 GiB)")


def test_only_the_newest_run_of_a_node_counts_unless_every_run_is_asked_for(make_run):
    old, new = make_run(id="20261101"), make_run(id="20261102")
    assert [column.run for column in compare([new, old]).columns] == ["20261102"]
    both = compare([new, old], every_run=True)
    assert [column.title for column in both.columns] == ["mac-01 20261101", "mac-01 20261102"]
    assert newest_of_each_node([new, old]) == ((new, "mac-01"),)


def test_different_requests_are_refused(make_run):
    with pytest.raises(MacfleetError) as caught:
        compare([make_run(), make_run(node="mac-02", sent="f" * 64, id="r2")])
    assert [each.code for each in caught.value.diagnostics] == ["E1001"]


def test_an_unknown_key_and_a_run_without_figures_are_both_reported(make_run):
    empty = make_run(cells=lambda _: (), id="r0", kind="network")
    with pytest.raises(MacfleetError) as caught:
        compare([make_run(), empty], "colour")
    assert [each.code for each in caught.value.diagnostics] == ["E1003", "E1004"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"simulated": ("mac",)}, NOT_A_MAC),
        ({"contract": "e" * 64}, "contract hashes differ"),
        ({"vantage": "client"}, "different vantages"),
        ({"client_version": "0.2.0"}, "load client changed"),
        ({"short": True}, "cannot be signed"),
        ({"git_dirty": True}, "uncommitted changes"),
        ({"spec": {"segments": 3}}, "measured for 3.0 to 4.0 minutes"),
    ],
)
def test_what_makes_figures_unlike_is_said_before_them(make_run, changes, words):
    other = make_run(node="mac-02", **{"id": "r2"} | changes)
    comparison = compare([make_run(), other])
    assert any(words in notice for notice in comparison.notices)


def test_runs_that_are_alike_need_no_notice(make_run):
    assert compare([make_run(), make_run(node="mac-02", id="r2", seed=2)]).notices == ()


def test_an_invalid_cell_shows_no_figure_and_is_not_judged(make_run):
    def spoil(cells):
        return tuple(replace(c, invalid=("late",)) if c.arm == "container" else c for c in cells)

    comparison = compare([make_run(cells=spoil)])
    assert texts(comparison, "tokens/s · container") == [("INVALID",), ("INVALID",)]
    assert texts(comparison, "p95 · container") == []
    assert texts(comparison, "container vs bare") == []
    assert texts(comparison, "verdict") == [("? inconclusive",)]
    verdict = lay_out(comparison).verdicts[0]
    assert verdict.invalid == ("container short×1 is INVALID: late", "container short×4 is INVALID: late")
    assert verdict.why[0].endswith("cells are INVALID and prove nothing")
    assert verdict.mend.endswith("macfleet rollout stage5 --again -l mac-01")


def test_an_invalid_cell_beside_a_valid_one_keeps_its_rows(make_run):
    def spoil(cells):
        return tuple(replace(c, invalid=("segment 2: late", "segment 3: late")) for c in cells)

    comparison = compare([make_run(), make_run(node="mac-02", id="r2", cells=spoil)])
    row = texts(comparison, "p95 · container")[0]
    assert row[0].endswith("]")
    assert row[1] == ""
    assert texts(comparison, "tokens/s · container")[0][1] == "INVALID"
    second = lay_out(comparison).verdicts[1]
    assert second.invalid[0].endswith("is INVALID: late (segment 2), and 1 more")


def test_the_gap_is_split_into_gpu_worth_and_virtualisation(make_run):
    metal = {"bare": "metal", "bare-cpu": "cpu", "container": "cpu"}
    arms = (SyntheticArm("bare", rate=150), SyntheticArm("bare-cpu", rate=50), CONTAINER)
    comparison = compare([make_run(*arms, accelerators=metal)])
    (worth, _), (gap, _) = texts(comparison, "GPU worth"), texts(comparison, "container vs bare-cpu")
    assert worth[0].startswith("2.")
    assert gap[0].endswith("✓")
    assert texts(comparison, "container vs bare") == []


def test_a_tripped_threshold_is_the_nodes_verdict_with_its_advice(make_run):
    comparison = compare([make_run(BARE, BUSY)])
    headline = comparison.columns[0].headline
    assert (headline.symbol, headline.text) == ("!", "offload-live")
    assert "shared live traffic goes to a dedicated remote node" in headline.advice[0]
    assert "(discussion-grade default)" in headline.advice[0]


def test_a_short_run_is_inconclusive_with_minutes(make_run):
    run = make_run(BARE, BUSY, spec={"segments": 2, "seconds": 15}, short=True)
    assert compare([run]).columns[0].headline.text == "inconclusive: 30 more minutes"


def test_by_arm_each_arm_has_a_column(make_run):
    comparison = compare([make_run()], "arm")
    assert lay_out(comparison).titles == ("mac-01 bare (M4 24 GiB)", "mac-01 container (M4 24 GiB)")
    assert all("–" not in row for row in texts(comparison, "tokens/s"))


def test_the_image_is_the_first_thing_said_to_differ_or_not(make_run):
    other = {"images": {"engine": "sha256:" + "b" * 64}, "versions": {"colima": "0.10.2", "lima": "2.0.1"}}
    comparison = compare([make_run(), make_run(node="mac-02", facts=other, id="r2")])
    lines = lay_out(comparison).environment
    assert lines[0] == "image changed: yes"
    assert lines[1] == "image engine sha256:aaaaaaaaaaaa… / sha256:bbbbbbbbbbbb…"
    assert lines[2] == "colima 0.10.3 / 0.10.2"
    assert lay_out(comparison).same == ("lima 2.0.1", "mounts /Users/ops/models ext4")


def test_an_environment_nobody_recorded_is_not_called_unchanged(make_run):
    run = make_run()
    comparison = compare([replace(run, facts={}), make_run(node="mac-02", id="r2")])
    assert lay_out(comparison).environment[0] == "image changed: not recorded"


def test_a_baseline_run_is_held_against_every_column(make_run):
    before = make_run(
        SyntheticArm("bare", rate=50), SyntheticArm("container", rate=30, iowait=3), id="before"
    )
    comparison = compare([make_run(id="now")], baseline=before)
    ((small,), (_,)) = texts(comparison, "container vs before")
    assert small.startswith("+")


def test_the_document_is_json_and_keeps_infinity_as_text(make_run):
    import json

    failing = SyntheticArm("container", rate=46, iowait=3, errors=0.2)
    document = json_document(compare([make_run(BARE, failing)]))
    text = json.dumps(document, allow_nan=False)
    assert (document["schema"], document["kind"]) == (1, "comparison")
    assert '"inf"' in text


def test_csv_has_one_line_a_figure(make_run):
    lines = csv_text(compare([make_run()])).splitlines()
    assert lines[0].startswith("run,node,arm,cell,figure,value")
    assert sum(",p95," in line for line in lines) == 4


def test_parts_of_the_evidence_key_do_not_count_as_versions(make_run):
    def keyed(node):
        return {"versions": {"colima": "0.10.3", "node": node, "compiled": node, "stage": "loadtest"}}

    runs = [make_run(node=node, facts=keyed(node), id=node) for node in ("mac-01", "mac-02")]
    assert compare(runs).environment.differences == ()


def test_the_verdict_names_what_follows_and_what_to_type(make_run):
    verdict = lay_out(compare([make_run(BARE, BUSY)])).verdicts[0]
    assert (verdict.node, verdict.symbol, verdict.text) == ("mac-01", "!", "offload-live")
    assert verdict.why[0].startswith("shared live traffic goes to a dedicated remote node")
    assert verdict.mend == "What it rests on: macfleet run show 20261123T041205Z-loadtest-1a2b"


def test_an_open_verdict_names_the_duration_that_would_settle_it(make_run):
    run = make_run(BARE, BUSY, spec={"segments": 2, "seconds": 15}, short=True)
    verdict = lay_out(compare([run])).verdicts[0]
    assert verdict.mend == "Measure longer: macfleet rollout stage5 --again -l mac-01 --duration 30m"


def test_by_arm_a_node_has_one_verdict(make_run):
    assert [verdict.node for verdict in lay_out(compare([make_run()], "arm")).verdicts] == ["mac-01"]


def test_a_run_made_on_the_side_is_shown_and_never_judged(make_run):
    side = make_run(kind="ad-hoc", id="r2", sent="")
    [column] = compare([side]).columns
    assert (column.judgements, column.headline.text) == ((), "ad hoc, not judged")
    assert column.cells
    comparison = compare([make_run(), side], every_run=True)
    assert comparison.columns[0].judgements
    assert any("r2 was measured ad hoc" in notice for notice in comparison.notices)
