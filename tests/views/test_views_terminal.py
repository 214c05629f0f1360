import io
import json
import sys

import pytest

from macfleet.model.event import Event
from macfleet.model.resource import Action
from macfleet.model.stage import Outcome
from macfleet.rollout.result import NodeOutcome
from macfleet.views import rollout_document as view
from macfleet.views.progress import watching
from macfleet.views.symbols import ACTIONS, COLOURS, NODES, OUTCOMES
from macfleet.views.terminal import paint, show, show_json


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "no_color", "coloured"),
    [(Terminal, "", True), (Terminal, "1", False), (io.StringIO, "", False), (io.StringIO, "1", False)],
)
def test_colour_is_for_terminals_that_want_it(monkeypatch, stream, no_color, coloured):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", stream())
    show(["mac-01  ✓ changed"])
    assert ("\x1b[" in sys.stdout.getvalue()) == coloured
    assert "✓" in sys.stdout.getvalue()


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_can_draw_nothing_gets_lines_without_colour(monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    show(["mac-01  ✓ changed"])
    with watching("Stage 3", ["mac-01"]) as events:
        events.emit(Event("node.settled", "mac-01", {"outcome": "changed"}))
    assert sys.stdout.getvalue() == "mac-01  ✓ changed\n"
    assert sys.stderr.getvalue() == "Stage 3: connecting to 1 node and planning\n  mac-01  ✓ changed\n"


@pytest.mark.parametrize("symbol", COLOURS)
def test_colour_is_put_around_the_symbol_and_changes_no_text(symbol):
    line = f"mac-01  {symbol} something – rm -rf + ✓"
    plain = "".join(
        part.partition("m")[2] if i else part for i, part in enumerate(paint(line).split("\x1b["))
    )
    assert plain == line
    assert paint(line).count("\x1b[0m") == 1


@pytest.mark.parametrize(("table", "members"), [(ACTIONS, Action), (OUTCOMES, Outcome), (NODES, NodeOutcome)])
def test_everything_that_can_happen_has_its_symbol(table, members):
    assert set(table) == set(members)
    assert all(len(symbol) == 1 for symbol in table.values())


def test_outcomes_are_told_apart_without_colour():
    assert len(set(OUTCOMES.values())) == len(OUTCOMES)
    assert len(set(ACTIONS.values())) == len(ACTIONS)


def test_a_document_is_one_line_of_json_with_its_letters_kept(capsys):
    show_json({"schema": 1, "cell": "short×4"})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "short×4" in out
    assert json.loads(out) == {"schema": 1, "cell": "short×4"}


def test_a_stage_as_json_keeps_every_key_of_schema_1(carried_out):
    found = json.loads(json.dumps(view.document(carried_out)))
    assert set(found) == {
        "schema",
        "kind",
        "stage",
        "check",
        "part",
        "controller",
        "edges",
        "recap",
        "slowest",
        "run",
        "folder",
        "seconds",
        "exit_code",
        "nodes",
    }
    assert (found["schema"], found["kind"], found["exit_code"]) == (1, "rollout", 4)
    assert set(found["nodes"][0]) == {
        "node",
        "outcome",
        "changed",
        "plan",
        "verdicts",
        "notes",
        "out_of_service",
        "problems",
    }
    assert set(found["nodes"][0]["plan"]) == {"node", "digest", "compiled", "resources", "pending"}
    (problem,) = found["nodes"][2]["problems"]
    assert set(problem) == {"code", "summary", "why", "mend", "address"}
    assert found["nodes"][5]["plan"] is None or found["nodes"][5]["outcome"] == "not reached"
