"""`macfleet loadtest watch`: a run that goes on, one that ends while it is watched, one that was killed."""

import json
import os
import subprocess
import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from macfleet.model.run import RunManifest
from macfleet.rollout.loadtest_segment import SEGMENT
from macfleet.store import FolderRuns, SqlState
from macfleet.store.run_locks import StoreLocks, this_process

SOURCE = Path(__file__).parents[2] / "src"
RUN = "20261123T041205Z-stage5-1a2b"
SECOND = 10**9
DETAIL = {"arm": "container", "cell": "short×4", "segment": 0, "seconds": 60.0, "of": 8}
FILE = "container/raw-0-4-0.ndjson"
HEAD = {"who": "ops@desk"}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory/hosts.yml").write_text("all:\n  hosts:\n    mac-01: {}\n    mac-02: {}\n")
    (tmp_path / "macfleet.yml").write_text("name: lab\n")
    (tmp_path / ".macfleet").mkdir()
    return tmp_path


@pytest.fixture
def state(folder):
    with closing(SqlState(f"sqlite:///{folder}/.macfleet/state.db")) as state:
        yield state


@pytest.fixture
def begun(folder, state):
    """A load test in its first segment with three requests; its writer."""
    state.begin(RUN, "rollout loadtest", ["mac-01", "mac-02"], HEAD)
    state.note(RUN, "mac-01", SEGMENT, {**DETAIL, "file": FILE})
    writer = FolderRuns(folder / ".macfleet/runs").create(RUN)
    add(writer, request(1), request(2), request(3, outcome="stall_timeout"), request(9, warmup=True))
    return writer


@contextmanager
def held(state):
    """This process has the run's nodes, as the controller of a run does."""
    locks = StoreLocks(state.locks, this_process("ops@desk"))
    locks.take(["mac-01", "mac-02"], RUN, "rollout stage5")
    try:
        yield
    finally:
        locks.close()


def request(number, **more):
    start = number * SECOND
    times = {"t_sched": start, "t_send": start, "t_first_gen": start + SECOND // 4, "t_close": start + SECOND}
    return {**times, "tokens": 20, "outcome": "ok", "warmup": False, **more}


def add(writer, *rows):
    with writer.lines(f"nodes/mac-01/{FILE}") as line:
        for row in rows:
            line(row)


def command(*arguments):
    return [sys.executable, "-m", "macfleet", "loadtest", "watch", *arguments]


def environment():
    return {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONUNBUFFERED": "1"}


def watch(folder, *arguments, exits):
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == exits, done.stdout + done.stderr
    return done


@contextmanager
def watching(folder, *arguments):
    """The command in a process of its own; its lines can be read as they come."""
    with subprocess.Popen(
        command(*arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_figures_come_as_they_are_recorded_until_the_run_ends_with_its_own_exit_code(folder, state, begun):
    with held(state), watching(folder, "--output", "json") as process:
        first = json.loads(process.stdout.readline())
        assert (first["run"], first["state"], first["judged"]) == (RUN, "going on", False)
        row, idle = first["nodes"]
        assert (row["arm"], row["cell"], row["segment"], row["of"]) == ("container", "short×4", 1, 8)
        (cell,) = row["so_far"]
        assert (cell["requests"], cell["errors"], cell["ttft_p95"]) == (3, 1, 0.25)
        assert cell["tokens_per_second"] == 20.0
        assert (idle["arm"], idle["outcome"], idle["so_far"]) == (None, None, [])
        add(begun, request(4))
        second = json.loads(process.stdout.readline())
        assert second["nodes"][0]["so_far"][0]["requests"] == 4
        state.settle(RUN, "mac-01", "held")
        state.end(RUN, "7")
        *_, last = map(json.loads, process.stdout)
        assert (last["state"], last["nodes"][0]["outcome"]) == ("ended with exit 7", "held")
        assert process.wait(60) == 7


def test_a_run_whose_controller_is_gone_is_told_from_one_that_goes_on(folder, begun):
    done = watch(folder, exits=130)
    assert "killed" in done.stdout
    assert "E0484" in done.stderr
    assert f"macfleet rollout stage5 --resume {RUN}" in done.stderr


def test_a_lock_for_another_run_does_not_make_a_killed_one_live(folder, state, begun):
    locks = StoreLocks(state.locks, this_process("ops@desk"))
    locks.take(["mac-01"], "20261123T051205Z-stage3-9f9f", "rollout stage3")
    try:
        assert "E0484" in watch(folder, exits=130).stderr
    finally:
        locks.close()


def test_lines_for_a_pipe_name_place_figures_and_that_nobody_judged_them(folder, state, begun):
    state.end(RUN, "ok")
    said = watch(folder, exits=0).stdout
    assert f"Load test {RUN} · ops@desk · ended with ok" in said
    assert "mac-01  ✗ left at segment 1 of 8  container short×4" in said
    assert "3 requests  1 error  20 tok/s  TTFT p95 0.25 s  so far, not judged" in said
    assert "mac-02  ✗ no segment begun" in said


def test_why_a_cell_is_invalid_shows_once_the_node_was_reduced_and_after_the_run_was_sealed(
    folder, state, begun
):
    cell = {"arm": "container", "cell": "short×4", "invalid": ["the client was late"]}
    begun.json("nodes/mac-01/summary.json", {"schema": 1, "cells": [cell]})
    state.settle(RUN, "mac-01", "held")
    state.end(RUN, "7")
    assert "! container short×4: the client was late, INVALID" in watch(folder, exits=7).stdout
    fields = dict.fromkeys(RunManifest.__dataclass_fields__, "") | {"git_dirty": False}
    manifest = RunManifest(**{name: fields[name] for name in list(fields)[:15]})
    begun.finish(replace(manifest, id=RUN, nodes=("mac-01",), arms=("container",)))
    assert "! container short×4: the client was late, INVALID" in watch(folder, RUN, exits=7).stdout


def test_the_newest_load_test_is_meant_where_none_is_named(folder, state, begun):
    state.end(RUN, "ok")
    state.begin("20261123T061205Z-stage3-2b2b", "rollout layout", ["mac-01"], HEAD)
    assert RUN in watch(folder, exits=0).stdout


def test_another_kind_of_run_and_none_at_all_are_refused(folder, state):
    assert "E0485" in watch(folder, exits=2).stderr
    state.begin("20261123T061205Z-stage3-2b2b", "rollout layout", ["mac-01"], HEAD)
    assert "E0486" in watch(folder, "20261123T06", exits=2).stderr
    assert "E0956" in watch(folder, "2030", exits=2).stderr
