"""Each row of the table: planted causes are named, refuted ones are not, and gaps are admitted."""

from dataclasses import replace

import polars as pl
import pytest

from macfleet.analysis.cells import summarise
from macfleet.analysis.clues import Record, Signs, signs_of
from macfleet.analysis.diagnose import State, diagnose
from macfleet.model.contract import Slo
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

BARE = SyntheticArm("bare", rate=50)
CONTAINER = SyntheticArm("container", rate=48, iowait=3, psi=1, memory=60)
MOUNTS = {
    "weights": "virtiofs /Users/ops/models",
    "cache": "virtiofs /Users/ops/hf",
    "logs": "virtiofs /Users/ops/logs",
}
CALM = Signs(swapouts=0, steal=0.0, pressure=1)


def record(*arms, cells=None, signs=None, accelerators=None, **changes):
    planted = synthetic_run(arms or (BARE, CONTAINER))
    found = summarise(
        planted.samples,
        planted.reports,
        planted.series,
        node="mac-01",
        accelerators=accelerators or {"bare": "cpu", "container": "cpu"},
    )
    found = cells(found) if cells else found
    beside = {(each.arm, each.cell): signs or CALM for each in found}
    return Record("mac-01", "run", found, beside, **{"mounts": MOUNTS, **changes})


def row(given, symptom):
    return next(each for each in diagnose(given) if each.symptom.startswith(symptom))


def test_a_healthy_node_has_no_symptom_that_was_measured():
    states = {each.symptom: each.state for each in diagnose(record(slos={"short": Slo(e2e_p95=9.0)}))}
    assert set(states.values()) == {State.ABSENT, State.OPEN}
    assert {symptom for symptom, state in states.items() if state is State.OPEN} == {
        "only one model is slow",
        "restarts in a loop",
    }


def test_every_row_of_the_table_is_answered_with_an_action():
    found = diagnose(record())
    assert len(found) == 9
    assert all(each.cause and each.action for each in found)
    assert all(each.lacking for each in found if each.state is State.OPEN)


def test_a_slow_first_token_with_a_waiting_disk_is_a_cold_start():
    given = record(BARE, replace(CONTAINER, rate=50, first_token=0.6, iowait=30), mounts={})
    found = row(given, "only the first token")
    assert found.state is State.LIKELY
    assert found.supporting[0].startswith("in-VM iowait 30")


def test_bind_mounted_weights_and_a_quiet_disk_speak_against_a_cold_start():
    found = row(record(BARE, replace(CONTAINER, rate=50, first_token=0.6)), "only the first token")
    assert found.state is State.UNLIKELY
    assert "weights are bind-mounted: virtiofs /Users/ops/models" in found.refuting


def test_no_cause_in_the_vm_is_looked_for_behind_a_loss_that_is_the_gpus():
    slow = replace(CONTAINER, rate=50, first_token=0.6, iowait=30)
    given = record(BARE, slow, accelerators={"bare": "metal", "container": "cpu"})
    assert row(given, "only the first token").state is State.OPEN


def test_growth_under_concurrency_with_swap_is_a_matter_of_memory():
    crowded = replace(CONTAINER, queueing=0.8, memory=90)
    given = record(BARE, crowded, signs=Signs(swapouts=5000, steal=0.0, pressure=2))
    found = row(given, "everything slows")
    assert found.state is State.POSSIBLE
    assert any(each.startswith("host memory") for each in found.supporting)
    assert "5,000 pages were swapped out" in found.supporting
    assert any(each.startswith("in-VM iowait") for each in found.refuting)


def test_growth_under_concurrency_with_memory_to_spare_is_not():
    found = row(record(BARE, replace(CONTAINER, queueing=0.8)), "everything slows")
    assert found.state is State.UNLIKELY


def test_jitter_that_only_the_container_has_points_at_its_volumes():
    found = row(record(BARE, replace(CONTAINER, spread=0.6)), "jitter only")
    assert found.state is State.POSSIBLE
    assert "cache, logs, weights is read through virtiofs" in found.supporting


