"""GuideLLM and AIPerf beside our load client, where they are installed: one engine, one load, in turn."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.analysis.agreement import Beside, Reading
    from macfleet.store.imports_reading import Values
    from macfleet.testing.cpu_clock import CpuClock

TOKENS, FIRST_MS = 100, 200.0
RAMP = 3.0
"""Seconds over which the streams enter, so that their tokens do not arrive in step."""
_LIMIT = 180.0


@dataclass(frozen=True, slots=True)
class Client:
    """A load client as it is started.

    Attributes:
        argv: the program, and arguments with ``{url}``, ``{streams}``, ``{seconds}``, ``{ramp}`` to fill in.
        leaves: file it leaves in its working directory, or what it writes to standard output.
        read: makes a reading of that file; None when no answer is in it.
    """

    name: str
    argv: Sequence[str]
    leaves: str
    read: Callable[[Path], Reading | None]
    env: Mapping[str, str] = field(default_factory=dict)


def clients() -> tuple[Client, ...]:
    """Return ours and those of the others that are on PATH; ours alone when there is no other."""
    return (_OURS, *(each for each in (_guidellm(), _aiperf()) if shutil.which(each.argv[0])))


def beside(client: Client, streams: int, rate: int, seconds: float) -> Beside:
    """Load a golden engine with a client and hold what it reports against the engine's own stamps.

    Raises:
        MacfleetError: E1069 the client failed, took more than three minutes, or reported no answer.
    """
    import httpx

    from macfleet.analysis.agreement import Answer, Beside, reading
    from macfleet.cli.selftest import golden_engine
    from macfleet.testing.golden_engine import STAMPS

    with tempfile.TemporaryDirectory() as name, golden_engine(TOKENS, FIRST_MS, 1000 / rate) as url:
        folder = Path(name)
        clock = _run(client, folder, url, streams, seconds)
        lines = httpx.get(url + STAMPS, timeout=60).text.splitlines()
        own = client.read(folder / client.leaves)
    stamps = [(each["received"], each["sent"]) for each in map(json.loads, lines) if each["sent"]]
    truth = reading([Answer(asked, s[0], s[-1], TOKENS) for asked, s in stamps if len(s) == TOKENS])
    if own is None or truth is None:
        raise MacfleetError(_failed(client, "It reported no answer."))
    return Beside(client.name, own, truth, _cpu_an_event(clock, stamps))


def _cpu_an_event(clock: CpuClock, stamps: Sequence[tuple[int, list[int]]]) -> float | None:
    """CPU seconds over events, from when every stream had entered to the last request's arrival."""
    received = [asked for asked, _ in stamps]
    start, end = min(received) + round((RAMP + 0.5) * 1e9), max(received)
    events = sum(start <= moment < end for _, sent in stamps for moment in sent)
    used = clock.used(start, end)
    return used / events if used is not None and events else None


def _run(client: Client, folder: Path, url: str, streams: int, seconds: float) -> CpuClock:
    from macfleet.testing.cpu_clock import CpuClock

    _write_tokenizer(folder / "golden")
    filled = {"url": url, "streams": streams, "seconds": f"{seconds + RAMP:g}", "ramp": f"{RAMP:g}"}
    argv = [each.format_map(filled) for each in client.argv]
    with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as err:
        process = subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.PIPE, stdout=out, stderr=err, env=os.environ | client.env
        )
        with CpuClock(process.pid) as clock:
            try:
                process.communicate(_job(url, streams, seconds), timeout=_LIMIT)
            except subprocess.TimeoutExpired as error:
                process.terminate()
                process.wait()
                raise MacfleetError(_failed(client, f"It did not end within {_LIMIT:g} s.")) from error
    if process.returncode:
        said = [
            (folder / each).read_text(encoding="utf-8", errors="replace") for each in ("stdout", "stderr")
        ]
        raise MacfleetError(_failed(client, f"Exit status {process.returncode}: {''.join(said)[-600:]}"))
    return clock


def _job(url: str, streams: int, seconds: float) -> bytes:
    """Return the segment our client reads; it spreads its streams over half of the warm-up."""
    from macfleet.cli.selftest import segment_of

    spec = replace(segment_of(url, streams, seconds), warmup=2 * RAMP if streams > 1 else RAMP)
    return json.dumps(spec.document()).encode()


