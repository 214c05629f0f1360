"""Suggestions for misspelt words."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was most likely meant, or None when nothing is close."""
    import difflib  # noqa: PLC0415 (most words are spelt right)

    found = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return found[0] if found else None
