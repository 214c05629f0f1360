"""Token counts against real engines: ours, the usage each engine reports, and the pieces of text it sent."""

import httpx
import pytest
from real_engines import llama_server, mlx_server

from macfleet.loadgen.measure import measure
from macfleet.loadgen.probe import ProbeJob, PromisedRoute, probe
from macfleet.model.load import FixtureBody, LoadSpec
from macfleet.model.nonce import nonce, with_nonce

ROUTE = "/v1/chat/completions"
MODELS = {"llama-server": "small-chat", "mlx_lm.server": "default_model"}
PROMPTS = [
    ("hello", 1),
    ("hello", 2),
    ("count the words of this sentence, please", 24),
    ("Zeilen\n\n\twith tabs,  spaces  and «ünïcode» 🙂", 57),
    ("long " * 200, 128),
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=MODELS)
def engine(request, tmp_path_factory):
    start = {"llama-server": llama_server, "mlx_lm.server": mlx_server}[request.param]
    with start(tmp_path_factory.mktemp("engine")) as url:
        yield request.param, url


def body(model, prompt, tokens):
    return {
        "model": model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": tokens,
        "temperature": 0,
        "ignore_eos": True,
        "messages": [{"role": "user", "content": prompt}],
    }


def sampled(url, fixture):
    """One request of ours, and the moments of its text."""
    found = []
    spec = LoadSpec(
        url, ROUTE, (FixtureBody("f", fixture),), "c×1", 0, "bare", 1, 60.0, nonce_key="h", max_requests=1
    )
    measure(spec, lambda _: None, events=lambda sample, moments: found.append((sample, moments)))
    [(sample, moments)] = found
    return sample, moments


def told(url, fixture):
    """The engine's own usage for the very bytes ours sent, asked without a stream by another client."""
    whole = {key: value for key, value in fixture.items() if key not in ("stream", "stream_options")}
    # The nonce stands before the prompt in either body.
    content = with_nonce(whole, nonce("h", "c×1", 0, 0))
    head = {"content-type": "application/json"}
    return httpx.post(url + ROUTE, content=content, headers=head, timeout=60).json()["usage"]


@pytest.mark.parametrize(("prompt", "tokens"), PROMPTS)
def test_our_count_is_the_engines_usage_and_the_number_of_pieces_of_text(engine, prompt, tokens):
    name, url = engine
    fixture = body(MODELS[name], prompt, tokens)
    sample, moments = sampled(url, fixture)
    usage = told(url, fixture)
    assert (sample.outcome, sample.token_source) == ("ok", "usage")
    assert sample.tokens == usage["completion_tokens"] == tokens
    assert sample.prompt_tokens == usage["prompt_tokens"]
    assert len(moments) == tokens


@pytest.mark.parametrize(("prompt", "tokens"), PROMPTS)
def test_without_usage_the_pieces_are_counted_and_marked_as_such(engine, prompt, tokens):
    name, url = engine
    fixture = body(MODELS[name], prompt, tokens)
    del fixture["stream_options"]
    sample, _ = sampled(url, fixture)
    assert sample.outcome == "ok"
    assert (sample.tokens, sample.token_source) == (tokens, "events")


@pytest.fixture(scope="module")
def apples_engine(tmp_path_factory):
    with mlx_server(tmp_path_factory.mktemp("engine")) as url:
        yield url


@pytest.mark.parametrize(
    ("route", "problems", "notes"),
    [
        (PromisedRoute(ROUTE, stream=True, usage=True), [], ['object is "chat.completion", not', "refusal"]),
        (PromisedRoute(ROUTE, stream=False, usage=True), [], ["refusal"]),
        (PromisedRoute("/v1/completions", stream=True, usage=True), [], ["a chunk's object is", "refusal"]),
        (PromisedRoute("/v1/completions", stream=False, usage=True), [], ["refusal"]),
        (PromisedRoute("/v1/embeddings", False, False), ["status 404 instead of 200", "is not refused"], []),
        (PromisedRoute("/v1/models", False, False), [], ["owned_by is missing", "does not name"]),
    ],
)
def test_the_probe_finds_of_apples_engine_what_the_page_about_endpoints_says(
    apples_engine, route, problems, notes
):
    [found] = probe(ProbeJob("bare", apples_engine, (route,), "default_model", 30.0)).routes
    assert all(word in text for word, text in zip(problems, found.problems, strict=True))
    assert all(word in text for word, text in zip(notes, found.notes, strict=True))
