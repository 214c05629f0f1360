"""Several client processes send what one would send, and their records are one segment's."""

import hashlib
import json
import os
from dataclasses import replace

import httpx
import pytest

from macfleet.analysis.validity import client_was_late
from macfleet.cli.selftest import golden_engine
from macfleet.loadgen.measure import measure
from macfleet.loadgen.pacer import pacer_of
from macfleet.loadgen.several import Indices, merged, taker
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.load import FixtureBody, LoadSpec
from macfleet.model.nonce import nonce, with_nonce
from macfleet.testing.golden_engine import (
    DONE,
    END,
    HEAD,
    STAMPS,
    GoldenEngine,
    chunk,
    delta,
    event,
    raw,
    scheduled,
)
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

FIXTURES = tuple(
    FixtureBody(name, {"stream": True, "messages": [{"role": "user", "content": name}]}) for name in "abc"
)
QUICK = raw(HEAD + chunk(event(delta(content="x")) + event(delta(finish="stop")) + DONE) + END)


def spec(url, **changes):
    basis = LoadSpec(
        base_url=url,
        route="/v1/chat/completions",
        fixtures=FIXTURES,
        cell="short×4",
        segment=2,
        arm="bare",
        concurrency=4,
        duration=120,
        nonce_key="hash",
    )
    return replace(basis, **changes)


def run(answer, **changes):
    samples = []
    with GoldenEngine(answer) as engine:
        report = measure(spec(engine.url, **changes), samples.append)
        bodies = sorted(hashlib.sha256(request.body).hexdigest() for request in engine.requests)
    return report, sorted(samples, key=lambda sample: sample.index), bodies


def test_whoever_shares_the_counter_reads_every_index_once_and_in_order():
    counter = Indices(7)
    ours = os.dup(counter.reader)
    counter.start()
    one, two = taker(ours), taker(ours)
    read = [take() for _ in range(3000) for take in (one, two)]
    os.close(ours)
    counter.join()
    assert read == list(range(7, 6007))


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
def test_an_open_loop_keeps_each_requests_moment_whoever_sends_it(arrivals):
    job = spec("http://127.0.0.1:1", rate=50.0, arrivals=arrivals, duration=2.0, warmup=0.5, first_index=10)
    alone = pacer_of(job, 1_000)
    whole = []
    while (due := alone.due(0)) is not None:
        whole.append(due)
    assert whole[0].index == 10
    counter = iter(range(10, 10_000))
    shared = [pacer_of(job, 1_000, counter.__next__) for _ in range(3)]
    split = [[], [], []]
    # Taken unevenly: who is free takes the next.
    for turn in range(len(whole)):
        who = (0, 0, 1, 2, 2, 2, 0, 1)[turn % 8]
        split[who].append(shared[who].due(0))
    assert all(split)
    assert sorted((due for part in split for due in part), key=lambda due: due.index) == whole
    assert [pacer.due(0) for pacer in shared] == [None] * 3


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_indices_fixtures_and_bytes_are_the_same_however_many_processes_send_them(processes):
    report, samples, bodies = run(QUICK, processes=processes, max_requests=40, first_index=5)
    assert [sample.index for sample in samples] == list(range(5, 45))
    assert [sample.fixture for sample in samples] == ["abc"[index % 3] for index in range(5, 45)]
    assert {sample.outcome for sample in samples} == {"ok"}
    assert bodies == sorted(
        hashlib.sha256(with_nonce(FIXTURES[index % 3].body, nonce("hash", "short×4", 2, index))).hexdigest()
        for index in range(5, 45)
    )
    assert report.requests == 40
    assert len(report.processes) == (processes if processes > 1 else 0)


