"""Streams as real engines and broken ones send them, through a socket: outcome, tokens, first text."""

import pytest

from macfleet.loadgen.measure import measure
from macfleet.model.load import FixtureBody, LoadSpec
from macfleet.testing.golden_engine import DONE, END, HEAD, GoldenEngine, chunk, event, raw, usage
from macfleet.testing.hostile_streams import (
    HOSTILE_STREAMS,
    LLAMA,
    REASON,
    ROLE,
    STOP,
    TEXT,
    USAGE,
    WHOLE,
    good,
    http,
)

BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def ask_once(answer, **changes):
    with GoldenEngine(answer) as engine:
        spec = LoadSpec(
            base_url=engine.url,
            route="/v1/chat/completions",
            fixtures=(FixtureBody("f", changes.pop("body", BODY)),),
            cell="short×1",
            segment=0,
            arm="bare",
            concurrency=1,
            duration=20,
            max_requests=1,
            nonce_key="k",
            **changes,
        )
        samples = []
        measure(spec, samples.append)
    (sample,) = samples
    return sample


@pytest.mark.parametrize("stream", HOSTILE_STREAMS, ids=lambda stream: stream.name)
def test_each_stream_ends_in_its_outcome_with_every_token_counted(stream):
    sample = ask_once(raw(*stream.pieces, pause=0.001), stall_timeout=0.3)
    found = (sample.outcome, sample.tokens, sample.token_source)
    assert found == (stream.outcome, stream.tokens, stream.source), sample.detail
    assert (sample.t_first_gen is not None) is stream.generated
    assert (sample.detail == "") is (stream.outcome == "ok")


def test_there_are_hostile_streams_enough():
    assert len({stream.name for stream in HOSTILE_STREAMS}) == len(HOSTILE_STREAMS) >= 30


def test_the_engines_word_on_its_prompt_cache_is_kept():
    assert ask_once(raw(*good(TEXT, STOP, event(usage(1, cached=5)), DONE))).cached_tokens == 5
    assert ask_once(raw(*good(TEXT, LLAMA, DONE))).cached_tokens == 7
    assert ask_once(raw(*good(TEXT, STOP, DONE))).cached_tokens is None


def test_reasoning_is_generated_but_not_visible():
    sample = ask_once(
        raw(HEAD, chunk(ROLE), chunk(REASON), chunk(TEXT), chunk(STOP + DONE) + END, pause=0.01)
    )
    assert sample.t_first_event < sample.t_first_gen < sample.t_first_visible == sample.t_last_gen


def test_a_request_that_is_not_streamed_is_read_whole():
    sample = ask_once(raw(http("200 OK", WHOLE.encode())), body={**BODY, "stream": False})
    assert (sample.outcome, sample.tokens, sample.prompt_tokens) == ("ok", 2, 9)
    assert sample.t_first_gen == sample.t_last_gen == sample.t_close


def test_a_late_usage_chunk_moves_the_close_but_not_the_last_text():
    sample = ask_once(
        raw(HEAD, chunk(TEXT), chunk(TEXT), chunk(STOP), chunk(USAGE), chunk(DONE) + END, pause=0.03)
    )
    assert sample.tokens == 3
    assert sample.t_close - sample.t_last_gen > 40_000_000


def test_an_error_text_is_cut_and_never_trusted_to_be_text():
    assert len(ask_once(raw(*good(event({"error": {"message": "x" * 5000}})))).detail) == 200
    assert ask_once(raw(*good(event({"error": {"message": None}})))).outcome == "sse_error"
