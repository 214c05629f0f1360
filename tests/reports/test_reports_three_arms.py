"""A node whose bare engine has Metal: the gap split in two, in every report; whole texts against files."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from macfleet.reports.compare import compare
from macfleet.reports.decide import decide
from macfleet.reports.markdown import markdown
from macfleet.testing.synthetic import SyntheticArm
from macfleet.views.compare import show_comparison
from macfleet.views.decide import decision_lines

GOLDEN = Path(__file__).parent / "golden"
METAL = {"bare": "metal", "bare-cpu": "cpu", "container": "cpu"}
FACTS = {
    "accelerators": METAL,
    "gpu_off": "--device none -ngl 0",
    "blas": {"bare": "Accelerate", "bare-cpu": "Accelerate", "container": "none"},
}
ARMS = (
    SyntheticArm("bare", rate=150),
    SyntheticArm("bare-cpu", rate=50),
    SyntheticArm("container", rate=46, iowait=3, psi=1, memory=71),
)


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(*ARMS, accelerators=METAL, facts=FACTS, arms=("bare", "bare-cpu", "container"))


@pytest.fixture(scope="module")
def comparison(run):
    return compare([run])


def terminal(comparison, width):
    target = io.StringIO()
    show_comparison(comparison, Console(file=target, width=width, force_terminal=False, no_color=True))
    return target.getvalue()


def check(name, text):
    path = GOLDEN / name
    shown = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("MACFLEET_GOLDEN") == "write":
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [80, 120])
def test_the_comparison_of_three_arms_in_the_terminal_is_as_it_was_looked_at(comparison, width):
    text = terminal(comparison, width)
    check(f"three-arms-{width}.txt", text)
    assert max(map(len, text.splitlines())) <= width


def test_the_comparison_of_three_arms_in_markdown_is_as_it_was_looked_at(comparison):
    check("three-arms.md", markdown(comparison))


@pytest.mark.parametrize("width", [80, 120])
def test_the_decision_over_three_arms_is_as_it_was_looked_at(run, comparison, width):
    lines = list(decision_lines(decide(comparison, [run]), width))
    check(f"three-arms-decide-{width}.txt", "\n".join(lines))
    assert max(map(len, lines)) <= width


def test_no_report_advises_mounts_or_another_cpu_for_a_loss_that_is_the_gpus(run, comparison):
    whole = markdown(comparison) + "\n".join(decision_lines(decide(comparison, [run]), 0))
    assert "fix mounts" not in whole
    assert "thin clients" not in whole
    assert "GPU worth" in whole


def test_an_arm_that_could_not_be_measured_is_the_first_thing_said_of_the_gap(make_run):
    facts = {"accelerators": METAL, "not_measured": {"bare-cpu": "no switch is known"}}
    bare, _, container = ARMS
    comparison = compare([make_run(bare, container, accelerators=METAL, facts=facts)])
    (notice,) = comparison.notices
    assert notice.endswith("bare-cpu was not measured, so the gap cannot be split: no switch is known")
    assert not [gap for gap in comparison.columns[0].gaps if gap.base == "bare"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"facts": {"system": {"planted": "accelerator host-memory"}}},
            "the accelerator is planted, simulated",
        ),
        ({}, "BLAS is Accelerate in bare-cpu, none in the container"),
        ({}, "bare-cpu is the bare engine with --device none -ngl 0"),
    ],
)
def test_what_splits_or_spoils_the_gap_is_said_before_the_figures(make_run, changes, words):
    found = compare([make_run(*ARMS, accelerators=METAL, facts={**FACTS, **changes})]).notices
    assert any(words in notice for notice in found), found


def test_a_node_without_an_accelerator_needs_no_word_about_it(make_run):
    alike = {
        "accelerators": {"bare": "cpu", "container": "cpu"},
        "blas": {"bare": "none", "container": "OpenBLAS"},
    }
    assert compare([make_run(facts=alike)]).notices == ()


def test_what_the_front_costs_is_told_of_the_engine_behind_it(make_run):
    bare, cpu, container = ARMS
    host = SyntheticArm("host-engine", rate=145)
    kinds = {**METAL, "host-engine": "metal"}
    run = make_run(bare, cpu, container, host, accelerators=kinds, facts={**FACTS, "accelerators": kinds})
    comparison = compare([run])
    gaps = {(gap.arm, gap.base) for gap in comparison.columns[0].gaps}
    assert gaps == {("container", "bare-cpu"), ("bare", "bare-cpu"), ("host-engine", "bare")}
    assert "host-engine vs bare" in terminal(comparison, 120)
    (bare_path,) = [
        cell
        for cell in decide(comparison, [run]).matrix
        if (cell.dimension, cell.path) == ("performance ceiling", "bare")
    ]
    assert any("host-engine short×4" in told for told in bare_path.evidence)
