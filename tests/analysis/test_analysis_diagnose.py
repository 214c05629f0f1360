"""Each row of the table: planted causes are named, refuted ones are not, and gaps are admitted."""

from dataclasses import replace

import polars as pl
import pytest

from macfleet.analysis.cells import summarise
from macfleet.analysis.clues import Record
from macfleet.analysis.diagnose import State, diagnose
from macfleet.analysis.frames import series_frame
from macfleet.analysis.signs import Signs, signs_of
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
    ("signs", "symptom", "spoke", "words"),
    [
        (
            {"throttled": 0.12},
            "jitter only",
            True,
            "a CPU limit held the container back 12.0 % of the time, line 5 %",
        ),
        (
            {"throttled": 0.01},
            "jitter only",
            False,
            "a CPU limit held the container back 1.0 % of the time, line 5 %",
        ),
        ({"fsync": 0.035}, "jitter only", True, "fsync in the VM took 35.0 ms (median), line 20 ms"),
        ({"fsync": 0.002}, "jitter only", False, "fsync in the VM took 2.0 ms (median), line 20 ms"),
        ({"heat": 70}, "both paths", True, "thermal warning level 70, 0 is none"),
        ({"heat": 0}, "both paths", False, "thermal warning level 0, 0 is none"),
        ({"background": ("backupd", "mds")}, "both paths", True, "busy beside the engine: backupd, mds"),
        (
            {"background": ()},
            "both paths",
            False,
            "no Spotlight, Time Machine or video call among the host's busiest",
        ),
        (
            {"time_wait": 16_000},
            "HTTP errors",
            True,
            "16,000 connections in TIME_WAIT of 16,384 ports, line 80 %",
        ),
        ({"time_wait": 90}, "HTTP errors", False, "90 connections in TIME_WAIT of 16,384 ports"),
        ({"queued": 3.0}, "queue or request age", True, "up to 3 requests waited in the engine for a slot"),
        ({"queued": 0.0}, "queue or request age", False, "up to 0 requests waited in the engine for a slot"),
    ],
)
def test_what_the_sampler_saw_speaks_for_a_cause_or_against_it(signs, symptom, spoke, words):
    given = record(
        BARE,
        replace(CONTAINER, spread=0.6, queueing=0.8, errors=0.2),
        signs=replace(CALM, **signs),
        slos={"short": Slo(e2e_p95=0.3)},
    )
    found = row(given, symptom)
    assert any(words in each for each in (found.supporting if spoke else found.refuting)), found
    bare = row(replace(given, signs={}), symptom)
    assert not any(words in each for each in (*bare.supporting, *bare.refuting))


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


@pytest.mark.parametrize(
    ("busiest", "background"),
    [
        ([None], None),
        (["92.1 llama-server, 3.0 mds_stores"], ()),
        (["92.1 llama-server, 85.0 mds_stores", "30 backupd, x"], ("backupd", "mds_stores")),
        (["45.0 zoom.us, 21.5 Microsoft Teams WebView"], ("Microsoft Teams WebView", "zoom.us")),
        (["nonsense", " , ,"], ()),
    ],
)
def test_background_jobs_are_known_by_their_processes_and_their_share_of_a_core(busiest, background):
    series = series_frame(
        [{"arm": "bare", "cell": "short×1", "segment": 0, "busiest": text} for text in busiest]
    )
    assert signs_of(series)["bare", "short×1"].background == background


def test_signs_of_further_columns_are_reduced_as_their_names_say():
    rows = [
        {"container_throttled_pct": 10.0, "vm_fsync_ms": 4.0, "thermal_level": 0, "host_time_wait": 5},
        {"container_throttled_pct": 20.0, "vm_fsync_ms": None, "thermal_level": 70, "engine_queued": 2.0},
    ]
    found = signs_of(
        series_frame([{"arm": "bare", "cell": "short×1", "segment": 0, **each} for each in rows])
    )
    assert found["bare", "short×1"] == Signs(
        throttled=pytest.approx(0.15), fsync=pytest.approx(0.004), heat=70, time_wait=5, queued=2.0
    )


def test_a_teams_own_line_moves_where_a_sign_is_called_a_cause():
    given = record(BARE, replace(CONTAINER, spread=0.6), signs=replace(CALM, fsync=0.012))
    stricter = replace(given, limits={**given.limits, "fsync_above": 0.008})
    assert any("line 20 ms" in each for each in row(given, "jitter only").refuting)
    assert any("line 8 ms" in each for each in row(stricter, "jitter only").supporting)
