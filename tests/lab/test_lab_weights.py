"""The tiny model: always the same bytes, and no token that would break a chat."""

from __future__ import annotations

import pytest

from macfleet.lab.weights import VOCABULARY, forbidden, vocabulary, write_weights


def test_every_token_is_there_once_and_every_merge_makes_one():
    tokens, merges = vocabulary()
    assert len(tokens) == len(set(tokens)) == VOCABULARY
    assert all(merge.replace(" ", "") in set(tokens) for merge in merges)


def test_forbidden_tokens_are_specials_and_half_characters():
    tokens, _ = vocabulary()
    ids = set(forbidden(tokens))
    assert {0, 1, 2, 3, 4} <= ids
    allowed = [token for index, token in enumerate(tokens) if index not in ids]
    text = "".join(allowed).replace("Ġ", " ").replace("Ċ", "\n")
    assert text.isascii()
    assert len(allowed) > VOCABULARY - 200


def test_two_writings_are_byte_for_byte_the_same(tmp_path):
    pytest.importorskip("gguf")
    one, two = write_weights(tmp_path / "one"), write_weights(tmp_path / "two")
    assert one.sha256 == two.sha256
    assert 4_000_000 < one.size < 8_000_000
    before = one.path.stat().st_mtime_ns
    assert write_weights(tmp_path / "one").path.stat().st_mtime_ns == before
