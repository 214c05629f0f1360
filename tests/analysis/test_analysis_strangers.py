"""What an engine counted beside what the load client asked of it."""

import pytest

from macfleet.analysis.strangers import strangers
from macfleet.facts.engine_counters import parse_counters
from macfleet.model.load import Sample

LLAMA = """# HELP llamacpp:prompt_tokens_total Number of prompt tokens processed, excluding cached tokens
# TYPE llamacpp:prompt_tokens_total counter
llamacpp:prompt_tokens_total 1200
llamacpp:tokens_predicted_total 640
llamacpp:prompt_tokens_seconds 812.4
llamacpp:requests_processing 0
llamacpp:requests_deferred 0
"""
VLLM = """vllm:num_requests_running{engine="0",model_name="chat"} 1.0
vllm:generation_tokens_total{engine="0",model_name="chat"} 640.0
vllm:request_success_total{engine="0",finished_reason="stop",model_name="chat"} 30.0
vllm:request_success_total{engine="0",finished_reason="length",model_name="chat"} 12.0
"""


def sample(tokens=16, outcome="ok", source="usage", prompt=None, cached=None):
    return Sample("short×1", 0, "bare", 0, "a", outcome, 200, *range(8), tokens, source, prompt, cached)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LLAMA, {"prompt": 1200, "generated": 640, "busy": 0}),
        (VLLM, {"busy": 1, "generated": 640, "requests": 42}),
        ("", None),
        ("<html>404</html>\n", None),
        ("llamacpp:tokens_predicted_total many\nllamacpp:tokens_predicted_total 1e\n", None),
    ],
)
def test_the_counters_of_either_engine_are_read_and_anything_else_is_no_counter(text, expected):
    assert parse_counters(text) == expected


BEFORE = {"generated": 100.0, "prompt": 50.0, "busy": 0.0}


@pytest.mark.parametrize(
    ("after", "samples", "longest", "expected"),
    [
        ({"generated": 132.0}, [sample(), sample()], 16, ""),
        (None, [sample()], 16, ""),
        (
            {"generated": 148.0},
            [sample(), sample()],
            16,
            "the engine generated 16 tokens for requests that were not the load client's",
        ),
        # One token more than asked for is somebody's, unless the end of a request was not seen.
        (
            {"generated": 133.0},
            [sample(), sample()],
            16,
            "the engine generated 1 tokens for requests that were not the load client's",
        ),
        ({"generated": 128.0}, [sample(), sample(4, "censored", "events")], 16, ""),
        (
            {"generated": 133.0},
            [sample(), sample(4, "censored", "events")],
            16,
            "the engine generated 13 tokens for requests that were not the load client's",
        ),
        ({"generated": 900.0}, [sample(), sample(4, "censored", "events")], None, ""),
        ({"generated": 117.0}, [sample(16, "ok", "events")], 16, ""),
        # Ours were 64 and 60 tokens to read; an embedding generates nothing and reads all the same.
        ({"generated": 132.0, "prompt": 175.0}, [sample(prompt=64), sample(prompt=68, cached=8)], 16, ""),
        (
            {"generated": 132.0, "prompt": 203.0},
            [sample(prompt=64), sample(prompt=68, cached=8)],
            16,
            "the engine read 29 tokens of prompts that were not the load client's",
        ),
        ({"generated": 116.0, "prompt": 900.0}, [sample(prompt=None)], 16, ""),
        ({"busy": 2.0}, [], 16, "2 requests were at the engine when the load client had none"),
        ({"requests": 3.0}, [sample()], 16, "the engine served 2 requests more than the load client sent"),
        (
            {"generated": 16.0},
            [sample()],
            16,
            "the engine's counters went back: it was started anew inside the segment",
        ),
    ],
)
def test_what_was_not_asked_for_is_told(after, samples, longest, expected):
    found = None if after is None else {**BEFORE, **after}
    assert strangers(BEFORE, found, samples, longest) == expected


def test_an_engine_that_does_not_count_says_nothing():
    assert strangers(None, {"generated": 5.0}, [], 16) == ""
