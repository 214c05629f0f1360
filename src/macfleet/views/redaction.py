"""Secrets are taken out where text leaves: the redactor knows what was revealed and shows ``***`` instead."""

from __future__ import annotations

import dataclasses
import re
import threading
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TypeVar, cast

from macfleet.model.secret import Secret

MASK = "***"
_GAP = re.compile(r"(?:\\[rn]|\s)+")
"""A break between lines with their indentation, also as JSON writes it."""

Item = TypeVar("Item")


class Redactor:
    """What was revealed so far, and how text looks without it; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: tuple[str, ...] = ()
        self._coded: tuple[str, ...] = ()

    @property
    def forms(self) -> tuple[str, ...]:
        """Every text that is taken out, longest first."""
        return self._forms

    def learn(self, secret: Secret) -> None:
        """Take a secret out of everything from now on."""
        # Loaded with the first secret: most commands never have one.
        from macfleet.views.secret_forms import coded, forms  # noqa: PLC0415

        with self._lock:
            self._coded = tuple({*self._coded, *coded(secret)})
            known = {*self._forms, *forms(secret)}
            self._forms = tuple(sorted(known, key=lambda form: (-len(form), form)))

    def text(self, text: str) -> str:
        """Return text with every secret in it replaced."""
        spans = self.spans(text)
        if not spans:
            return text
        parts, at = [], 0
        for start, end in spans:
            parts += [text[at:start], MASK]
            at = end
        return "".join([*parts, text[at:]])

    def bytes(self, data: bytes) -> bytes:
        """Return bytes with every secret in them replaced; what is no UTF-8 stays as it is."""
        if not self._forms:
            return data
        shown = self.text(data.decode("utf-8", "surrogateescape"))
        return shown.encode("utf-8", "surrogateescape")

    def value(self, item: Item) -> Item:
        """Return a value of the same type and shape whose texts hold no secret.

        Goes through dataclasses, mappings (keys too), sequences and sets; numbers, enums, secrets and
        whatever else it does not know stay the same objects.
        """
        return cast("Item", self._value(item)) if self._forms else item

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where secrets stand, in order; those that overlap are one."""
        found = [*_found(self._forms, text), *_across_lines(self._coded, text)]
        merged: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], end))
            else:
                merged.append((start, end))
        return merged

    def _value(self, item: object) -> object:  # noqa: PLR0911  (one return a kind of value)
        if isinstance(item, Enum | Secret):
            return item
        if isinstance(item, str):
            return self.text(item)
        if isinstance(item, bytes):
            return self.bytes(item)
        if isinstance(item, Mapping):
            return {self._value(key): self._value(value) for key, value in item.items()}
        if isinstance(item, list):
            return [self._value(each) for each in item]
        if isinstance(item, tuple):
            return tuple(self._value(each) for each in item)
        if isinstance(item, set | frozenset):
            return type(item)(self._value(each) for each in item)
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            return self._record(item)
        return item

    def _record(self, item: object) -> object:
        fields = [f for f in dataclasses.fields(item) if f.init]  # type: ignore[arg-type]
        changed = {}
        for field in fields:
            before = getattr(item, field.name)
            after = self._value(before)
            if after != before:
                changed[field.name] = after
        return dataclasses.replace(item, **changed) if changed else item  # type: ignore[type-var]


def _found(forms: Iterable[str], text: str) -> Iterator[tuple[int, int]]:
    """Yield where any of the forms stands in a text, however they overlap."""
    for form in forms:
        at = text.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = text.find(form, at + 1)


def _across_lines(forms: Sequence[str], text: str) -> Iterator[tuple[int, int]]:
    """Yield where forms stand in a text that a program broke into lines, with the breaks inside of them."""
    if not forms or ("\n" not in text and "\\n" not in text):
        return
    # Where each kept piece begins, in the text and among the pieces put together.
    pieces, begins, joined, at, length = [], [], [], 0, 0
    for gap in (*_GAP.finditer(text), None):
        end = gap.start() if gap else len(text)
        if end > at:
            pieces.append(text[at:end])
            begins.append(at)
            joined.append(length)
            length += end - at
        at = gap.end() if gap else end

    def place(position: int) -> int:
        piece = bisect_right(joined, position) - 1
        return begins[piece] + position - joined[piece]

    for start, end in _found(forms, "".join(pieces)):
        yield place(start), place(end - 1) + 1
