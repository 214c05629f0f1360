import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from macfleet.analysis.agreement import Beside, Reading
from macfleet.cli import selftest_peers
from macfleet.cli.selftest_peers import beside, clients
from macfleet.model.diagnostic import MacfleetError
from macfleet.testing.cpu_clock import CpuClock, cpu_below
from macfleet.views.selftest import beside_lines


@pytest.fixture
def peers(tmp_path, monkeypatch):
    """Programs of the peers' names that only end, in front of PATH."""
    for name in ("guidellm", "aiperf"):
        (tmp_path / name).write_text("#!/bin/sh\necho no such option >&2\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_peers_that_are_installed_stand_beside_ours(peers):
    assert [client.name for client in clients()] == ["macfleet", "GuideLLM", "AIPerf"]


def test_a_peer_that_fails_is_named_with_its_last_words(peers):
    with pytest.raises(MacfleetError) as caught:
        beside(clients()[1], 1, 50, 1)
    [found] = caught.value.diagnostics
    assert found.code == "E1069"
    assert "GuideLLM" in found.summary
    assert "Exit status 3: no such option" in found.why


@pytest.mark.slow
def test_our_own_client_is_held_against_the_stamps_of_the_engine(monkeypatch):
    monkeypatch.setattr(selftest_peers, "RAMP", 0.2)
    monkeypatch.setattr(selftest_peers, "TOKENS", 10)
    found = beside(clients()[0], 2, 100, 1.0)
    assert found.client == "macfleet"
    assert found.reading.answers == found.truth.answers > 2
    # Read after written: never less than the truth, however busy the machine is.
    assert found.reading.ttft >= found.truth.ttft >= 0.2


def test_guidellms_report_is_read_in_its_own_figures(tmp_path):
    file = tmp_path / "guidellm.json"
    answers = [
        {"time_to_first_token_ms": ttft, "inter_token_latency_ms": 20.0, "output_tokens_per_second": 45.0}
        for ttft in (201.0, 203.0, 202.0)
    ]
    failed = [
        {"time_to_first_token_ms": None, "inter_token_latency_ms": None, "output_tokens_per_second": None}
    ]
    requests = {"successful": answers + failed, "errored": []}
    file.write_text(json.dumps({"benchmarks": [{"requests": requests}]}))
    assert selftest_peers._guidellm().read(file) == Reading(3, 0.202, 0.020, 45.0)


def test_aiperfs_records_are_read_and_failed_requests_left_out(tmp_path):
    file = tmp_path / "records.jsonl"
    metrics = {
        "time_to_first_token": {"value": 202.0, "unit": "ms"},
        "inter_token_latency": {"value": 20.0, "unit": "ms"},
        "e2e_output_token_throughput": {"value": 45.0, "unit": "tokens/sec/user"},
    }
    lines = [{"metadata": {}, "metrics": metrics}, {"metadata": {}, "metrics": {}, "error": {"code": 500}}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert selftest_peers._aiperf().read(file) == Reading(1, 0.202, 0.020, 45.0)


def test_the_table_says_what_each_client_read_and_where_one_is_wrong():
    truth = Reading(100, 0.2, 0.02, 45.0)
    runs = (
        Beside("macfleet", truth, truth, 35e-6),
        Beside("other", replace(truth, ttft=0.0023), truth, None),
    )
    text = "\n".join(beside_lines(runs, ["AIPerf could not be put beside ours"]))
    assert "35 µs" in text
    assert "not measured" in text
    assert "! other reads TTFT 2.30 ms instead of 200.00 ms" in text
    assert "! AIPerf could not be put beside ours" in text
    assert beside_lines((), ()) == []


_BUSY_CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
_SPIN = "import time\nwhile time.process_time() < 0.3: pass\nprint('spun', flush=True)\ninput()"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_cpu_of_a_process_below_counts_and_stays_counted_when_it_ends():
    program = [sys.executable, "-c", _BUSY_CHILD, _SPIN]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"spun\n"
        assert cpu_below(process.pid) >= 0.3
        process.communicate(b"\n")
    assert cpu_below(process.pid) is None


def test_a_stretch_that_was_not_watched_has_no_figure():
    with CpuClock(os.getpid()) as clock:
        pass
    now = time.monotonic_ns()
    assert clock.used(now, now + 1) is None
    assert clock.used(0, now) is None
