import asyncio
import dataclasses
import itertools
import json
import socket
import threading

import pytest

from macfleet.loadgen.measure import measure
from macfleet.loadgen.pacer import nearest_rank, pacer_of
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.load import FixtureBody, LoadSpec
from macfleet.model.nonce import nonce, with_nonce
from macfleet.testing.golden_engine import DONE, END, HEAD, GoldenEngine, chunk, delta, event, raw, scheduled

FIXTURES = tuple(
    FixtureBody(name, {"stream": True, "messages": [{"role": "user", "content": name}]})
    for name in ("a", "b", "c")
)
QUICK = raw(HEAD + chunk(event(delta(content="x")) + event(delta(finish="stop")) + DONE) + END)


def spec(url, **changes) -> LoadSpec:
    basis = LoadSpec(
        base_url=url,
        route="/v1/chat/completions",
        fixtures=FIXTURES,
        cell="short×2",
        segment=3,
        arm="bare",
        concurrency=2,
        duration=30,
        nonce_key="hash",
    )
    return dataclasses.replace(basis, **changes)


def run(answer, **changes):
    samples, moments = [], {}
    with GoldenEngine(answer) as engine:
        job = spec(engine.url, **changes)
        report = measure(
            job, samples.append, events=lambda sample, times: moments.update({sample.index: times})
        )
    return report, sorted(samples, key=lambda sample: sample.index), moments, engine


def test_every_stamp_lies_between_what_the_engine_did_and_what_came_after():
    report, samples, moments, engine = run(
        scheduled(tokens=6, usage_late_ms=30), max_requests=5, concurrency=1
    )
    assert (report.requests, report.token_events) == (5, 30)
    for sample, request in zip(samples, engine.requests, strict=True):
        assert (sample.outcome, sample.tokens, sample.token_source, sample.cached_tokens) == (
            "ok",
            6,
            "usage",
            0,
        )
        assert sample.t_sched <= sample.t_send <= request.received <= sample.t_headers <= sample.t_first_event
        assert sample.t_first_gen >= request.sent[0]
        assert sample.t_last_gen >= request.sent[-1]
        assert all(seen >= sent for seen, sent in zip(moments[sample.index], request.sent, strict=True))
        # First text 20 ms after the request, five gaps of 5 ms, 30 ms until the usage: schedules are floors.
        assert sample.t_first_gen - sample.t_send >= 19_000_000
        assert sample.t_last_gen - sample.t_send >= 44_000_000
        assert sample.t_close >= request.received + 75_000_000


def test_fixtures_go_round_and_each_request_carries_its_own_nonce():
    _, samples, _, engine = run(QUICK, max_requests=7)
    sent = sorted(request.body for request in engine.requests)
    assert sent == sorted(
        with_nonce(FIXTURES[index % 3].body, nonce("hash", "short×2", 3, index)) for index in range(7)
    )
    assert [sample.fixture for sample in samples] == ["a", "b", "c", "a", "b", "c", "a"]


def test_two_arms_are_sent_the_same_bytes():
    sent = []
    for arm in ("bare", "container"):
        *_, engine = run(QUICK, arm=arm, max_requests=9, concurrency=3)
        sent.append(sorted(request.body for request in engine.requests))
    assert sent[0] == sent[1]


def test_a_resumed_segment_goes_on_at_its_index():
    _, samples, _, _ = run(QUICK, first_index=5, max_requests=3)
    assert [(sample.index, sample.fixture) for sample in samples] == [(5, "c"), (6, "a"), (7, "b")]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_as_many_requests_as_declared_are_in_flight(concurrency):
    *_, engine = run(scheduled(tokens=3), concurrency=concurrency, max_requests=4 * concurrency)
    assert engine.most_in_flight == concurrency
    assert len({request.connection for request in engine.requests}) == concurrency


def test_kept_connections_say_so():
    _, samples, _, _ = run(QUICK, concurrency=1, max_requests=4)
    assert [sample.reused for sample in samples] == [False, True, True, True]


