from dataclasses import replace

import pytest

from macfleet.model.stage import StageName
from macfleet.rollout.result import NodeOutcome, NodeResult, Timed
from macfleet.testing.golden import golden
from macfleet.views.rollout import lines
from macfleet.views.rollout_document import document, recap
from macfleet.views.terminal import paint

VIEWS = ("checked", "carried_out", "held_loadtest", "silent")


def text(result, desired, **options):
    return "\n".join(lines(result, desired, **options))


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("width", [0, 60, 80, 120])
def test_a_stage_looks_as_it_was_looked_at(request, desired, looked_at, name, width):
    result = request.getfixturevalue(name)
    golden(looked_at / f"{name}-{width}.txt", text(result, desired, width=width))


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_but_a_path_is_wider_than_the_terminal(request, desired, name, width):
    shown = text(request.getfixturevalue(name), desired, width=width).splitlines()
    told = [line for line in shown if not line.startswith(("Evidence", "When", "Carry"))]
    assert max(map(len, told)) <= width


def test_nodes_that_did_not_answer_are_never_said_to_need_nothing(desired, silent):
    shown = text(silent, desired)
    assert "nothing to change" not in shown
    assert "1 node unreachable" in shown
    assert "exit 5" in shown


@pytest.mark.parametrize(
    ("count", "told"), [(4, "4 nodes not reached: {why}\n"), (1, "not reached · {why}\n")]
)
def test_nodes_that_nothing_was_begun_on_are_told_with_the_reason(desired, carried_out, count, told):
    why = "the canary spoke against it: mac-01"
    left = [NodeResult(f"mac-{n:02}", NodeOutcome.NOT_REACHED, notes=(why,)) for n in range(20, 20 + count)]
    shown = text(replace(carried_out, results=(*carried_out.results[:2], *left)), desired)
    assert told.format(why=why) in shown
    assert shown.count(why) == 1


def test_up_to_three_quiet_nodes_keep_a_line_each(desired, checked):
    few = replace(checked, results=checked.results[5:8])
    many = replace(checked, results=checked.results)
    assert "mac-06   · current\n" in text(few, desired)
    assert "mac-05" not in text(many, desired)
    assert "mac-05" in text(many, desired, verbose=True)


def test_a_stage_without_a_number_is_resumed_by_its_playbook(desired, carried_out):
    site = replace(carried_out, stage=StageName.PROVISION)
    assert f"macfleet apply playbooks/site.yml --resume {site.run}" in text(site, desired)
    assert "stage0" not in text(site, desired)


def test_what_every_drain_did_is_said_once_and_in_full_when_asked_for(desired, carried_out):
    told = text(carried_out, desired)
    assert told.count("rained") == 1
    assert "Drained 4 nodes in up to 21 s · up to 7 in flight finished on a node · no request cut" in told
    assert "drained in 1.0 s, nothing in flight · back in service" in text(carried_out, desired, verbose=True)


def test_a_node_that_stays_out_is_named_with_the_way_back(desired, carried_out):
    assert "now: macfleet undrain mac-03" in text(carried_out, desired)


def test_many_reasons_of_one_verdict_are_counted_unless_more_is_asked_for(desired, checked):
    verdict = replace(checked.results[10].verdicts[0], reasons=tuple(f"cell {n} is late" for n in range(9)))
    held = replace(checked, results=(NodeResult("mac-11", NodeOutcome.HELD, verdicts=(verdict,)),))
    assert "and 5 more, shown with -v" in text(held, desired)
    assert "cell 8 is late" not in text(held, desired)
    assert "cell 8 is late" in text(held, desired, verbose=True)


def test_what_a_node_says_cannot_steer_the_terminal(desired, checked):
    verdict = replace(checked.results[10].verdicts[0], reasons=("\x1b[2Jgone",))
    held = NodeResult("mac-11", NodeOutcome.HELD, verdicts=(verdict,))
    shown = text(replace(checked, results=(held,)), desired, width=80)
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone" in shown


def test_paint_colours_the_symbol_and_not_a_dash_of_a_command():
    assert paint("mac-01   ~ file /etc/hosts").count("\x1b") == 2
    assert "\x1b" not in paint("Carry it out: macfleet rollout stage3 -l mac-01")


def test_the_recap_counts_every_node_once(carried_out, checked):
    for result in (carried_out, checked):
        counts = recap(result)
        assert sum(counts.values()) == len(result.results)
        assert {"ok", "changed", "failed", "unreachable", "held"} <= set(counts)
    assert recap(checked)["ok"] == 10


def test_what_took_longest_is_named_when_it_took_a_second(desired, carried_out):
    slow = tuple(Timed("mac-01", f"file./{seconds}", seconds) for seconds in (90.0, 2.0, 1.5, 1.2, 0.1))
    shown = text(replace(carried_out, slowest=slow), desired)
    assert (
        "Slowest: mac-01 file /90.0 1 min 30 s · mac-01 file /2.0 2.0 s · mac-01 file /1.5 1.5 s\n" in shown
    )
    assert "Slowest" not in text(replace(carried_out, slowest=slow[4:]), desired)
    assert [each["seconds"] for each in document(replace(carried_out, slowest=slow))["slowest"]] == [
        90.0,
        2.0,
        1.5,
        1.2,
        0.1,
    ]
