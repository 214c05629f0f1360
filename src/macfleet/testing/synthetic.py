"""Runs that never happened: seeded samples, reports and series with planted properties."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from macfleet.model.json import Json
from macfleet.model.load import RequestOutcome, Sample, SegmentReport

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SyntheticArm:
    """What an arm is made to look like.

    Attributes:
        rate: generated tokens a second of one stream.
        first_token: median seconds to the first token.
        spread: sigma of the lognormal noise on each request.
        queueing: how much each further stream lengthens a request, as a share of it.
        errors: share of requests that end in ``http_503``.
        iowait, psi: percent, None where the arm has no VM; memory: host used percent.
    """

    name: str
    rate: float = 50.0
    first_token: float = 0.2
    spread: float = 0.1
    queueing: float = 0.05
    errors: float = 0.0
    iowait: float | None = None
    psi: float | None = None
    memory: float = 50.0


@dataclass(frozen=True, slots=True)
class SyntheticRun:
    """Everything a client and a sampler would have recorded on one node."""

    samples: tuple[Sample, ...]
    reports: tuple[SegmentReport, ...]
    series: tuple[dict[str, Json], ...]


def synthetic_run(
    arms: Sequence[SyntheticArm],
    *,
    cells: Sequence[str] = ("short×1", "short×4"),
    segments: int = 4,
    seconds: int = 60,
    tokens: int = 32,
    run_spread: float = 0.01,
    seed: int = 1,
) -> SyntheticRun:
    """Return interleaved segments of every arm and cell, the same for the same seed.

    Args:
        arms: what each arm looks like.
        cells: names such as ``short×4``.
        segments: segments of each arm and cell.
        seconds: length of each window.
        tokens: generated tokens of each answer.
        run_spread: sigma of the lognormal noise that a whole segment shares.
        seed: of everything random.
    """
    dice = random.Random(seed)  # noqa: S311  (figures for tests, no secrets)
    samples: list[Sample] = []
    reports: list[SegmentReport] = []
    series: list[dict[str, Json]] = []
    clock = 1_000 * _SECOND
    for cell in cells:
        for segment in range(segments):
            for arm in arms:
                drift = math.exp(dice.gauss(0, run_spread))
                own = _requests(arm, cell, segment, clock, seconds, tokens, drift, dice)
                samples += own
                reports.append(_report(arm, cell, segment, clock, seconds, own))
                series += _series(arm, cell, segment, clock, seconds, dice)
                clock += (seconds + 5) * _SECOND
    return SyntheticRun(tuple(samples), tuple(reports), tuple(series))


def _requests(
    arm: SyntheticArm,
    cell: str,
    segment: int,
    start: int,
    seconds: int,
    tokens: int,
    drift: float,
    dice: random.Random,
) -> list[Sample]:
    # Of an open loop one stream is played.
    concurrency = int(cell.rpartition("×")[2]) if "×" in cell else 1
    end = start + seconds * _SECOND
    found: list[Sample] = []
    for stream in range(concurrency):
        now = start - _SECOND + stream * 1_000_000
        while now < end:
            slow = drift * math.exp(dice.gauss(0, arm.spread)) * (1 + arm.queueing * (concurrency - 1))
            first = now + round(arm.first_token * slow * _SECOND)
            last = first + round((tokens - 1) / arm.rate * slow * _SECOND)
            failed = dice.random() < arm.errors
            found.append(
                _sample(arm, cell, segment, len(found), now, first, last, tokens, failed, now < start)
            )
            now = last + 1_000_000
    return found


def _sample(
    arm: SyntheticArm,
    cell: str,
    segment: int,
    index: int,
    sent: int,
    first: int,
    last: int,
    tokens: int,
    failed: bool,  # noqa: FBT001  (private, beside its siblings)
    warmup: bool,  # noqa: FBT001  (private, beside its siblings)
) -> Sample:
    return Sample(
        cell=cell,
        segment=segment,
        arm=arm.name,
        index=index,
        fixture=f"{cell.rpartition('×')[0]}-{index % 3}",
        outcome="http_503" if failed else RequestOutcome.OK.value,
        status=503 if failed else 200,
        t_sched=sent,
        t_send=sent,
        t_headers=sent + 1_000_000,
        t_first_event=None if failed else first,
        t_first_gen=None if failed else first,
        t_first_visible=None if failed else first,
        t_last_gen=None if failed else last,
        t_close=last,
        tokens=0 if failed else tokens,
        token_source="events" if failed else "usage",
        prompt_tokens=None if failed else 120,
        cached_tokens=None if failed else 5,
        bytes_read=tokens * 100,
        reused=index > 0,
        warmup=warmup,
    )


def _report(
    arm: SyntheticArm, cell: str, segment: int, start: int, seconds: int, samples: Sequence[Sample]
) -> SegmentReport:
    end = start + seconds * _SECOND
    inside = sum(1 for sample in samples for moment in _moments(sample) if start <= moment < end)
    return SegmentReport(
        cell=cell,
        segment=segment,
        arm=arm.name,
        window_start=start,
        window_end=end,
        wall_start=start + 1_700_000_000 * _SECOND,
        token_events=inside,
        requests=sum(not sample.warmup for sample in samples),
        loop_lag_p99=0.001,
        dispatch_delay_p95=0.0005,
        cpu_share=0.1,
        client_version="0.1.0",
        archive="sha256:" + "0" * 64,
        python="3.11.2",
    )


def _moments(sample: Sample) -> list[int]:
    if sample.t_first_gen is None or sample.t_last_gen is None:
        return []
    step = (sample.t_last_gen - sample.t_first_gen) / max(sample.tokens - 1, 1)
    return [round(sample.t_first_gen + step * position) for position in range(sample.tokens)]


def _series(
    arm: SyntheticArm, cell: str, segment: int, start: int, seconds: int, dice: random.Random
) -> list[dict[str, Json]]:
    def around(value: float | None) -> float | None:
        return None if value is None else max(0.0, value + dice.gauss(0, 0.5))

    return [
        {
            "t_wall_ns": start + (1_700_000_000 + second) * _SECOND,
            "host_used_pct": around(arm.memory),
            "host_pressure_level": 1,
            "swapouts": 0,
            "vm_iowait_pct": around(arm.iowait),
            "vm_steal_pct": None if arm.iowait is None else 0.0,
            "vm_psi_io_some_avg10": around(arm.psi),
            "vm_mem_used": None if arm.iowait is None else 4 * 2**30,
            "arm": arm.name,
            "cell": cell,
            "segment": segment,
        }
        for second in range(seconds)
    ]
