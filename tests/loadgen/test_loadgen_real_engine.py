"""The client against a real llama-server with a tiny random model: counts must agree exactly."""

import pytest
from real_engines import llama_server

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
    with llama_server(tmp_path_factory.mktemp("weights")) as url:
        yield url


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
