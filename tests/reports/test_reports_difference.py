import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from macfleet.cli.difference import difference as command
from macfleet.cli.difference import golden
from macfleet.model.diagnostic import MacfleetError
from macfleet.reports.difference import difference, sides
from macfleet.reports.golden import golden_section, parse_golden
from macfleet.testing.synthetic import SyntheticArm
from macfleet.views.difference import difference_lines

BARE = SyntheticArm("bare", rate=50)
CONTAINER = SyntheticArm("container", rate=46, iowait=3, psi=1, memory=71)
SLOWER = replace(CONTAINER, rate=30)


def side(run, node="mac-01"):
    return sides(run)[node]


def lines(before, after):
    return list(difference_lines(difference(side(before), side(after))))


def test_the_image_is_answered_first_then_what_else_differs(make_run):
    before = make_run(id="20261120-loadtest")
    after = make_run(
        id="20261121-loadtest",
        facts={"images": {"engine": "sha256:" + "b" * 64}, "versions": {"colima": "0.10.4", "lima": "2.0.1"}},
    )
    said = lines(before, after)
    assert said[:3] == [
        "mac-01 20261120-loadtest → mac-01 20261121-loadtest",
        "image changed: yes",
        "contract changed: no   requests changed: no",
    ]
    assert "~ image engine  sha256:aaaaaaaaaaaa… → sha256:bbbbbbbbbbbb…" in said
    assert "~ colima  0.10.3 → 0.10.4" in said
    assert not any("lima  2" in line for line in said)


def test_a_figure_has_moved_when_its_ratios_interval_leaves_one_out(make_run):
    found = difference(
        side(make_run(id="20261120-a", seed=1)), side(make_run(BARE, SLOWER, id="20261121-b", seed=2))
    )
    moved = {(f.arm, f.cell, f.figure): f.moved for f in found.figures}
    assert moved["container", "short×1", "tokens_per_second"] is True
    assert moved["container", "short×4", "p50"] is True
    assert moved["bare", "short×1", "p50"] is False
    assert found.image == "no"


def test_other_requests_make_figures_say_nothing(make_run):
    said = lines(make_run(id="20261120-a"), make_run(id="20261121-b", sent="f" * 64))
    assert said[-1] == "? The requests were not the same, so the figures say nothing about each other."
    assert not any("tokens/s" in line for line in said)


def test_a_cell_that_is_invalid_or_missing_on_one_side_is_named_and_not_compared(make_run):
    def spoil(cells):
        return tuple(
            replace(cell, invalid=("segment 0: the client was late",)) if cell.arm == "bare" else cell
            for cell in cells
            if cell.cell == "short×1" or cell.arm == "bare"
        )

    found = difference(side(make_run(id="20261120-a")), side(make_run(id="20261121-b", cells=spoil)))
    assert {(each.arm, each.cell) for each in found.figures} == {("container", "short×1")}
    assert "mac-01 20261121-b: container short×4 was not measured" in found.missing
    assert any("bare short×1 is INVALID" in words for words in found.missing)


def test_golden_figures_survive_the_way_through_release_notes(make_run):
    run = make_run(simulated=("macOS",))
    notes = "# Notes\n\n```json\n{}\n```\n\n" + golden_section(run, "v1.4") + "\n## More\n"
    [found] = parse_golden(notes, "NOTES.md").values()
    assert found.title == "v1.4 (mac-01)"
    assert (found.contract, found.sent, found.cells) == (run.manifest.contract, run.manifest.sent, run.cells)
    assert found.simulated == ("macOS",)
    against = difference(found, side(run))
    assert against.image == "no"
    assert {each.moved for each in against.figures} == {False}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# Notes without any",
        "```json\n{]\n```",
        '```json\n{"kind": "macfleet-golden", "schema": 2}\n```',
        '```json\n{"kind": "macfleet-golden", "schema": 1, "nodes": [], "simulated": []}\n```',
        '```json\n{"kind": "macfleet-golden", "schema": 1, "nodes": {"a": 1}, "simulated": []}\n```',
    ],
)
def test_notes_without_readable_golden_figures_are_refused(text):
    with pytest.raises(MacfleetError) as caught:
        parse_golden(text, "NOTES.md")
    assert caught.value.diagnostics[0].code == "E1008"
    assert "NOTES.md" in caught.value.diagnostics[0].summary


def invoke(fleet, *arguments, name=command):
    return CliRunner().invoke(name, [*arguments, "--fleet", str(fleet)], standalone_mode=False)


def test_the_command_compares_two_runs_or_one_with_a_release(fleet, record, make_run, tmp_path):
    record(make_run(id="20261120-loadtest"))
    record(make_run(BARE, SLOWER, id="20261121-loadtest"))
    assert "→ mac-01 20261121-loadtest" in invoke(fleet, "20261120", "20261121").stdout
    notes = tmp_path / "NOTES.md"
    notes.write_text(invoke(fleet, "20261120", "--release", "v1", name=golden).stdout)
    said = invoke(fleet, "20261121", "--golden", str(notes)).stdout
    assert said.startswith("v1 (mac-01) → mac-01 20261121-loadtest\n")
    [node] = json.loads(invoke(fleet, "20261120", "20261121", "--output", "json").stdout)["nodes"]
    assert node["image"] == "no"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("20261120", "20261122"), "E1009"),
        (("20261120", "20261121", "--node", "mac-09"), "E1009"),
        (("20261120", "--golden", "/nowhere/NOTES.md"), "E1008"),
    ],
)
def test_what_cannot_be_paired_or_read_is_refused(fleet, record, make_run, arguments, code):
    record(make_run(id="20261120-loadtest"))
    record(make_run(id="20261121-loadtest"))
    both = make_run(id="20261122-loadtest", node="mac-02")
    other = replace(both.cells[0], node="mac-03")
    record(
        replace(both, cells=(*both.cells, other), manifest=replace(both.manifest, nodes=("mac-02", "mac-03")))
    )
    assert invoke(fleet, *arguments).exception.diagnostics[0].code == code


def test_nodes_of_other_names_are_compared_when_they_are_named(fleet, record, make_run):
    record(make_run(id="20261120-loadtest"))
    record(make_run(id="20261121-loadtest", node="rent-01"))
    assert "mac-01 20261120-loadtest → rent-01" in invoke(fleet, "20261120", "20261121").stdout
    assert (
        "mac-01 20261120-loadtest → rent-01"
        in invoke(fleet, "20261120", "20261121", "--node", "mac-01,rent-01").stdout
    )