@pytest.mark.slow
def test_the_records_of_all_processes_are_one_segments():
    report, samples, _ = run(scheduled(tokens=20, gap_ms=5), processes=2, duration=1.5, warmup=0.5, grace=5.0)
    assert report.requests == len(samples) > 8
    assert sum(each["requests"] for each in report.processes) == report.requests
    assert sum(each["token_events"] for each in report.processes) == report.token_events > 0
    assert report.cpu_share == max(each["cpu_share"] for each in report.processes)
    assert report.loop_lag_p99 == max(each["loop_lag_p99"] for each in report.processes)
    # One clock, one window: every process tells warm-up from measured by the same moment.
    assert all((sample.t_send < report.window_start) == sample.warmup for sample in samples)
    assert report.window_end - report.window_start == 1_500_000_000


@pytest.mark.slow
@pytest.mark.parametrize("open_loop", [{}, {"rate": 30.0, "arrivals": "poisson"}], ids=["closed", "open"])
def test_two_processes_lose_and_double_nothing_of_a_schedule_an_engine_answers_token_by_token(open_loop):
    read, samples = {}, []
    with golden_engine(20, 50.0, 20.0) as url:
        job = spec(url, processes=2, concurrency=16, duration=2.0, warmup=0.5, grace=60.0, **open_loop)
        report = measure(
            job,
            samples.append,
            events=lambda sample, moments: read.setdefault(sample.index, []).append(moments),
        )
        stamps = [json.loads(line) for line in httpx.get(url + STAMPS, timeout=60).text.splitlines()]
    samples.sort(key=lambda sample: sample.index)
    indices = [sample.index for sample in samples]
    assert indices == list(range(len(indices)))
    assert sum(each["requests"] for each in report.processes) == report.requests == len(indices)
    assert len(report.processes) == 2
    if open_loop:
        alone = pacer_of(job, report.window_start - 500_000_000)
        schedule = list(iter(lambda: alone.due(0), None))
        assert [(each.index, each.t_sched, each.warmup) for each in samples] == [
            (due.index, due.scheduled, due.warmup) for due in schedule
        ]
    # What the engine was asked is what the records say was sent, each once.
    asked = {stamp["body"]: stamp for stamp in stamps}
    bodies = [
        hashlib.sha256(with_nonce(FIXTURES[index % 3].body, nonce("hash", "short×4", 2, index))).hexdigest()
        for index in indices
    ]
    assert sorted(stamp["body"] for stamp in stamps) == sorted(bodies)
    for sample, body in zip(samples, bodies, strict=True):
        [moments] = read[sample.index]
        assert (sample.outcome, sample.tokens, sample.token_source) == ("ok", 20, "usage")
        assert len(moments) == len(asked[body]["sent"]) == 20
        assert sample.t_send < asked[body]["received"]
        assert all(late > wrote for late, wrote in zip(moments, asked[body]["sent"], strict=True))
    inside = sum(
        report.window_start <= moment < report.window_end for [each] in read.values() for moment in each
    )
    assert report.token_events == inside > 0


@pytest.mark.slow
def test_a_sink_that_fails_ends_every_process():
    def sink(_sample):
        raise BrokenPipeError

    with GoldenEngine(QUICK) as engine, pytest.raises(BrokenPipeError):
        measure(spec(engine.url, duration=600, processes=2), sink)


@pytest.mark.slow
def test_a_process_that_ends_early_is_an_error_that_says_so():
    with GoldenEngine(QUICK) as engine, pytest.raises(MacfleetError) as caught:
        measure(spec(engine.url, processes=2), lambda _sample: None, program=("false",))
    assert [each.code for each in caught.value.diagnostics] == ["E1075"]


def test_one_late_process_spoils_the_segment():
    run = synthetic_run([SyntheticArm("bare")], cells=("short×4",), segments=1, seconds=10)
    [good] = run.reports
    assert not client_was_late(merged([good, good]), run.samples)
    for spoilt in ({"loop_lag_p99": 0.05}, {"cpu_share": 0.9}):
        assert client_was_late(merged([good, replace(good, **spoilt)]), run.samples)
