"""The fast reductions held against the formulas they stand for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from macfleet.analysis.frames import sample_frame
from macfleet.analysis.percentiles import percentile, percentiles, ranks
from macfleet.analysis.requests import arrays, known, together
from macfleet.analysis.segments import segments_of
from macfleet.model.load import Sample, SegmentReport
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

SECOND = 1_000_000_000


def sample(first, last, tokens, **changes):
    known = {
        "cell": "short×1",
        "segment": 0,
        "arm": "bare",
        "index": 0,
        "fixture": "f",
        "outcome": "ok",
        "status": 200,
        "t_sched": 0,
        "t_send": SECOND,
        "t_headers": None,
        "t_first_event": None,
        "t_first_gen": first,
        "t_first_visible": None,
        "t_last_gen": last,
        "t_close": last or SECOND,
        "tokens": tokens,
        "token_source": "usage",
    }
    return Sample(**{**known, **changes})


def report(**changes):
    known = {
        "cell": "short×1",
        "segment": 0,
        "arm": "bare",
        "window_start": 10 * SECOND,
        "window_end": 30 * SECOND,
        "wall_start": 0,
        "token_events": 1000,
        "requests": 1,
        "loop_lag_p99": 0.0,
        "dispatch_delay_p95": 0.0,
        "cpu_share": 0.0,
        "client_version": "",
        "archive": "",
    }
    return SegmentReport(**{**known, **changes})


def laid_out_one_by_one(samples, told):
    """Tokens in each second, summed answer by answer: slow and plain."""
    edges = np.arange(told.window_start, told.window_end + 1, SECOND, dtype=float)
    total = np.zeros(len(edges))
    for each in samples:
        length = max(each.t_last_gen - each.t_first_gen, 1.0)
        total += each.tokens * np.clip((edges - each.t_first_gen) / length, 0, 1)
    return np.diff(total)


@given(
    st.lists(
        st.tuples(st.integers(0, 40_000), st.integers(5, 30_000), st.integers(1, 500)),
        min_size=1,
        max_size=20,
    )
)
def test_tokens_a_second_are_those_of_answers_laid_out_one_by_one(given_answers):
    samples = [
        sample(first * 1_000_000, (first + length) * 1_000_000, tokens)
        for first, length, tokens in given_answers
    ]
    plain = laid_out_one_by_one(samples, report())
    told = report(token_events=round(plain.sum()))
    (segment,) = segments_of([told], sample_frame(samples))
    expected = plain * (told.token_events / plain.sum()) if plain.sum() else plain
    assert segment.rate == pytest.approx(expected, abs=1e-4)


def test_an_answer_of_one_moment_falls_into_its_second():
    (segment,) = segments_of([report()], sample_frame([sample(12 * SECOND + 5, 12 * SECOND + 5, 1)] * 3))
    assert np.flatnonzero(segment.rate).tolist() == [2]
    assert segment.rate.sum() == pytest.approx(1000)


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99, 0.001])
def test_ranks_are_the_quantiles_of_the_binomial(share):
    for count in (*range(1, 400), 1600, 100_000):
        low = int(binom.ppf(0.025, count, share))
        high = int(binom.ppf(0.975, count, share)) + 1
        assert ranks(count, share) == (None if low < 1 or high > count else (low, high)), count


def test_several_percentiles_are_each_the_one_asked_for_alone():
    values = np.random.default_rng(1).lognormal(size=500)
    assert percentiles(values, 0.5, 0.95) == (percentile(values, 0.5), percentile(values, 0.95))


def read(samples):
    """The arrays of requests, and their indexes in the same order."""
    rows, spans = together(sample_frame(samples))
    return arrays(rows, spans), rows.get_column("index").to_list()


def test_times_count_from_the_sending_in_a_closed_loop_and_from_being_due_in_an_open_one():
    closed = sample(2 * SECOND, 4 * SECOND, 5)
    found, _ = read([closed, sample(2 * SECOND, 4 * SECOND, 5, cell="short@2/s")])
    assert found.latency.tolist() == [3.0, 4.0]
    assert found.first_token.tolist() == [1.0, 2.0]


def test_failures_are_infinitely_slow_and_have_no_gap():
    found, _ = read(
        [
            sample(2 * SECOND, 4 * SECOND, 5),
            sample(2 * SECOND, 4 * SECOND, 5, outcome="truncated"),
            sample(None, None, 0, outcome="http_error"),
            sample(2 * SECOND, 2 * SECOND, 1),
        ]
    )
    assert found.latency.tolist() == [3.0, np.inf, np.inf, 1.0]
    assert found.first_token.tolist() == [1.0, 1.0, np.inf, 1.0]
    assert known(found.token_gap).tolist() == [0.5]
    assert [found.kinds[each] for each in found.outcome] == ["ok", "truncated", "http_error", "ok"]


def test_moments_keep_their_nanoseconds_on_a_clock_that_ran_for_a_year():
    year = 365 * 24 * 3600 * SECOND
    found, _ = read([sample(year + 1, year + 8, 8, t_send=year)])
    assert (found.latency[0], found.first_token[0], found.token_gap[0]) == (8 * 1e-9, 1e-9, 7 * 1e-9 / 7)


def test_segments_are_the_same_however_their_requests_are_mixed():
    recorded = synthetic_run((SyntheticArm("bare"), SyntheticArm("container")), segments=2, seconds=10)
    frame = sample_frame(recorded.samples)
    mixed = frame.sample(fraction=1.0, shuffle=True, seed=1)
    for one, two in zip(
        segments_of(recorded.reports, frame), segments_of(recorded.reports, mixed), strict=True
    ):
        assert one.rate == pytest.approx(two.rate)
        assert sorted(one.measured.latency) == sorted(two.measured.latency)
        assert sorted(one.measured.close) == sorted(two.measured.close)


def test_rows_that_stand_together_are_not_copied():
    recorded = synthetic_run((SyntheticArm("bare"),), segments=2, seconds=10)
    rows = sample_frame(recorded.samples)
    same, spans = together(rows)
    assert same is rows
    assert [rows[span.rows].select("arm", "cell", "segment").unique().rows() for span in spans] == [
        [span.key] for span in spans
    ]


def test_the_warm_up_is_left_out_wherever_it_stands():
    warm = [True, True, False, True, False]
    requests, order = read([sample(None, None, 0, index=i, warmup=each) for i, each in enumerate(warm)])
    assert order == [0, 1, 2, 3, 4]
    assert len(requests.measured) == 2
    assert len(requests.only(slice(0, 3)).measured) == 1


def test_a_segment_without_a_report_is_not_asked_when_it_was_due():
    rows = [sample(2 * SECOND, 4 * SECOND, 5), sample(2 * SECOND, 4 * SECOND, 5, cell="short@2/s")]
    frame = sample_frame(rows).drop("t_sched")
    (segment,) = segments_of([report()], frame)
    assert segment.measured.latency.tolist() == [3.0]


def test_a_report_without_requests_has_an_empty_segment():
    (segment,) = segments_of([report(segment=7)], sample_frame([sample(2 * SECOND, 4 * SECOND, 5)]))
    assert (len(segment.everything), segment.rate.sum()) == (0, 0)
    (segment,) = segments_of([report()], sample_frame([]))
    assert len(segment.measured) == 0