def test_both_paths_are_slow_only_where_both_break_their_level():
    slow = {"short": Slo(e2e_p95=0.3)}
    pressed = Signs(swapouts=0, steal=0.0, pressure=4)
    found = row(record(slos=slow, signs=pressed), "both paths")
    assert found.state is State.POSSIBLE
    assert "memory pressure level 4, 1 is normal" in found.supporting
    assert row(record(slos={"short": Slo(e2e_p95=9.0)}), "both paths").state is State.ABSENT


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ({"ok": 900, "http_503": 90, "connect_refused": 10}, State.LIKELY),
        ({"ok": 900, "truncated": 100}, State.UNLIKELY),
        ({"ok": 900, "reset": 50, "sse_error": 50}, State.POSSIBLE),
    ],
)
def test_errors_are_a_matter_of_connections_only_by_their_kind(outcomes, state):
    def failing(cells):
        first, *rest = cells
        return (replace(first, n=1000, ok=900, errors=0.1, outcomes=outcomes), *rest)

    assert row(record(cells=failing), "HTTP errors").state is state


def test_few_requests_without_an_error_prove_nothing():
    def few(cells):
        return tuple(replace(each, n=20, ok=20) for each in cells)

    assert row(record(cells=few), "HTTP errors").state is State.OPEN


@pytest.mark.parametrize(
    ("steal", "cause", "action"),
    [
        (0.0, "too many admitted", "caps at the gateway"),
        (0.3, "the worker starves", "fewer slots, mounts, another node"),
    ],
)
def test_a_growing_queue_is_blamed_on_admission_unless_the_worker_starves(steal, cause, action):
    given = record(BARE, replace(CONTAINER, queueing=0.8), signs=Signs(swapouts=0, steal=steal, pressure=1))
    found = row(given, "queue or request age")
    assert (found.cause, found.action) == (cause, action)
    assert found.state in (State.LIKELY, State.POSSIBLE)


@pytest.mark.parametrize(
    ("mounts", "state"),
    [
        (MOUNTS, State.ABSENT),
        ({**MOUNTS, "logs": "virtiofs /Users/ops/models/logs"}, State.UNLIKELY),
        ({**MOUNTS, "logs": "virtiofs /Users/ops/models-logs"}, State.ABSENT),
        ({}, State.OPEN),
    ],
)
def test_logs_beside_weights_are_found_by_their_paths(mounts, state):
    assert row(record(mounts=mounts), "caches or logs").state is state


def test_invalid_cells_prove_nothing():
    given = record(cells=lambda cells: tuple(replace(each, invalid=("late",)) for each in cells))
    states = {each.symptom: each.state for each in diagnose(given)}
    assert states.pop("caches or logs on the weights' volume, large log streams") is State.ABSENT
    assert set(states.values()) == {State.OPEN}


def test_signs_are_read_from_the_series_window_by_window():
    def reading(segment, swapouts, steal, pressure, cell="short×4"):
        return {
            "arm": "container",
            "cell": cell,
            "segment": segment,
            "swapouts": swapouts,
            "vm_steal_pct": steal,
            "host_pressure_level": pressure,
        }

    series = pl.DataFrame(
        [
            reading(0, 100, 2.0, 1),
            reading(0, 110, 4.0, 2),
            # Between the segments another 890 pages went out; they are nobody's.
            reading(1, 1000, 3.0, 1),
            reading(1, 1005, None, 1),
            reading(None, 5000, 50.0, 4, cell=None),
        ]
    )
    assert signs_of(series) == {("container", "short×4"): Signs(15, pytest.approx(0.03), 2)}


def test_a_series_without_swap_readings_says_unknown_not_zero():
    series = pl.DataFrame(
        {
            "arm": ["bare"],
            "cell": ["short×1"],
            "segment": [0],
            "swapouts": pl.Series([None], dtype=pl.Int64),
            "vm_steal_pct": pl.Series([None], dtype=pl.Float64),
            "host_pressure_level": pl.Series([None], dtype=pl.Int64),
        }
    )
    assert signs_of(series) == {("bare", "short×1"): Signs(None, None, None)}
