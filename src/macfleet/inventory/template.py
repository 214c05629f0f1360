"""What a template in the inventory is: what it asks for, what it becomes, and the commonest kind of it."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from macfleet.model.json import Json

MARKS = ("{{", "{%", "{#")
_LONGEST = 65_536
_PLACE = re.compile(r"\{\{ *([A-Za-z_][A-Za-z0-9_]*) *\}\}")
_JINJA_WORDS = frozenset({"true", "false", "none", "self", "super", "caller", "loop", "varargs", "kwargs"})


class RenderProblem(ValueError):
    """A template that cannot be rendered; says why."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read.

    Attributes:
        evaluate: gives the result; takes the values of `names` (raises RenderProblem).
        names: variables it asks for, sorted.
        needs_all: whether every one of them must be there; otherwise it says itself what is missing.
    """

    evaluate: Callable[[Mapping[str, Json]], Json]
    names: tuple[str, ...]
    needs_all: bool = False


def filled_template(text: str) -> Template | None:
    """Return the template of a text in which ``{{ name }}`` is all there is to fill in; None for another.

    It becomes what Jinja2 makes of it, and spares most fleets the import of Jinja2 before they connect.
    """
    parts = _PLACE.split(text)
    literal, names = parts[::2], parts[1::2]
    if any(sign in each for each in literal for sign in "{}\r"):
        return None
    if not names or any(keyword.iskeyword(name) or name in _JINJA_WORDS for name in names):
        return None
    asked = tuple(sorted(set(names)))
    if literal == ["", ""]:
        return Template(lambda values: plain(values[names[0]]), asked, needs_all=True)

    def fill(values: Mapping[str, Json]) -> Json:
        filled = (str(values[name]) + after for name, after in zip(names, literal[1:], strict=True))
        return plain(literal[0] + "".join(filled))

    return Template(fill, asked, needs_all=True)


def plain(value: object) -> Json:
    """Return a result as a value that YAML can hold, no text longer than 64 Ki (raises RenderProblem)."""
    if isinstance(value, str) and len(value) > _LONGEST:
        raise RenderProblem(f"the result is longer than {_LONGEST:,} characters")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple | set | frozenset | range):
        return [plain(inside) for inside in (sorted(value) if isinstance(value, set | frozenset) else value)]
    raise RenderProblem(f"the result is a {type(value).__name__}, not a value YAML can hold")