def _write_tokenizer(folder: Path) -> None:
    """Write a tokenizer of a thousand words: the others want one, and no hub is asked for it."""
    words = {"<unk>": 0} | {f"w{number}": number for number in range(1, 1000)}
    document = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    }
    special = dict.fromkeys(("unk_token", "pad_token", "eos_token"), "<unk>")
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def _read_ours(path: Path) -> Reading | None:
    from macfleet.analysis.agreement import Answer, reading

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    samples = [each["sample"] for each in lines if "sample" in each]
    return reading(
        [
            Answer(each["t_send"], each["t_first_gen"], each["t_last_gen"], each["tokens"])
            for each in samples
            if each["outcome"] == "ok"
        ]
    )


_OURS = Client("macfleet", (sys.executable, "-m", "macfleet.loadgen", "measure"), "stdout", _read_ours)


def _guidellm() -> Client:
    argv = [
        *("guidellm", "run", "--disable-console", "--tokenizer", "kind=hf_auto,model=golden"),
        *("--backend", "kind=openai_http,target={url},model=golden"),
        *("--profile", "kind=concurrent,streams={streams},rampup_duration={ramp}"),
        *("--constraint", "kind=max_duration,seconds={seconds}"),
        *("--data", f"kind=synthetic_text,prompt_tokens=16,output_tokens={TOKENS}"),
        *("--output", "kind=json,path=guidellm.json"),
    ]
    return Client("GuideLLM", argv, "guidellm.json", _read_guidellm, {"HF_HUB_OFFLINE": "1"})


def _read_guidellm(path: Path) -> Reading | None:
    from macfleet.store.imports_reading import Values, read_documents

    [document] = read_documents(path)[1]
    answers = Values(document, path.name).at("benchmarks", 0).items("requests", "successful")
    columns = ("time_to_first_token_ms", "inter_token_latency_ms", "output_tokens_per_second")
    return _medians([[each.number(name) for name in columns] for each in answers])


def _aiperf() -> Client:
    argv = [
        # Its tokenizer must be a relative path, and its offline mode refuses paths.
        *("aiperf", "profile", "--model", "golden", "--tokenizer", "./golden", "--url", "{url}"),
        *(
            "--endpoint-type",
            "chat",
            "--streaming",
            "--isl",
            "16",
            "--osl",
            str(TOKENS),
            "--random-seed",
            "1",
        ),
        *("--concurrency", "{streams}", "--concurrency-ramp-duration", "{ramp}"),
        *("--benchmark-duration", "{seconds}", "--use-server-token-count", "--use-legacy-max-tokens"),
        *("--ui", "none", "--no-gpu-telemetry", "--no-server-metrics"),
        *("--output-artifact-dir", "out", "--export-level", "records"),
    ]
    return Client("AIPerf", argv, "out/profile_export.jsonl", _read_aiperf)


def _read_aiperf(path: Path) -> Reading | None:
    from macfleet.store.imports_reading import Values, read_documents

    columns = ("time_to_first_token", "inter_token_latency", "e2e_output_token_throughput")
    records: list[Values] = [Values(each, path.name).at("metrics") for each in read_documents(path)[1]]
    return _medians([[each.number(name, "value") for name in columns] for each in records])


def _medians(rows: Sequence[Sequence[float | None]]) -> Reading | None:
    """Return the medians of rows of milliseconds, milliseconds and tokens/s; failed requests lack them."""
    import statistics

    from macfleet.analysis.agreement import Reading

    whole = [[each for each in row if each is not None] for row in rows if None not in row]
    if not whole:
        return None
    ttft, itl, rate = (statistics.median(column) for column in zip(*whole, strict=True))
    return Reading(len(whole), ttft / 1e3, itl / 1e3, rate)


def _failed(client: Client, why: str) -> Diagnostic:
    return Diagnostic(
        "E1069",
        f"{client.name} could not be put beside ours",
        why=why,
        mend="Leave it out: macfleet selftest --alone",
        exit_code=ExitCode.HELD,
    )