def test_without_keep_alive_every_request_has_its_own_connection_and_tells_the_engine():
    _, samples, _, engine = run(QUICK, keep_alive=False, max_requests=5)
    assert len({request.connection for request in engine.requests}) == 5
    assert {request.headers["connection"] for request in engine.requests} == {"close"}
    assert not any(sample.reused for sample in samples)


def test_a_connection_the_engine_closes_is_not_used_again():
    closing = raw(
        HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        + chunk(event(delta(content="x", finish="stop")))
        + END,
        "close",
    )
    _, samples, _, _ = run(closing, max_requests=4)
    assert {(sample.outcome, sample.reused) for sample in samples} == {("ok", False)}


def test_an_engine_that_promises_keep_alive_and_closes_costs_no_request():
    promise = HEAD.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=5, max=100\r\n\r\n")

    async def answer(request, writer):
        await raw(promise + chunk(event(delta(content="x", finish="stop")) + DONE) + END)(request, writer)
        await asyncio.sleep(0.005)
        writer.close()

    _, samples, _, engine = run(answer, max_requests=9, concurrency=3)
    assert {(sample.outcome, sample.reused) for sample in samples} == {("ok", False)}
    assert len(engine.requests) == 9


def test_a_kept_connection_that_closes_later_costs_one_request_which_is_kept_as_a_reset():
    answers = iter(range(100))

    async def answer(request, writer):
        if next(answers) == 2:
            writer.close()
        else:
            await QUICK(request, writer)

    _, samples, _, engine = run(answer, max_requests=6, concurrency=1)
    assert [sample.outcome for sample in samples] == ["ok", "ok", "reset", "ok", "ok", "ok"]
    assert [sample.reused for sample in samples] == [False, True, True, False, False, False]
    assert len(engine.requests) == 6


def test_headers_of_the_spec_reach_the_engine():
    *_, engine = run(QUICK, headers={"Authorization": "Bearer k"}, max_requests=1)
    assert engine.requests[0].headers["authorization"] == "Bearer k"
    assert engine.requests[0].line == "POST /v1/chat/completions HTTP/1.1"


def test_only_text_inside_the_window_counts_and_the_warm_up_is_not_drained():
    report, samples, moments, _ = run(scheduled(tokens=100, first_ms=5, gap_ms=5), warmup=0.45, duration=0.5)
    inside = [t for times in moments.values() for t in times if report.window_start <= t < report.window_end]
    assert report.window_end - report.window_start == 500_000_000
    assert report.token_events == len(inside) < sum(sample.tokens for sample in samples)
    warm = [sample for sample in samples if sample.warmup]
    assert all(sample.t_sched < report.window_start for sample in warm)
    assert not any(sample.warmup for sample in samples if sample.t_sched >= report.window_start)
    # Answers take 500 ms, the warm-up 450: somebody was being answered when the window opened.
    assert any(sample.t_send < report.window_start < sample.t_close for sample in warm)
    assert any(sample.t_sched < report.window_end < sample.t_close for sample in samples)
    assert {sample.outcome for sample in samples} == {"ok"}


def test_an_event_of_several_tokens_counts_as_several():
    usage = event({"choices": [], "usage": {"completion_tokens": 12}})
    bundled = raw(
        HEAD + chunk(event(delta(content="x")) * 4 + event(delta(finish="stop")) + usage + DONE) + END
    )
    report, _, moments, _ = run(bundled, max_requests=2)
    assert [len(times) for times in moments.values()] == [4, 4]
    assert report.token_events == 24


def test_what_is_unfinished_after_the_grace_is_kept_as_censored():
    endless = scheduled(tokens=10_000, first_ms=1, gap_ms=10)
    report, samples, moments, _ = run(endless, duration=0.3, grace=0.1)
    assert [sample.outcome for sample in samples] == ["censored", "censored"]
    assert report.requests == 2
    inside = [t for times in moments.values() for t in times if t < report.window_end]
    assert report.token_events == len(inside) > 0


