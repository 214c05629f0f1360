import datetime as dt
import json

import pytest

from macfleet.model.event import Event
from macfleet.testing import FakeClock
from macfleet.views.progress import Board, EventLines, watching

SEGMENT = {"arm": "container", "cell": "short×4", "segment": 1, "seconds": 450.0, "of": 8}


def board(clock, *nodes):
    return Board("Stage 5 · loadtest", nodes or ("mac-01", "mac-02"), clock.monotonic)


def row(found, node, width=100):
    return next(line for line in found.lines(width, 24) if line.startswith(node))


def test_before_anything_happens_every_node_is_connecting():
    found = board(FakeClock())
    assert "0 of 2 nodes done · 0:00" in found.lines(80, 24)[0]
    assert row(found, "mac-01") == "mac-01   ⌛ connecting and planning"


def test_a_load_test_shows_arm_cell_position_bar_and_time_left():
    clock = FakeClock()
    found = board(clock)
    for _ in range(3):
        found.emit(Event("loadtest.segment", "mac-01", SEGMENT))
    clock.sleep(225)
    shown = row(found, "mac-01")
    assert "3/8  container short×4" in shown
    assert "███░░░░░░░░░" in shown
    assert shown.endswith("about 41:15 left")


def test_a_segment_that_takes_longer_never_runs_over_its_end():
    clock = FakeClock()
    found = board(clock)
    for _ in range(8):
        found.emit(Event("loadtest.segment", "mac-01", SEGMENT))
    clock.sleep(9000)
    assert row(found, "mac-01").endswith("████████████  finishing")


def test_time_left_follows_the_pace_of_the_segments_before():
    clock = FakeClock()
    found = board(clock)
    for _ in range(5):
        found.emit(Event("loadtest.segment", "mac-01", SEGMENT))
        clock.sleep(900)
    assert row(found, "mac-01").endswith("about 45:00 left")


def test_a_segment_measured_again_is_not_counted_twice():
    found = board(FakeClock())
    for kind in ("loadtest.segment", "loadtest.late", "loadtest.segment", "loadtest.segment"):
        found.emit(Event(kind, "mac-01", SEGMENT))
    assert "2/8" in row(found, "mac-01")


@pytest.mark.parametrize(
    ("kind", "data", "shown"),
    [
        ("node.planned", {"pending": 2}, "~ planned: 2 changes"),
        ("node.planned", {"pending": 0}, "· nothing to change"),
        ("node.planned", {"pending": 0, "current": True}, "· current"),
        ("change.started", {"address": "file./etc/x", "action": "create"}, "+ file /etc/x"),
        ("network.mode", {"mode": "bridge"}, "⌛ measuring bridge mode"),
        ("gate.judged", {"gate": "cells_valid", "outcome": "pass"}, "✓ gate cells_valid: pass"),
        ("node.settled", {"outcome": "held"}, "! held"),
        ("node.settled", {"outcome": "\x1b[2J"}, "? \\x1b[2J"),
    ],
)
def test_each_event_has_its_words(kind, data, shown):
    found = board(FakeClock())
    found.emit(Event(kind, "mac-02", data))
    assert row(found, "mac-02") == f"mac-02   {shown}"


def test_whoever_waits_two_seconds_sees_them_counted():
    clock = FakeClock()
    found = board(clock)
    clock.sleep(65)
    assert row(found, "mac-01").endswith("connecting and planning  1:05")


def test_more_nodes_than_lines_show_those_at_work_first():
    names = [f"mac-{n:03}" for n in range(500)]
    found = board(FakeClock(), *names)
    for name in names[:498]:
        found.emit(Event("node.settled", name, {"outcome": "unchanged"}))
    shown = found.lines(40, 12)
    assert len(shown) <= 12
    assert max(map(len, shown)) <= 40
    assert "498 of 500" in found.lines(80, 12)[0]
    assert shown[1].startswith("mac-498")
    assert shown[-1] == "and 492 nodes more"


def test_without_a_terminal_events_are_lines_on_stderr(capsys):
    with watching("Stage 5 · loadtest", ["mac-01"]) as events:
        events.emit(Event("loadtest.segment", "mac-01", SEGMENT))
        events.emit(Event("node.settled", "mac-01", {"outcome": "changed"}))
        events.emit(Event("node.planned", "mac-01", {"pending": 0}))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "Stage 5 · loadtest: connecting to 1 node and planning",
        "  mac-01  ⌛ container short×4 segment 1",
        "  mac-01  ✓ changed",
    ]


def test_as_json_every_event_is_one_document(capsys):
    EventLines(as_json=True).emit(Event("node.planned", "mac-01", {"pending": 0}))
    row = json.loads(capsys.readouterr().err)
    assert dt.datetime.fromisoformat(row.pop("at")).utcoffset() == dt.timedelta()
    assert row == {"schema": 1, "kind": "node.planned", "node": "mac-01", "pending": 0}


def test_what_a_detached_step_printed_last_stands_beside_it_until_something_else_happens():
    clock = FakeClock()
    found = board(clock)
    found.emit(Event("change.started", "mac-01", {"address": "docker_image.engine", "action": "create"}))
    clock.sleep(65)
    said = "layer 1\nlayer 2: 10 %\rlayer 2: 40 %\n\x1b[2K"
    found.emit(Event("change.output", "mac-01", {"address": "docker_image.engine", "text": said}))
    assert row(found, "mac-01") == "mac-01   + docker_image engine  1:05  layer 2: 40 %"
    found.emit(Event("change.started", "mac-01", {"address": "file./etc/a", "action": "create"}))
    assert row(found, "mac-01") == "mac-01   + file /etc/a"


def test_a_node_that_did_not_answer_is_done_and_says_why():
    board = Board("Stage 1", ["mac-01", "mac-02"], lambda: 0.0)
    board.emit(Event("node.unplanned", "mac-01", {"problem": "no\x1b answer"}))
    head, first, second = board.lines(80, 24)
    assert "1 of 2 nodes done" in head
    assert first.endswith("✗ no\\x1b answer")
    assert "connecting" in second


def test_a_question_to_nodes_shows_who_has_not_answered():
    board = Board("Facts", ["mac-01", "mac-02"], lambda: 0.0, "asking")
    board.answered("mac-02")
    head, first, second = board.lines(80, 24)
    assert "1 of 2 nodes done" in head
    assert (first, second) == ("mac-01   ⌛ asking", "mac-02   · answered")


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ({}, "short×4: 8 segments instead of 4, 142 requests or more in the slowest arm"),
        ({"segments": 4}, "short×4: 4 segments as planned, 142 requests or more in the slowest arm"),
        (
            {"segments": 16, "expected": 120, "minutes_lacking": 10.4},
            (
                "short×4: 16 segments instead of 4, 120 requests or more in the slowest arm (container): "
                "inconclusive, 10 more minutes an arm would be needed"
            ),
        ),
        (
            {"arm": "", "segments": 4, "expected": 0},
            "short×4: no arm answered its pilot, so it has the 4 segments planned",
        ),
    ],
)
def test_what_the_pilot_fixed_is_said_in_a_sentence(capsys, size, words):
    fixed = {"cell": "short×4", "planned": 4, "segments": 8, "arm": "container", "expected": 142}
    data = {**fixed, "minutes_lacking": 0.0, **size}
    EventLines(as_json=False).emit(Event("loadtest.sized", "mac-01", data))
    assert capsys.readouterr().err == f"  mac-01  · {words}\n"
