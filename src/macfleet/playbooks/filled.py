"""Texts in which ``{{ name.part }}`` is all there is to fill in: read as Jinja2 would, but without it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from macfleet.model.json import Json
from macfleet.playbooks.scope import MISSING, Scope

MARKS = ("{{", "{%", "{#")
_PLACE = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*) *\}\}")
_JINJA_WORDS = frozenset(
    {
        *("true", "false", "none", "self", "super", "caller", "loop", "varargs", "kwargs"),
        *("range", "dict", "lipsum", "cycler", "joiner", "namespace"),
    }
)
"""What Jinja2 reads as something else than a variable, besides Python's own words."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A text that was read.

    Attributes:
        literals: what stands around the names, one more than there are names.
        names: each as its parts, ``node.roots.cache`` as three.
    """

    literals: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]

    @property
    def alone(self) -> bool:
        """Whether the text is one name and spaces, and becomes the value itself."""
        return len(self.names) == 1 and not "".join(self.literals).strip()

    def values(self, scope: Scope) -> list[object]:
        """Return the values of the names; a part that is not there is `MISSING` (raises MacfleetError)."""
        return [_found(scope.find(first), parts) for first, *parts in self.names]

    def filled_with(self, values: list[object], shown: Callable[[object], str]) -> str:
        """Return the text with these values in it; raises what `shown` raises."""
        after = zip(values, self.literals[1:], strict=True)
        return self.literals[0] + "".join(shown(value) + literal for value, literal in after)


def filled_text(text: str) -> Filled | None:
    """Return how to fill a text in; None for one that only Jinja2 can read."""
    if not any(mark in text for mark in MARKS):
        return None if "\r" in text else Filled((text,), ())
    pieces = _PLACE.split(text)
    literals, names = pieces[::2], [tuple(name.split(".")) for name in pieces[1::2]]
    if any(sign in each for each in literals for sign in "{}\r"):
        return None
    if any(keyword.iskeyword(first) or first in _JINJA_WORDS for first, *_ in names):
        return None
    return Filled(tuple(literals), tuple(names))


def plain_json(value: object) -> Json:
    """Return a value made of what JSON has alone (raises TypeError for anything else)."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain_json(inner) for key, inner in value.items()}
    if isinstance(value, Iterable):
        return [plain_json(inner) for inner in value]
    raise TypeError(f"an expression gives {type(value).__name__}, which is no plain value")


def _found(value: object, parts: list[str]) -> object:
    for part in parts:
        if not isinstance(value, Mapping) or part not in value:
            return MISSING
        value = value[part]
    return value
