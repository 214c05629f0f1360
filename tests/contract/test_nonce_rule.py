"""The nonce: the same bytes for both arms, other bytes for every request."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.model.nonce import nonce, with_nonce

CELLS = st.sampled_from(["short×1", "short×4", "long×1"])
PLACES = st.tuples(st.text(), CELLS, st.integers(0, 10**6), st.integers(0, 10**6))


@given(PLACES)
def test_every_nonce_has_the_same_shape(place):
    groups = nonce(*place).split(" ")
    assert len(groups) == 8
    assert all(len(group) == 3 and group.isdecimal() and group.isascii() for group in groups)


@given(PLACES, PLACES)
def test_every_request_has_its_own_nonce(one, other):
    assert (nonce(*one) == nonce(*other)) == (one == other)


def test_the_rule_never_changes():
    assert nonce("ab", "short×4", 0, 1) == "028 760 323 251 795 868 145 773"


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"prompt": "p", "n": 1}, '{"prompt":"N\\np","n":1}'),
        ({"prompt": ["p", "q"]}, '{"prompt":["N\\np","N\\nq"]}'),
        ({"input": "é"}, '{"input":"N\\n\\u00e9"}'),
        (
            {
                "model": "m",
                "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
            },
            '{"model":"m","messages":[{"role":"system","content":"N\\ns"},{"role":"user","content":"u"}]}',
        ),
        (
            {"messages": [{"content": [{"type": "text", "text": "t"}]}]},
            '{"messages":[{"content":[{"type":"text","text":"N\\nt"}]}]}',
        ),
        (
            {"messages": [{"content": [{"type": "image_url"}]}]},
            '{"messages":[{"content":[{"type":"text","text":"N\\n"},{"type":"image_url"}]}]}',
        ),
    ],
)
def test_the_nonce_stands_at_the_very_start(body, sent):
    assert with_nonce(body, "N") == sent.encode()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "m"},
        {"messages": []},
        {"messages": "hello"},
        {"messages": [1]},
        {"messages": [{}]},
        {"messages": [{"content": []}]},
        {"messages": [{"content": None}]},
        {"prompt": []},
        {"prompt": [1, 2]},
        {"prompt": 7},
        {"prompt": "p", "temperature": float("nan")},
    ],
)
def test_a_body_without_room_for_it_is_refused(body):
    with pytest.raises(ValueError, match=r"\w"):
        with_nonce(body, "N")


@given(
    st.dictionaries(st.text(), st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False))
)
def test_the_bytes_survive_a_way_through_json(extra):
    body = {f"x{key}": value for key, value in extra.items()} | {"prompt": "p"}
    assert with_nonce(json.loads(json.dumps(body)), "N") == with_nonce(body, "N")
