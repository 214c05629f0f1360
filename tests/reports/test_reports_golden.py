"""Whole reports against files that were looked at; `MACFLEET_GOLDEN=write` writes them anew."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from macfleet.reports.compare import compare
from macfleet.reports.markdown import markdown
from macfleet.testing.synthetic import SyntheticArm
from macfleet.views.compare import show_comparison

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def comparison(make_run):
    first = make_run(simulated=("mac",))
    arms = (
        SyntheticArm("bare", rate=70),
        SyntheticArm("container", rate=120, queueing=0.8, memory=84, iowait=4, psi=2),
    )
    facts = {"ownership": "rented", "chip": "M4 Pro", "memory": 64 * 2**30, "versions": {"colima": "0.10.2"}}
    second = make_run(*arms, node="rent-01", seed=4, facts=facts, id="20261123T061205Z-loadtest-3c4d")
    return compare([first, second], "ownership")


def terminal(comparison, width, *, colour=False):
    target = io.StringIO()
    console = Console(file=target, width=width, force_terminal=colour, no_color=not colour)
    show_comparison(comparison, console)
    return target.getvalue()


def check(name, text):
    path = GOLDEN / name
    shown = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("MACFLEET_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown)
    assert shown == path.read_text()


def test_markdown_is_the_report_that_was_looked_at(comparison):
    check("comparison.md", markdown(comparison))


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_what_was_looked_at(comparison, width):
    check(f"comparison-{width}.txt", terminal(comparison, width))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(comparison, width):
    # Below the width of one column the table is as narrow as it can be; a command is kept whole to be copied.
    lines = [line.rstrip() for line in terminal(comparison, width).splitlines()]
    assert max(len(line) for line in lines if not line.strip().startswith("macfleet ")) <= max(width, 53)


def test_without_colour_every_verdict_keeps_its_symbol(comparison):
    plain, coloured = terminal(comparison, 120), terminal(comparison, 120, colour=True)
    assert "\x1b" not in plain
    assert "\x1b" in coloured
    assert "! offload-live" in plain
    assert "✓ inside the thresholds" in plain
