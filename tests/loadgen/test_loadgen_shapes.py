"""Where answers differ from OpenAI's shape: what real engines send, and every way to be different."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.loadgen.shapes import differences, error_differences, model_differences, stream_differences

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
USAGE = {"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 23}
HEAD = {"id": "chatcmpl-1", "model": "m", "created": 1795424878}
WHOLE = {
    **HEAD,
    "object": "chat.completion",
    "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "a"}}],
    "usage": USAGE,
}


def chunk(delta=None, finish=None, **changes):
    choices = [] if delta is None else [{"index": 0, "finish_reason": finish, "delta": delta}]
    return {**HEAD, "object": "chat.completion.chunk", "choices": choices, **changes}


STREAM = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"content": "a"}),
    chunk({}, "length"),
    chunk(usage=USAGE),
]


def notes(documents, route=CHAT, *, usage=True):
    return stream_differences(route, [json.dumps(each).encode() for each in documents], usage=usage)


def whole(document, route=CHAT):
    return differences(route, json.dumps(document).encode())


def test_answers_of_the_shape_have_no_note():
    assert whole(WHOLE) == ()
    assert notes(STREAM) == ()
    assert notes(STREAM[:-1], usage=False) == ()


def test_what_an_engine_adds_is_its_own_affair():
    assert whole({**WHOLE, "timings": {}, "system_fingerprint": None}) == ()


def test_the_chunks_of_mlx_lm_are_told_apart():
    """As mlx-lm 0.32.2 sends them: the usage chunk has the type of a whole answer."""
    sent = [
        chunk({"role": "assistant", "content": "  "}),
        chunk({"role": "assistant"}, "length"),
        chunk(usage=USAGE, object="chat.completion"),
    ]
    assert notes(sent) == ('a chunk\'s object is "chat.completion", not "chat.completion.chunk"',)


@pytest.mark.parametrize(
    ("sent", "note"),
    [
        ([STREAM[1], *STREAM[2:]], "the first chunk names no role"),
        (STREAM[:-1], "the last chunk is not the usage alone, with choices []"),
        ([*STREAM[:2], chunk({}, "length", usage=USAGE)], "the last chunk is not the usage alone, with choices []"),
        ([*STREAM[:3], {**STREAM[3], "id": "other"}], "id changes within one answer"),
        ([*STREAM[:3], {**STREAM[3], "created": 1}], "created changes within one answer"),
        ([STREAM[0], chunk({"content": 3}), *STREAM[2:]], "a chunk's choices[].delta.content is a whole number, not text"),
        ([STREAM[0], chunk({}, "eos"), *STREAM[2:]], 'a chunk\'s choices[].finish_reason is "eos", not "stop" or'),
        ([{**each, "created": "now"} for each in STREAM], "a chunk's created is text, not a whole number"),
        ([{k: v for k, v in each.items() if k != "id"} for each in STREAM], "a chunk's id is missing"),
    ],
)  # fmt: skip
def test_every_difference_of_a_stream_is_noted_once(sent, note):
    found = notes(sent)
    assert len(found) == 1
    assert found[0].startswith(note)


def changed(*path, value):
    document = copy.deepcopy(WHOLE)
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


@pytest.mark.parametrize(
    ("path", "value", "note"),
    [
        (("id",), ..., "id is missing"),
        (("object",), "list", 'object is "list", not "chat.completion"'),
        (("created",), 1.5, "created is a number, not a whole number"),
        (("created",), True, "created is a truth value, not a whole number"),
        (("model",), None, "model is null, not text"),
        (("choices",), {}, "choices is an object, not a list"),
        (("choices", 0), "a", "choices[] is text, not an object"),
        (("choices", 0, "index"), ..., "choices[].index is missing"),
        (("choices", 0, "finish_reason"), None, "choices[].finish_reason is null, not "),
        (("choices", 0, "finish_reason"), [], "choices[].finish_reason is a list, not "),
        (("choices", 0, "message", "role"), "user", 'choices[].message.role is "user", not "assistant"'),
        (("choices", 0, "message", "content"), [], "choices[].message.content is a list, not text"),
        (("usage", "total_tokens"), ..., "usage.total_tokens is missing"),
    ],
)
def test_every_difference_of_a_whole_answer_is_noted(path, value, note):
    found = whole(changed(*path, value=value))
    assert len(found) == 1
    assert found[0].startswith(note)


def test_completions_and_embeddings_have_shapes_of_their_own():
    text = {
        **HEAD,
        "object": "text_completion",
        "choices": [{"index": 0, "finish_reason": "stop", "text": "a"}],
    }
    assert whole(text, TEXT) == ()
    assert whole(WHOLE, TEXT) == (
        'object is "chat.completion", not "text_completion"',
        "choices[].text is missing",
    )
    vector = {"object": "embedding", "index": 0, "embedding": [0.5, 1]}
    listed = {
        "object": "list",
        "model": "m",
        "data": [vector],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }
    assert whole(listed, "/v1/embeddings") == ()
    assert whole({**listed, "data": [{**vector, "embedding": ["a"]}]}, "/v1/embeddings") == (
        "data[].embedding[] is text, not a number or a whole number",
    )
    assert whole({}, "/health") == ()


def test_a_list_of_models_names_the_promised_one():
    entry = {"id": "m", "object": "model", "created": 1, "owned_by": "us"}
    body = json.dumps({"object": "list", "data": [entry]}).encode()
    assert (differences("/v1/models", body), model_differences(body, "m")) == ((), ())
    assert model_differences(body, "other") == ("the list does not name the promised model other",)
    assert model_differences(b"[]", "m") == ("the list does not name the promised model m",)
    assert model_differences(b'{"data": [null, {"id": []}]}', "m") != ()


def test_a_refusal_has_an_error_object():
    error = {"message": "no prompt", "type": "invalid_request_error", "param": None, "code": 400}
    assert error_differences(json.dumps({"error": error}).encode()) == ()
    assert error_differences(b'{"error": "no prompt"}') == ("the error of a refusal is no object",)
    assert error_differences(b'{"error": {"message": "no prompt"}}') == ("a refusal's error.type is missing",)
    assert error_differences(b"no prompt") == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*WHOLE, "delta", "data", "error"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([CHAT, TEXT, "/v1/embeddings", "/v1/models"]))
def test_any_document_ends_in_notes(document, route):
    body = json.dumps(document).encode()
    found = (
        *differences(route, body),
        *stream_differences(route, [body], usage=True),
        *model_differences(body, "m"),
        *error_differences(body),
    )
    assert all(isinstance(note, str) and "\n" not in note for note in found)
