"""Arrays and slices held against a reduction request by request: the same to the last bit."""

import math
import random
from bisect import bisect_right
from collections import Counter
from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest

from macfleet.analysis.bootstrap import mean_interval
from macfleet.analysis.cells import summarise
from macfleet.analysis.percentiles import ranks
from macfleet.model.run import Interval
from macfleet.testing.synthetic import SyntheticArm, synthetic_run

NANO = 1e-9
CLOSED, OPEN = ("short×1", "short×4"), ("short@1/s", "short@4/s")


def never_sent(sample, _):
    return replace(sample, t_send=None)


def silent(sample, _):
    return replace(sample, t_first_gen=None, t_last_gen=None, tokens=0, outcome="no_text", status=0)


def of_few_tokens(sample, dice):
    tokens = dice.choice([1, 2, 3])
    first = sample.t_send + 10**6
    return replace(sample, tokens=tokens, t_first_gen=first, t_last_gen=first + (tokens - 1) * 10**7)


def cached(sample, dice):
    return replace(sample, cached_tokens=dice.choice([None, 0, 20]), prompt_tokens=dice.choice([None, 300]))


def warm(sample, _):
    return replace(sample, warmup=True)


def cut(sample, dice):
    return replace(sample, t_last_gen=None, outcome=dice.choice(["truncated", "censored"]), status=503)


def late(sample, dice):
    return replace(sample, t_sched=sample.t_sched - dice.randrange(10**9))


def plain_percentile(values, share):
    ordered = sorted(values)
    if not ordered:
        return Interval(math.inf)
    value = ordered[max(math.ceil(len(ordered) * share) - 1, 0)]
    bounds = ranks(len(ordered), share)
    return Interval(value, ordered[bounds[0] - 1], ordered[bounds[1] - 1]) if bounds else Interval(value)


def begun(sample):
    return sample.t_sched if sample.cell.endswith("/s") else sample.t_send


def latency(sample):
    done = sample.outcome == "ok" and sample.t_send is not None and sample.t_last_gen is not None
    return (sample.t_last_gen - begun(sample)) * NANO if done else math.inf


def first_token(sample):
    reached = sample.t_send is not None and sample.t_first_gen is not None
    return (sample.t_first_gen - begun(sample)) * NANO if reached else math.inf


def gaps(samples):
    several = [s for s in samples if s.outcome == "ok" and s.tokens > 1 and s.t_first_gen is not None]
    return [(s.t_last_gen - s.t_first_gen) * NANO / (s.tokens - 1) for s in several if s.t_last_gen]


def summed(edges, weights):
    """Sums of (moment, weight) up to each edge, added one after the other."""
    ordered = sorted(weights, key=lambda each: each[0])
    sums = [0.0, *accumulate(weight for _, weight in ordered)]
    return [sums[bisect_right(ordered, edge, key=lambda each: each[0])] for edge in edges]


def rate(report, samples):
    """Tokens in each second of the window, answer by answer."""
    start = report.window_start
    edges = [(edge - start) * NANO for edge in range(start, report.window_end + 1, 10**9)]
    answers = [
        ((s.t_first_gen - start) * NANO, (s.t_last_gen - s.t_first_gen) * NANO, float(s.tokens))
        for s in samples
        if s.t_first_gen is not None and s.t_last_gen is not None and s.tokens
    ]
    if not answers:
        return np.zeros(len(edges) - 1)
    lasting = [
        (begin, begin + length, tokens / length) for begin, length, tokens in answers if length >= 1e-3
    ]
    steps = summed(edges, [(begin, tokens) for begin, length, tokens in answers if length < 1e-3])
    on = summed(edges, [(begin, speed) for begin, _, speed in lasting])
    on_since = summed(edges, [(begin, speed * begin) for begin, _, speed in lasting])
    off = summed(edges, [(last, speed) for _, last, speed in lasting])
    off_since = summed(edges, [(last, speed * last) for _, last, speed in lasting])
    laid_out = [
        edge * (a - b) - (c - d) + step
        for edge, a, b, c, d, step in zip(edges, on, off, on_since, off_since, steps, strict=True)
    ]
    found = np.diff(list(accumulate(laid_out, max)))
    found[found < 1e-9 * sum(tokens for _, _, tokens in answers)] = 0
    return found * (report.token_events / found.sum()) if found.sum() else found


def plainly(samples, reports):
    """The figures of each arm and cell, by its name."""
    found = {}
    for key in sorted({(report.arm, report.cell) for report in reports}):
        own = sorted((r for r in reports if (r.arm, r.cell) == key), key=lambda each: each.segment)
        parts = [[s for s in samples if (s.arm, s.cell, s.segment) == (*key, r.segment)] for r in own]
        kept = [[s for s in part if not s.warmup] for part in parts]
        sent = [s for part in kept for s in part]
        seconds = sum((r.window_end - r.window_start) * NANO for r in own)
        told = [s.cached_tokens for s in sent if s.cached_tokens is not None]
        rates = mean_interval([rate(r, part) for r, part in zip(own, parts, strict=True)])
        tokens = sum(r.token_events for r in own) / seconds
        margin = None if rates.low is None else (rates.high - rates.low) / 2
        found[key] = {
            "n": len(sent),
            "ok": sum(s.outcome == "ok" for s in sent),
            "outcomes": dict(sorted(Counter(s.outcome for s in sent).items())),
            "status": dict(sorted(Counter(str(s.status) for s in sent).items())),
            "qps": sum(
                s.outcome == "ok" and r.window_start <= s.t_close <= r.window_end
                for r, part in zip(own, parts, strict=True)
                for s in part
            )
            / seconds,
            "p50": plain_percentile(map(latency, sent), 0.50),
            "p95": plain_percentile(map(latency, sent), 0.95),
            "p99": plain_percentile(map(latency, sent), 0.99),
            "ttft_p50": plain_percentile(map(first_token, sent), 0.50),
            "ttft_p95": plain_percentile(map(first_token, sent), 0.95),
            "itl_p50": plain_percentile(gaps(sent), 0.50),
            "itl_p95": plain_percentile(gaps(sent), 0.95),
            "segment_p95": tuple(plain_percentile(map(latency, part), 0.95).value for part in kept),
            "cached_tokens": sum(told) if told else None,
            "tokens_per_second": Interval(tokens)
            if margin is None
            else Interval(tokens, tokens - margin, tokens + margin),
        }
    return found


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize(
    ("spoil", "share", "cells"),
    [
        (never_sent, 0.2, CLOSED),
        (silent, 0.2, CLOSED),
        (of_few_tokens, 0.3, CLOSED),
        (cached, 1.0, CLOSED),
        (warm, 0.1, CLOSED),
        (cut, 0.1, CLOSED),
        (late, 1.0, OPEN),
        (silent, 1.0, CLOSED),
    ],
)
def test_a_runs_figures_are_those_of_its_requests_one_by_one(spoil, share, cells, mixed):
    dice = random.Random(f"{spoil.__name__} {mixed}")  # noqa: S311 (samples, not secrets)
    arms = [SyntheticArm("bare", errors=0.1), SyntheticArm("container", rate=40)]
    run = synthetic_run(arms, cells=cells, segments=2, seconds=20)
    samples = [spoil(sample, dice) if dice.random() < share else sample for sample in run.samples]
    if mixed:
        dice.shuffle(samples)
    plain = plainly(samples, run.reports)
    found = summarise(samples, run.reports, node="mac-01")
    assert [(cell.arm, cell.cell) for cell in found] == list(plain)
    for cell in found:
        expected = plain[cell.arm, cell.cell]
        assert {name: getattr(cell, name) for name in expected} == expected
