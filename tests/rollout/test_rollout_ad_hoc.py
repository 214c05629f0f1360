"""A cell measured on the side: recorded, said to be ad hoc, nothing stopped or started."""

from dataclasses import replace

import pytest
from straight_line import CONTRACT, Fleet

from macfleet.analysis.summaries import parse_summary
from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.reports.loaded import LoadedRun, newest_runs
from macfleet.reports.signable import unsignable
from macfleet.rollout.ad_hoc import AdHoc, measure_ad_hoc

WISH = AdHoc("container", concurrency=4, duration=8.0, warmup=1.0)
RUN = "20261123T041201Z-adhoc-1a2b"


@pytest.fixture
def fleet(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01", "mac-02", hardware="lab")
    for node in fleet.nodes:
        for port in (8080, 8081):
            (fleet.home(node.name) / f"up.{port}").write_text("")
    return fleet


def measure(fleet, wish=WISH, run_id=RUN):
    ports = fleet.ports()
    return measure_ad_hoc(
        wish, fleet.nodes, fleet.desired, ports, run_id=run_id, who="ops@desk", why="a look"
    )


def test_one_cell_is_measured_on_every_node_in_turn_and_nothing_else_happens(fleet):
    found = measure(fleet)
    assert [(cell.node, cell.arm, cell.cell) for cell in found.cells] == [
        ("mac-01", "container", "short×4"),
        ("mac-02", "container", "short×4"),
    ]
    assert found.problems == ()
    assert fleet.load.together == {"lab": 1}
    assert fleet.gateway.calls == []
    ran = "".join(script for name in ("mac-01", "mac-02") for script in fleet.macs.mac(name).scripts)
    assert "docker compose" not in ran
    assert "launchctl boot" not in ran


def test_the_run_says_that_it_is_ad_hoc_and_is_neither_picked_nor_signed(fleet):
    manifest = measure(fleet).manifest
    assert (manifest.kind, manifest.short, manifest.sent) == ("ad-hoc", True, "")
    assert manifest.contract == CONTRACT.hash
    assert (manifest.who, manifest.why, manifest.arms) == ("ops@desk", "a look", ("container",))
    assert manifest.profile["judged"] == []
    with pytest.raises(MacfleetError, match="no load test"):
        newest_runs(fleet.runs)
    [reason] = unsignable(LoadedRun(manifest, (), {}), {})
    assert "kind ad-hoc is not signed" in reason.summary


def test_a_comparison_that_names_the_run_finds_its_cells_and_facts(fleet):
    cells = measure(fleet).cells
    files = fleet.runs.opened[RUN].files
    assert parse_summary(files["summary.json"]) == cells
    assert files["nodes/mac-01/facts.json"]["ownership"] == "owned"
    assert files["nodes/mac-01/beside.json"]["engines_running"] == ["bare"]
    assert "nodes/mac-01/container/samples.parquet" in files


@pytest.mark.parametrize("kept", [True, False])
def test_when_each_token_came_is_kept_unless_somebody_does_not_want_it(kept, fleet):
    measure(fleet, replace(WISH, token_events=kept))
    files = fleet.runs.opened[RUN].files
    path = "nodes/mac-01/container/events.parquet"
    assert (path in files) is kept
    if kept:
        requests = files["nodes/mac-01/container/samples.parquet"]
        told = {row["index"]: row for row in files[path]}
        for request in requests:
            row = told[request["index"]]
            assert row["first"] == request["t_first_gen"]
            assert row["first"] + sum(row["gaps"]) == request["t_last_gen"]
            assert 1 + len(row["gaps"]) == request["tokens"]


def test_prompts_are_those_of_no_other_run(fleet):
    measure(fleet)
    measure(fleet, run_id="20261123T041202Z-adhoc-3c4d")
    keys = {spec.nonce_key for _, spec in fleet.load.measured}
    assert len(keys) == 2
    assert CONTRACT.hash not in keys


def test_an_open_loop_offers_its_rate_and_is_named_after_it(fleet):
    found = measure(fleet, replace(WISH, rate=2.0, arrivals="poisson"))
    [(_, spec), _] = fleet.load.measured
    assert (spec.rate, spec.arrivals, spec.cell) == (2.0, "poisson", "short@2/s")
    assert spec.concurrency > 100
    assert {cell.concurrency for cell in found.cells} == {0}


@pytest.mark.parametrize(
    ("wish", "codes"),
    [
        (replace(WISH, bucket="long"), ["E1070"]),
        (replace(WISH, arm="host-engine"), ["E1071", "E1071"]),
    ],
)
def test_what_there_is_not_is_refused_before_anything_is_sent(fleet, wish, codes):
    with pytest.raises(MacfleetError) as caught:
        measure(fleet, wish)
    assert [each.code for each in caught.value.diagnostics] == codes
    assert caught.value.exit_code is ExitCode.USAGE
    assert fleet.load.measured == []


def test_an_engine_that_is_down_is_not_started_and_the_other_node_is_measured(fleet):
    (fleet.home("mac-01") / "up.8080").unlink()
    found = measure(fleet)
    assert [each.code for each in found.problems] == ["E1072"]
    assert found.manifest.nodes == ("mac-02",)


def test_without_a_node_that_was_measured_there_is_no_run(fleet):
    for node in fleet.nodes:
        fleet.load.failing[node.name] = NodeUnreachable(Diagnostic("E0401", "no answer"))
    with pytest.raises(MacfleetError):
        measure(fleet)
    assert fleet.runs.ids() == ()