def test_a_request_that_never_got_an_answer_is_censored_too():
    _, samples, _, _ = run(raw("hang"), duration=0.1, grace=0.05)
    assert [(sample.outcome, sample.status, sample.tokens) for sample in samples] == [("censored", 0, 0)] * 2


def unused_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_nobody_listening_is_recorded_each_time_and_never_sent_again():
    samples = []
    report = measure(spec(f"http://127.0.0.1:{unused_port()}", duration=0.4, concurrency=1), samples.append)
    assert {sample.outcome for sample in samples} == {"connect_refused"}
    assert [sample.index for sample in samples] == list(range(report.requests))
    assert {(sample.t_send, sample.status) for sample in samples} == {(None, 0)}
    # A dead endpoint yields at most one record in 50 ms and stream.
    assert 2 <= len(samples) <= 9


def test_a_listener_that_never_accepts_is_a_connect_timeout():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        samples = []
        job = spec(f"http://127.0.0.1:{port}", duration=0.2, grace=2, concurrency=1, connect_timeout=0.3)
        measure(job, samples.append)
        for filler in fillers:
            filler.close()
    assert samples[0].outcome == "connect_timeout"


def test_an_engine_killed_in_mid_stream_leaves_resets_and_refusals():
    samples = []
    with GoldenEngine(scheduled(tokens=10_000, first_ms=1)) as engine:

        def kill_in_mid_stream():
            pause = threading.Event()
            while sum(bool(request.sent) for request in engine.requests) < 2:
                pause.wait(0.01)
            engine.kill()

        killer = threading.Thread(target=kill_in_mid_stream)
        killer.start()
        report = measure(spec(engine.url, duration=1, grace=1), samples.append)
        killer.join()
    outcomes = [sample.outcome for sample in sorted(samples, key=lambda sample: sample.index)]
    assert outcomes[:2] == ["reset", "reset"]
    assert set(outcomes[2:]) == {"connect_refused"}
    assert all(sample.tokens > 0 for sample in samples if sample.outcome == "reset")
    assert report.requests == len(samples)


def test_when_the_records_have_nobody_to_take_them_the_load_stops():
    def sink(_sample):
        raise BrokenPipeError

    with GoldenEngine(QUICK) as engine, pytest.raises(BrokenPipeError):
        measure(spec(engine.url, duration=600), sink)


def test_a_spec_that_cannot_be_run_names_every_problem():
    with pytest.raises(MacfleetError) as caught:
        measure(spec("ftp://x", fixtures=(), concurrency=0, duration=0), lambda _sample: None)
    assert [found.code for found in caught.value.diagnostics] == ["E0901"] * 4


def test_a_body_without_a_prompt_ends_the_segment_with_its_reason():
    with pytest.raises(ValueError, match="neither messages nor prompt"):
        run(QUICK, fixtures=(FixtureBody("bad", {"stream": True}),))


def test_a_busy_loop_shows_as_lag():
    from macfleet.loadgen.client import Segment

    with GoldenEngine(scheduled(tokens=200, first_ms=1)) as engine:
        job = spec(engine.url, duration=0.4, grace=0.1)

        def put(_sample, _moments):
            """Not called before the end."""

        segment = Segment(job, put)

        async def both():
            running = asyncio.create_task(segment.run())
            await asyncio.sleep(0.1)
            block = threading.Event()
            for _ in range(3):
                block.wait(0.05)  # holds the loop on purpose
                await asyncio.sleep(0.01)
            return await running

        assert asyncio.run(both()).loop_lag_p99 > 0.03


