"""`macfleet selftest`: how well the load client reads an engine whose truth is known, here and now."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import click

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.analysis.accuracy import Accuracy, Answered
    from macfleet.analysis.agreement import Beside
    from macfleet.model.json import Json
    from macfleet.model.load import LoadSpec, Sample, SegmentReport
    from macfleet.testing.hostile_streams import HostileStream

_TOKENS = 100
_FIRST_MS = 200.0
_BODY: Mapping[str, Json] = {
    "model": "golden",
    "messages": [{"role": "user", "content": "say what you are told"}],
    "stream": True,
}


@click.command(epilog="Example: macfleet selftest --seconds 30")
@click.option(
    "--streams", type=click.IntRange(1, 1024), default=64, show_default=True, help="Streams at once."
)
@click.option(
    "--rate", type=click.IntRange(1, 1000), default=50, show_default=True, help="Tokens/s a stream."
)
@click.option("--seconds", type=click.FloatRange(1, 3600), default=15.0, show_default=True, help="Window.")
@click.option("--alone", is_flag=True, help="Leave GuideLLM and AIPerf out, though they are on PATH.")
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
def selftest(streams: int, rate: int, seconds: float, output: str, *, alone: bool) -> int:
    """Measure the load client against an engine with an absolute schedule and stamps of its own.

    Client and engine are two processes on this machine. Hostile streams follow: every outcome and token
    count must be right. Where GuideLLM and AIPerf are on PATH they measure the same engine in turn, beside
    ours. Ends with 7 when a promise does not hold here, or the client was late itself.
    """
    from macfleet.analysis.accuracy import accuracy
    from macfleet.analysis.validity import client_was_late

    sys.stderr.write(f"⌛ {streams} streams × {rate} tokens/s for {seconds:g} s\n")
    with golden_engine(_TOKENS, _FIRST_MS, 1000 / rate) as url:
        spec = segment_of(url, streams, seconds)
        samples, answers, report = measured(spec)
    if not answers:
        raise MacfleetError(_nothing_whole(samples))
    window = (report.window_end - report.window_start) / 1e9
    found = accuracy(answers)
    if found is None:
        raise MacfleetError(_nothing_whole(samples))
    found = replace(found, cpu=report.cpu_share * window / max(report.token_events, 1))
    sys.stderr.write("⌛ hostile streams\n")
    wrong = misread_streams()
    late = client_was_late(report, samples)
    others = Others() if alone else _others(streams, rate, seconds)
    _print(found, wrong, report, others, late=late, output=output)
    return ExitCode.HELD if late or wrong or found.misses() else ExitCode.DONE


@dataclass(frozen=True, slots=True)
class Others:
    """Clients beside each other, ours first, and what went wrong with some; empty where none is installed."""

    runs: tuple[Beside, ...] = ()
    problems: tuple[str, ...] = ()


def _others(streams: int, rate: int, seconds: float) -> Others:
    from macfleet.cli.selftest_peers import beside, clients

    chosen = clients()
    if len(chosen) == 1:
        return Others()
    runs, problems = [], []
    for client in chosen:
        sys.stderr.write(f"⌛ {client.name}\n")
        try:
            runs.append(beside(client, streams, rate, seconds))
        except MacfleetError as error:
            problems += [f"{each.summary}: {each.why}" for each in error.diagnostics]
    return Others(tuple(runs), tuple(problems))


def measured(spec: LoadSpec) -> tuple[list[Sample], list[Answered], SegmentReport]:
    """Run one segment against a golden engine and match what both sides stamped.

    Only requests that were sent in the window and answered whole are matched.
    """
    import httpx

    from macfleet.loadgen.measure import measure
    from macfleet.model.nonce import nonce, with_nonce
    from macfleet.testing.golden_engine import STAMPS

    samples: list[Sample] = []
    moments: dict[int, list[int]] = {}
    report = measure(spec, samples.append, events=lambda sample, times: moments.update({sample.index: times}))
    lines = httpx.get(spec.base_url + STAMPS, timeout=30).text.splitlines()
    stamps = {each["body"]: each for each in map(json.loads, lines)}
    answers: list[Answered] = []
    for sample in samples:
        if sample.outcome != "ok" or sample.warmup:
            continue
        word = nonce(spec.nonce_key, spec.cell, spec.segment, sample.index)
        body = with_nonce(spec.fixtures[0].body, word)
        answers.append(_answered(sample, moments[sample.index], stamps[hashlib.sha256(body).hexdigest()]))
    return samples, answers, report


@contextmanager
def golden_engine(tokens: int, first_ms: float, gap_ms: float) -> Iterator[str]:
    """Run the golden engine in a process of its own; yields its address (raises MacfleetError E0940)."""
    command = [
        *(sys.executable, "-m", "macfleet.testing.golden_engine", "--tokens", str(tokens)),
        *("--first-ms", f"{first_ms:g}", "--gap-ms", f"{gap_ms:g}"),
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip() if process.stdout else ""
            if not url:
                raise MacfleetError(
                    Diagnostic("E0940", "the golden engine did not start", exit_code=ExitCode.INTERNAL)
                )
            yield url
        finally:
            process.kill()


def misread_streams() -> list[str]:
    """Read every hostile stream once; return in words those that were read wrongly."""
    from macfleet.testing.hostile_streams import HOSTILE_STREAMS

    return [f"{stream.name}: {why}" for stream in HOSTILE_STREAMS if (why := _misread(stream))]


def _misread(stream: HostileStream) -> str:
    from macfleet.loadgen.measure import measure
    from macfleet.testing.golden_engine import GoldenEngine, raw

    samples: list[Sample] = []
    with GoldenEngine(raw(*stream.pieces, pause=0.001)) as engine:
        measure(replace(segment_of(engine.url, 1, 20), max_requests=1, stall_timeout=0.3), samples.append)
    [sample] = samples
    found = (sample.outcome, sample.tokens, sample.token_source)
    wanted = (stream.outcome, stream.tokens, stream.source)
    return "" if found == wanted else f"{found} instead of {wanted}"


def segment_of(url: str, streams: int, seconds: float) -> LoadSpec:
    """Return the segment a golden engine is loaded with."""
    from macfleet.model.load import FixtureBody, LoadSpec

    return LoadSpec(
        base_url=url,
        route="/v1/chat/completions",
        fixtures=(FixtureBody("golden", _BODY),),
        cell=f"golden×{streams}",
        segment=0,
        arm="golden",
        concurrency=streams,
        duration=seconds,
        # Streams enter over half of it, so that their tokens do not arrive in step.
        warmup=4.0 if streams > 1 else 0.0,
        grace=10.0,
        nonce_key="selftest",
    )


def _answered(sample: Sample, read: Sequence[int], stamp: Mapping[str, Json]) -> Answered:
    from macfleet.analysis.accuracy import Answered

    received, sent = stamp["received"], stamp["sent"]
    if not isinstance(received, int) or not isinstance(sent, list):
        raise TypeError("a stamp of the golden engine has another form")
    return Answered(sample.t_send or 0, tuple(read), received, tuple(map(int, sent)), sample.tokens)


def _nothing_whole(samples: Sequence[Sample]) -> Diagnostic:
    ends = sorted({sample.outcome for sample in samples})
    return Diagnostic(
        "E0941",
        "no answer was complete inside the window, so there is nothing to compare",
        why=f"Requests ended as: {', '.join(ends) or 'none was sent'}.",
        mend="Give it longer: macfleet selftest --seconds 30",
        exit_code=ExitCode.HELD,
    )


def _print(
    found: Accuracy,
    wrong: Sequence[str],
    report: SegmentReport,
    others: Others,
    *,
    late: bool,
    output: str,
) -> None:
    from macfleet.testing.hostile_streams import HOSTILE_STREAMS
    from macfleet.views.selftest import beside_lines, selftest_lines

    if output == "json":
        document = {
            "schema": 1,
            "kind": "selftest",
            "accuracy": asdict(found),
            "misses": list(found.misses()),
            "hostile": {"streams": len(HOSTILE_STREAMS), "misread": list(wrong)},
            "client": {
                "invalid": late,
                "loop_lag_p99": report.loop_lag_p99,
                "cpu_share": report.cpu_share,
                "without_cpu": report.without_cpu,
            },
            "beside": [asdict(each) | {"misses": list(each.misses())} for each in others.runs],
            "not_beside": list(others.problems),
        }
        sys.stdout.write(json.dumps(document) + "\n")
        return
    lines = selftest_lines(found, wrong, len(HOSTILE_STREAMS), report, late=late)
    lines += beside_lines(others.runs, others.problems)
    sys.stdout.write("\n".join(lines) + "\n")
