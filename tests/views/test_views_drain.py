"""What people read while nodes leave and come back, and the table of where each stands."""

import json
from dataclasses import replace

import pytest

from macfleet.model.event import Event
from macfleet.rollout.drain import Drained
from macfleet.rollout.drain_ports import Sight, WayIn
from macfleet.rollout.drain_state import InFlight, Service, ServiceState
from macfleet.testing import FakeClock
from macfleet.views.drain import (
    Standing,
    drained_document,
    drained_line,
    service_line,
    status_document,
    status_lines,
)
from macfleet.views.drain_events import DrainLines

NOW = 1_700_000_000.0
OUT = Service("mac-01", ServiceState.DRAINED, "fan noise", "ana", NOW - 7200, token=4)


def sight(service=None, *, running=True, closed=False, healthy=True):
    return Sight(healthy, InFlight(2, ("a", "b")), service, {"c0": running}, closed=closed)


@pytest.mark.parametrize(
    ("kind", "data", "line"),
    [
        ("drain.admitted", {"words": "pool chat keeps 1"}, "mac-01   ~   5 s   cordoned · pool chat keeps 1"),
        (
            "drain.waiting",
            {"words": "4 in flight", "left": 1790},
            "mac-01   ⌛   5 s   4 in flight   deadline in 29:50",
        ),
        (
            "drain.waiting",
            {"words": "4 in flight", "left": -61},
            "mac-01   ⌛   5 s   4 in flight   1:01 past the deadline",
        ),
        (
            "drain.quiet",
            {"words": "0 in flight", "polls": 2},
            "mac-01   ✓   5 s   0 in flight (2 polls)",
        ),
        (
            "drain.stopped",
            {"containers": 1},
            "mac-01   ✓   5 s   compose stopped, 1 container proven stopped",
        ),
        (
            "drain.reclosed",
            {"words": "its port was open again, and is closed"},
            "mac-01   !   5 s   its port was open again, and is closed",
        ),
        ("drain.failed", {"words": "stays cordoned"}, "mac-01   ✗   5 s   stays cordoned"),
        ("drain.queued", {"holder": "bob\x1b[2J"}, "mac-01   ⌛   5 s   waits for bob\\x1b[2J"),
    ],
)
def test_each_event_is_a_line_with_the_time_it_took(capsys, kind, data, line):
    clock = FakeClock()
    lines = DrainLines(["mac-01"], clock.monotonic)
    clock.sleep(5)
    lines.emit(Event(kind, "mac-01", data))
    lines.emit(Event("something.else", "mac-01"))
    assert capsys.readouterr().err == f"{line}\n"


def test_a_result_says_how_long_it_took_and_what_was_cut():
    assert drained_line("mac-01", Drained(OUT, 21.0, 0)) == "mac-01   ✓ drained in 21 s, 0 requests cut"
    assert "1 request cut" in drained_line("mac-01", Drained(OUT, 21.0, 1))
    assert drained_line("mac-01", Drained(OUT, already=True)) == (
        "mac-01   · drained before, at 2023-11-14T20:13:20.000+00:00 by ana · fan noise"
    )
    assert service_line(OUT) == "mac-01   - drained · fan noise"


def test_the_table_says_who_serves_and_why_others_do_not():
    standings = [
        Standing("mac-01", "chat", OUT, sight(OUT, running=False, healthy=False)),
        Standing("mac-02", "chat", Service("mac-02"), sight()),
        Standing("mac-03", "", Service("mac-03"), None),
    ]
    assert list(status_lines(standings, NOW)) == [
        "node    pool  state      for  serving  in flight",
        "mac-01  chat  - drained  2 h  no       2          fan noise · by ana",
        "mac-02  chat  ✓ active   –    yes      2",
        "mac-03  –     ✓ active   –    ?        ?          ✗ does not answer",
    ]
    rows = json.loads(json.dumps(status_document(standings)))["nodes"]
    assert [(row["state"], row["serving"], row["reachable"]) for row in rows] == [
        ("drained", False, True),
        ("active", True, True),
        ("active", False, False),
    ]


@pytest.mark.parametrize(
    ("kept", "found", "words"),
    [
        (OUT, sight(OUT, running=False), ""),
        (OUT, sight(OUT, running=True, closed=True), "containers run all the same"),
        (OUT, sight(OUT, running=True), "its port is open: it restarted, or somebody removed the rule"),
        (Service("mac-01", token=3), sight(OUT, running=False), "this controller's store says active"),
        (Service("mac-01", token=9), sight(OUT), ""),
        (OUT, None, ""),
        (
            replace(OUT, state=ServiceState.DRAINING, token=9),
            sight(),
            "its port is open: it restarted, or somebody removed the rule",
        ),
        (
            OUT,
            replace(sight(OUT), ways={8090: WayIn(False, 1), 8080: WayIn(True)}),
            "port 8090 is open: it restarted, or somebody removed the rule",
        ),
    ],
)
def test_where_store_and_node_part_is_said(kept, found, words):
    assert Standing("mac-01", "chat", kept, found).disagrees == words


def test_every_port_where_requests_enter_is_shown():
    closed = replace(sight(OUT, closed=True), ways={8090: WayIn(True, 2), 8080: WayIn(True)})
    standing = Standing("mac-01", "chat", replace(OUT, run="x"), closed)
    *_, line = status_lines([standing], NOW)
    assert line.endswith("ports 8090 and 8080 closed · fan noise · by ana")
    (row,) = status_document([standing])["nodes"]
    assert row["ports"] == [
        {"port": 8090, "closed": True, "connections": 2},
        {"port": 8080, "closed": True, "connections": 0},
    ]


def test_why_a_node_did_not_come_back_is_shown_though_it_could_not_be_told():
    kept = replace(OUT, failure="the node did not start")
    *_, line = status_lines([Standing("mac-01", "chat", kept, sight(OUT, running=False))], NOW)
    assert "the node did not start" in line


def test_a_drain_nobody_goes_on_with_says_how_to():
    draining = replace(OUT, state=ServiceState.DRAINING)
    standing = Standing("mac-01", "chat", draining, sight(draining, closed=True), abandoned=True)
    *_, line = status_lines([standing], NOW)
    assert "no controller drains it any more; go on with: macfleet drain mac-01" in line
    assert status_document([standing])["nodes"][0]["abandoned"] is True


def test_json_has_absolute_times():
    document = drained_document({"mac-01": Drained(OUT, 2.0, 3)})
    assert document["nodes"][0]["since"] == "2023-11-14T20:13:20.000+00:00"
    assert (document["nodes"][0]["cut"], document["schema"]) == (3, 1)


def test_a_status_too_wide_for_its_terminal_becomes_a_paragraph_a_node():
    kept = Service("mac-01", ServiceState.ACTIVE)
    shown = list(status_lines([Standing("mac-01", "chat", kept)], NOW, 30))
    assert shown[0] == "mac-01"
    assert max(map(len, shown)) <= 30
    assert "does not answer" in " ".join(line.strip() for line in shown)
