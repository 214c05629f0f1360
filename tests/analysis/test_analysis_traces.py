import pytest

from macfleet.analysis.frames import sample_frame, series_frame
from macfleet.analysis.traces import trace
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

BARE = SyntheticArm("bare", rate=50)
CONTAINER = SyntheticArm("container", rate=40, iowait=7, memory=71, errors=0.2)


def traced(*arms, **spec):
    run = synthetic_run(arms or (BARE, CONTAINER), **spec)
    frames = sample_frame(run.samples), run.reports, series_frame(run.series)
    return trace("r1", "mac-01", *frames), run


def test_a_distribution_ends_below_one_by_the_share_that_failed():
    found, _ = traced()
    by_arm = {each.arm: each for each in found.distributions if each.cell == "short×4"}
    assert by_arm["bare"].curve.y[-1] == 1.0
    spoilt = by_arm["container"]
    assert spoilt.failed > 0
    assert spoilt.curve.y[-1] == pytest.approx(1 - spoilt.failed / spoilt.n)


def test_a_distribution_climbs_and_its_median_is_the_requests_median():
    found, run = traced(seconds=120)
    [curve] = [d.curve for d in found.distributions if (d.arm, d.cell) == ("bare", "short×1")]
    assert list(curve.x) == sorted(curve.x)
    assert list(curve.y) == sorted(curve.y)
    own = [s for s in run.samples if (s.arm, s.cell, s.warmup) == ("bare", "short×1", False)]
    times = sorted((s.t_last_gen - s.t_send) / 1e9 for s in own)
    crossed = next(x for x, y in zip(curve.x, curve.y, strict=True) if y >= 0.5)
    assert crossed == pytest.approx(times[len(times) // 2], rel=0.02)


def test_bands_stand_in_the_order_of_the_run_on_one_clock_from_zero():
    found, run = traced()
    assert len(found.bands) == len(run.reports)
    assert found.bands[0].start == 0
    starts = [band.start for band in found.bands]
    assert starts == sorted(starts)
    assert all(band.end - band.start == pytest.approx(1.0) for band in found.bands)


def test_a_bands_tokens_add_up_to_the_events_the_client_counted():
    found, run = traced()
    for band, report in zip(found.bands, sorted(run.reports, key=lambda r: r.wall_start), strict=True):
        mean = sum(band.tokens.y) / len(band.tokens.y)
        assert mean * 60 == pytest.approx(report.token_events, rel=0.02)


def test_a_series_breaks_where_nothing_was_sampled():
    found, _ = traced()
    iowait = found.environment["VM iowait"]
    assert None in iowait.y
    assert {value for value in iowait.y if value is not None}
    assert "host memory" in found.environment


def test_first_tokens_are_grouped_by_prompt_length_and_concurrency():
    found, _ = traced()
    assert {(each.arm, each.concurrency) for each in found.first_tokens} == {
        ("bare", 1),
        ("bare", 4),
        ("container", 1),
        ("container", 4),
    }
    assert all(each.seconds[0] > 0 and sum(each.n) > 0 for each in found.first_tokens)


def test_nothing_recorded_gives_an_empty_trace():
    found = trace("r1", "mac-01", sample_frame([]), [], series_frame([]))
    assert (found.distributions, found.bands, found.environment, found.first_tokens) == ((), (), {}, ())
