"""Ranges in node names: ``mac-[01:10]``, ``rack-[a:f]``, ``mac-[1:9:2]``, several in one name."""

from __future__ import annotations

import re
from itertools import product
from string import ascii_lowercase, ascii_uppercase

LIMIT = 10_000
_RANGE = re.compile(r"\[([^\[\]]*)\]")
_PARTS = re.compile(r"([0-9]*|[A-Za-z]):([0-9]+|[A-Za-z])(?::([0-9]+))?")


class RangeProblem(ValueError):
    """A range that cannot be expanded; says why."""


def has_range(name: str) -> bool:
    """Whether the name holds brackets, that is, wants to be a range."""
    return "[" in name or "]" in name


def expand(name: str) -> tuple[str, ...]:
    """Return every name a pattern of ranges stands for, the leftmost range varying slowest.

    Bounds are inclusive. A leading zero in the first bound asks for padding to its width, an empty first
    bound is 0, a third part is the step. A name without a range stands for itself.

    Raises:
        RangeProblem: a bracket without its partner, a reversed or mixed range, bounds of different width,
            a step of 0, or more than 10,000 names.
    """
    pieces = _RANGE.split(name)
    literals, ranges = pieces[0::2], [_values(text) for text in pieces[1::2]]
    if any(has_range(literal) for literal in literals):
        raise RangeProblem("a bracket has no partner")
    total = 1
    for values in ranges:
        total *= len(values)
        if total > LIMIT:
            raise RangeProblem(f"the range stands for more than {LIMIT:,} names")
    return tuple(_join(literals, choice) for choice in product(*ranges))


def _join(literals: list[str], choice: tuple[str, ...]) -> str:
    tail = (value + literal for value, literal in zip(choice, literals[1:], strict=True))
    return literals[0] + "".join(tail)


def _values(text: str) -> tuple[str, ...]:
    matched = _PARTS.fullmatch(text)
    if matched is None:
        raise RangeProblem(f"[{text}] is not a range such as [01:10], [a:f] or [1:9:2]")
    first, last, step = matched.group(1), matched.group(2), int(matched.group(3) or 1)
    if step == 0:
        raise RangeProblem(f"[{text}] has a step of 0")
    if first.isalpha() or last.isalpha():
        return _letters(text, first, last, step)
    return _numbers(text, first or "0", last, step)


def _letters(text: str, first: str, last: str, step: int) -> tuple[str, ...]:
    alphabet = ascii_lowercase if first.islower() else ascii_uppercase
    if first not in alphabet or last not in alphabet or not first:
        raise RangeProblem(f"[{text}] mixes letters of two kinds, or letters and numbers")
    start, end = alphabet.index(first), alphabet.index(last)
    if start > end:
        raise RangeProblem(f"[{text}] is reversed: {first} comes after {last}")
    return tuple(alphabet[start : end + 1 : step])


def _numbers(text: str, first: str, last: str, step: int) -> tuple[str, ...]:
    padded = len(first) > 1 and first.startswith("0")
    last_padded = len(last) > 1 and last.startswith("0")
    if (padded or last_padded) and len(first) != len(last):
        raise RangeProblem(f"[{text}] pads its bounds to different widths")
    if max(len(first), len(last)) > 12:
        raise RangeProblem(f"[{text}] has bounds of more than 12 digits")
    start, end = int(first), int(last)
    if start > end:
        raise RangeProblem(f"[{text}] is reversed: {first} comes after {last}")
    if (end - start) // step >= LIMIT:
        raise RangeProblem(f"the range stands for more than {LIMIT:,} names")
    width = len(first) if padded else 0
    return tuple(f"{number:0{width}d}" for number in range(start, end + 1, step))
