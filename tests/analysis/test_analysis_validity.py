"""What the client's own report says against a cell, each rule at its line."""

from dataclasses import replace

import pytest

from macfleet.analysis.cells import summarise
from macfleet.analysis.validity import client_was_late
from macfleet.testing.synthetic import SyntheticArm, synthetic_run


def judged(cell, **lateness):
    """The reasons against one synthetic cell whose client reports this lateness, and whether it was late."""
    run = synthetic_run([SyntheticArm("bare")], cells=(cell,), segments=1, seconds=20)
    reports = [replace(each, **lateness) for each in run.reports]
    [found] = summarise(run.samples, reports, node="mac-01")
    return found.invalid, client_was_late(reports[0], run.samples)


@pytest.mark.parametrize(
    ("cell", "lateness", "words"),
    [
        ("short×1", {"loop_lag_p99": 0.0049}, ""),
        ("short×1", {"loop_lag_p99": 0.0051}, "loop was 5.1 ms late (p99), more than 5.0 ms"),
        ("short×1", {"cpu_share": 0.79}, ""),
        ("short×1", {"cpu_share": 0.82}, "used 82% of a core"),
        ("short×1", {"without_cpu": 0.29}, ""),
        ("short×1", {"without_cpu": 0.63}, "given no CPU for 63% of the time before its first request"),
        ("short×1", {"dispatch_delay_p95": 3.0}, ""),
        ("short@2/s", {"dispatch_delay_p95": 0.009}, ""),
        (
            "short@2/s",
            {"dispatch_delay_p95": 0.0113},
            "left 11.3 ms after they were due (p95), more than 10 ms",
        ),
    ],
)
def test_a_client_that_was_late_or_busy_spoils_the_cell(cell, lateness, words):
    reasons, late = judged(cell, **lateness)
    assert late is bool(words)
    assert [words in each for each in reasons] == ([True] if words else [])


@pytest.mark.parametrize(("part", "spoiled"), [(1.1, False), (2.6, True)])
def test_tokens_of_an_answer_across_the_edge_may_all_lie_on_one_side_of_it(part, spoiled):
    """An engine that stalls gives them at once; more than such answers hold is a wrong count."""
    run = synthetic_run([SyntheticArm("bare")], cells=("short×1",), segments=1, seconds=20)
    report = run.reports[0]
    answer = max(sample.tokens for sample in run.samples)
    [found] = summarise(
        run.samples,
        [replace(report, token_events=report.token_events + round(part * answer))],
        node="mac-01",
    )
    assert any("the engine billed" in each for each in found.invalid) is spoiled