def test_the_pacer_knows_its_window_before_the_first_request():
    pacer = pacer_of(spec("http://x", warmup=2, duration=3, concurrency=4), 10**9)
    assert (pacer.window_start, pacer.window_end) == (3 * 10**9, 6 * 10**9)
    assert [pacer.entry(stream) for stream in range(4)] == [10**9, 125 * 10**7, 15 * 10**8, 175 * 10**7]
    assert pacer.due(10**9).warmup
    assert not pacer.due(3 * 10**9).warmup
    assert pacer.due(6 * 10**9 - 1).index == 2
    assert pacer.due(6 * 10**9) is None


@pytest.mark.parametrize(
    ("count", "share", "value"),
    [(0, 0.99, 0.0), (1, 0.99, 1.0), (100, 0.95, 95.0), (100, 0.99, 99.0), (10, 0.95, 10.0)],
)
def test_percentiles_are_order_statistics(count, share, value):
    assert nearest_rank([float(number) for number in range(count, 0, -1)], share) == value


def test_samples_and_report_are_json():
    report, samples, _, _ = run(QUICK, max_requests=1)
    assert json.loads(json.dumps(samples[0].document()))["fixture"] == "a"
    assert json.loads(json.dumps(report.document()))["python"]


def moments_of(**changes):
    pacer = pacer_of(spec("http://127.0.0.1:1", duration=10, **changes), 0)
    found = []
    while (due := pacer.due(0)) is not None:
        found.append(due)
    return found


def test_an_open_loop_offers_its_rate_at_even_distances():
    found = moments_of(rate=5.0)
    assert [due.scheduled for due in found] == [round(n * 0.2e9) for n in range(50)]
    assert [due.index for due in found] == list(range(50))


def test_poisson_arrivals_are_the_same_in_both_arms_and_others_in_the_next_segment():
    bare, container = (moments_of(rate=50.0, arrivals="poisson", arm=arm) for arm in ("bare", "container"))
    assert bare == container
    assert bare != moments_of(rate=50.0, arrivals="poisson", segment=4)
    gaps = [b.scheduled - a.scheduled for a, b in itertools.pairwise(bare)]
    mean = sum(gaps) / len(gaps)
    assert 0.7 * 0.02e9 < mean < 1.4 * 0.02e9
    # An exponential's standard deviation is its mean; even distances would have none.
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) > (0.5 * mean) ** 2


def test_warm_up_of_an_open_loop_is_told_by_the_schedule():
    found = moments_of(rate=1.0, warmup=3.0)
    assert [due.warmup for due in found] == [True] * 3 + [False] * 10


def test_an_engine_that_stalls_does_not_hide_the_requests_it_kept_waiting():
    """Two streams, three requests due each 100 ms that take 300 ms each: the later ones are sent late."""
    _, samples, _, _ = run(
        scheduled(tokens=2, first_ms=300, gap_ms=0), rate=10.0, max_requests=6, concurrency=2
    )
    due = [sample.t_sched - samples[0].t_sched for sample in samples]
    assert due == [round(n * 0.1e9) for n in range(6)]
    lateness = [sample.t_send - sample.t_sched for sample in samples]
    assert max(lateness[:2]) < 100_000_000
    # Requests 4 and 5 wait for two rounds of 300 ms and are due at 400 and 500 ms.
    assert min(lateness[4:]) >= 90_000_000


def test_an_open_loop_that_is_refused_keeps_its_schedule():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        samples = []
        job = spec(f"http://127.0.0.1:{closed.getsockname()[1]}", rate=100.0, max_requests=5)
        measure(job, samples.append)
    assert {sample.outcome for sample in samples} == {"connect_refused"}
    ordered = sorted(sample.t_sched for sample in samples)
    assert ordered[-1] - ordered[0] == 40_000_000


@pytest.mark.parametrize(
    "changes", [{"rate": -1.0}, {"rate": float("inf")}, {"rate": float("nan")}, {"arrivals": "gamma"}]
)
def test_a_rate_that_means_nothing_is_refused(changes):
    with pytest.raises(MacfleetError) as caught:
        measure(spec("http://127.0.0.1:1", **changes), lambda _: None)
    assert caught.value.diagnostics[0].code == "E0901"
