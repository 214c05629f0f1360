import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from macfleet.analysis.summaries import summary_document
from macfleet.cli.compare import compare, run
from macfleet.model.diagnostic import MacfleetError
from macfleet.store.folder_runs import FolderRuns


def invoke(fleet, command, *arguments):
    return CliRunner().invoke(
        command, [*arguments, "--fleet", str(fleet)], standalone_mode=False, catch_exceptions=True
    )


def test_without_arguments_the_newest_run_of_each_node_is_compared(fleet, record, make_run):
    for index, node in enumerate(("mac-01", "mac-02", "mac-01")):
        record(make_run(node=node, id=f"2026112{index}T000000Z-loadtest", seed=index))
    result = invoke(fleet, compare, "--output", "json")
    columns = json.loads(result.stdout)["columns"]
    assert [(column["node"], column["run"][:8]) for column in columns] == [
        ("mac-01", "20261122"),
        ("mac-02", "20261121"),
    ]


def test_nodes_measured_with_other_requests_are_left_out_and_named(fleet, record, make_run):
    record(make_run(node="mac-01", id="20261120-loadtest", sent="f" * 64))
    record(make_run(node="mac-02", id="20261121-loadtest"))
    result = invoke(fleet, compare)
    assert "mac-01 left out: run 20261120-loadtest sent other requests" in " ".join(result.stdout.split())


def test_runs_are_named_by_the_beginning_of_their_id(fleet, record, make_run):
    record(make_run(id="20261120-loadtest-aaaa"))
    record(make_run(id="20261121-loadtest-bbbb"))
    result = invoke(fleet, compare, "20261120", "20261121", "--format", "csv")
    assert {line.split(",")[0] for line in result.stdout.splitlines()[1:]} == {
        "20261120-loadtest-aaaa",
        "20261121-loadtest-bbbb",
    }


@pytest.mark.parametrize(("given", "code"), [("2026", "E0958"), ("1999", "E0950")])
def test_an_id_that_fits_none_or_several_is_refused(fleet, record, make_run, given, code):
    record(make_run(id="20261120-loadtest-aaaa"))
    record(make_run(id="20261121-loadtest-bbbb"))
    result = invoke(fleet, compare, given)
    assert isinstance(result.exception, MacfleetError)
    assert result.exception.diagnostics[0].code == code


def test_a_fleet_without_a_load_test_is_told_to_run_one(fleet):
    result = invoke(fleet, compare)
    assert result.exception.diagnostics[0].mend == "macfleet rollout stage5"


def test_the_teams_own_thresholds_are_judged(fleet, record, make_run):
    record(make_run())
    (fleet / "contract").mkdir()
    (fleet / "contract" / "thresholds.yml").write_text(
        "thresholds:\n"
        "  - {id: offload-live, when: {p95_growth_above: 1.05, memory_above: 50%}, verdict: move it, source: our week 47}\n"
    )
    result = invoke(fleet, compare, "--format", "md")
    assert "! offload-live\n  - move it\n" in result.stdout
    assert "discussion-grade" not in result.stdout


def test_a_run_without_requests_is_compared_by_its_summary_and_said_so(fleet, record, make_run):
    record(make_run())
    result = invoke(fleet, compare, "--anew", "--format", "md")
    assert "20261123T041205Z-loadtest-1a2b keeps no requests of mac-01: its summary is shown" in result.stdout


def test_runs_are_listed_shown_and_verified(fleet, record, make_run):
    record(make_run())
    assert "20261123T041205Z-loadtest-1a2b" in invoke(fleet, run, "list").stdout
    shown = invoke(fleet, run, "show", "20261123").stdout
    assert "short×4" in shown
    assert "node-loopback" in shown
    result = invoke(fleet, run, "verify")
    assert result.return_value == 0
    assert "✓ 20261123T041205Z-loadtest-1a2b  2 files" in result.stdout


def test_verify_names_the_damaged_file_and_ends_held(fleet, record, make_run):
    folder = record(make_run())
    file = fleet / folder / "summary.json"
    file.chmod(0o644)
    file.write_text(file.read_text().replace("short", "shorn", 1))
    result = invoke(fleet, run, "verify", "20261123")
    assert result.return_value == 7
    assert "E0953" in result.stdout
    assert "summary.json is damaged" in result.stdout


@pytest.mark.parametrize("command", [("list",), ("show", "2026"), ("verify",)])
def test_every_view_has_a_json_document(fleet, record, make_run, command):
    record(make_run())
    document = json.loads(invoke(fleet, run, *command, "--output", "json").stdout)
    assert document["schema"] == 1


def test_a_run_that_was_never_sealed_is_listed_as_such(fleet, record, make_run):
    record(make_run())
    (fleet / ".macfleet" / "runs" / "20261124.partial").mkdir()
    assert "20261124 was begun and never finished" in invoke(fleet, run, "list").stdout


def test_a_rollout_run_does_not_stand_in_for_a_load_test(fleet, record, make_run):
    whole = make_run()
    record(whole)
    record(replace(whole, manifest=replace(whole.manifest, id="20261130-rollout", kind="rollout"), cells=()))
    result = invoke(fleet, compare, "--output", "json")
    assert json.loads(result.stdout)["columns"][0]["run"] == whole.manifest.id


def test_summaries_kept_node_by_node_are_found_and_cited(fleet, make_run):
    run = make_run()
    writer = FolderRuns(fleet / ".macfleet" / "runs").create(run.manifest.id)
    writer.json("nodes/mac-01/summary.json", summary_document(run.cells))
    writer.finish(run.manifest)
    result = invoke(fleet, compare, "--format", "md")
    assert f"{run.manifest.id}/nodes/mac-01/summary.json#mac-01/container/short×4" in result.stdout


@pytest.mark.slow
def test_a_page_lies_beside_the_runs_and_its_place_is_the_result(fleet, record, make_run):
    record(make_run())
    result = invoke(fleet, compare, "--format", "html")
    path = fleet / ".macfleet" / "reports"
    [page] = path.iterdir()
    assert result.stdout == f"Report: {page}\n"
    assert page.read_text().startswith("<!doctype html>")
    again = json.loads(invoke(fleet, compare, "--format", "html", "--output", "json").stdout)
    assert (again["kind"], again["path"]) == ("report", str(page))
    assert [page] == list(path.iterdir())


@pytest.mark.parametrize(("form", "begins"), [("md", "# Comparison"), ("csv", "run,node"), ("json", "{")])
def test_any_format_can_go_to_a_file(fleet, record, make_run, tmp_path, form, begins):
    record(make_run())
    target = tmp_path / "out" / f"page.{form}"
    assert invoke(fleet, compare, "--format", form, "--to", str(target)).stdout == ""
    assert target.read_text().startswith(begins)


def test_a_file_that_cannot_be_written_is_named(fleet, record, make_run, tmp_path):
    record(make_run())
    (tmp_path / "taken").write_text("")
    result = invoke(fleet, compare, "--format", "md", "--to", str(tmp_path / "taken" / "page.md"))
    assert result.exception.diagnostics[0].code == "E1006"
