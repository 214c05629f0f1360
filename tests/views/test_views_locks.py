from __future__ import annotations

from macfleet.engine.lock import Holder, NodeLock
from macfleet.rollout.run_lock import LockHolder
from macfleet.views.locks import Locked, document, lines

HOLDER = LockHolder(
    ("mac-01", "mac-02"), "ana@desk", "desk pid:[1]", 7, "R1", "rollout layout", 1.7e9, 42.0, 9
)
LOCK = NodeLock(Holder("R1", "ana@desk", "2026-01-01T00:00:00Z", 9, "s", "rollout layout"), 310, running=True)
WHO = "ana@desk: rollout layout, run R1, since 2026-01-01T00:00:00Z"
FOUND = Locked((HOLDER,), {"mac-01": LOCK, "mac-02": None, "mac-03": None})


def test_a_holder_is_shown_with_its_nodes_and_each_node_once():
    assert lines(FOUND, last={"R1": "last: mac-01 change.started file.x at then"}) == [
        "mac-01, mac-02  ana@desk, process 7: rollout layout, run R1",
        "  since 2023-11-14T22:13:20.000+00:00 · lapses in 42 s unless renewed",
        "  last: mac-01 change.started file.x at then",
        f"mac-01  locked on the node by {WHO} · a script of it runs now · lapses in 5 min 10 s",
        "mac-03  free",
    ]


def test_a_holder_that_did_not_renew_is_said_to_have_lapsed():
    late = LockHolder(("mac-01",), "ana@desk", "desk", 7, "", "rollout all", 1.7e9, -90.0)
    shown = "\n".join(lines(Locked((late,), {"mac-01": NodeLock(Holder("R2", "eve", "then"), -5, False)})))
    assert "lapsed 1 min 30 s ago" in shown
    assert "process 7: rollout all\n" in shown
    assert "eve, run R2, since then · no script of it runs now · lapsed" in shown


def test_what_one_run_holds_can_be_told_from_the_rest():
    both = Locked((HOLDER,), {"mac-03": NodeLock(Holder("R2-x", "eve", "then"), 5, False), "mac-04": None})
    assert (both.nodes, both.runs) == (("mac-01", "mac-02", "mac-03"), ("R1", "R2-x"))
    assert both.of_run("R2").nodes == ("mac-03",)
    assert both.of_run("R1") == Locked((HOLDER,), {})
    assert both.of_run("R9").nodes == ()


def test_a_node_that_lies_about_its_lock_cannot_draw_on_the_terminal():
    evil = NodeLock(Holder("\x1b[2J", "a\rb", "then"), 5, running=False)
    assert not any(ord(each) < 32 for line in lines(Locked((), {"mac-01": evil})) for each in line)


def test_the_document_has_both_kinds():
    told = document(FOUND)
    assert (told["schema"], told["kind"]) == (1, "locks")
    assert told["store"][0]["nodes"] == ["mac-01", "mac-02"]
    assert (told["store"][0]["lapses"], told["store"][0]["token"]) == (42.0, 9)
    assert (told["nodes"]["mac-01"]["running"], told["nodes"]["mac-03"]) == (True, None)
