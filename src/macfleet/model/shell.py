"""The one way a value reaches a shell."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def quote(value: str | float) -> str:
    """Return `value` as one POSIX shell word, whatever it contains.

    Raises:
        ValueError: the value holds a NUL byte, which no shell word can carry.
    """
    text = str(value)
    if "\0" in text:
        raise ValueError("a NUL byte cannot be part of a shell word")
    return shlex.quote(text)


def words(values: Iterable[str | float]) -> str:
    """Return several values as quoted words separated by spaces."""
    return " ".join(quote(value) for value in values)
