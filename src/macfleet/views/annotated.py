"""YAML with what may stand in it said above: the whole can be pasted into a file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from macfleet.model.json import Json
from macfleet.views.flow import fold

if TYPE_CHECKING:
    from pydantic import BaseModel

_WIDTH = 100
_SHAPE = 34
_PLURAL = {"resource": "Resource kinds, in tasks:", "gate": "Gates:", "file": "Files:"}


@dataclass(frozen=True, slots=True)
class Page:
    """One kind.

    Attributes:
        group: ``resource``, ``gate`` or ``file``.
        title: what it is, in sentences.
        models: what may stand in it, by the key it stands under; empty for the top.
        defaults: of keys that the models do not know.
        example: YAML (a fixture: JSON) that is accepted as it is.
    """

    name: str
    group: str
    title: str
    models: tuple[tuple[str, type[BaseModel]], ...]
    example: str
    defaults: Mapping[str, str] = field(default_factory=dict)


def lines(page: Page) -> Iterator[str]:
    """Yield the page as YAML: keys and meanings as comments, then the example."""
    yield from _comment(f"{page.name}: {page.title}")
    for title, keys in _sections(page):
        if not keys:
            continue
        yield "#"
        yield f"# {title or 'Keys'}:"
        column = max(len(name) for name, *_ in keys)
        for name, shape, default, meaning in keys:
            given = f"{shape}, {default}"
            blank = f"#   {'':<{column}}  {'':<{_SHAPE}}  "
            wrapped = textwrap.wrap(meaning, max(_WIDTH - len(blank), 30))
            if len(given) > _SHAPE:
                wrapped = ["", *wrapped]
            first, *more = wrapped or [""]
            yield f"#   {name:<{column}}  {given:<{_SHAPE}}  {first}".rstrip()
            yield from (f"{blank}{line}" for line in more)
    yield ""
    yield from page.example.rstrip("\n").splitlines()


def document(page: Page) -> dict[str, Json]:
    """Return the page as JSON, schema 1."""
    return {
        "schema": 1,
        "kind": "docs",
        "name": page.name,
        "group": page.group,
        "title": page.title,
        "keys": [
            {"under": title, "key": name, "value": shape, "default": default, "meaning": meaning}
            for title, keys in _sections(page)
            for name, shape, default, meaning in keys
        ],
        "example": page.example,
    }


def listed(kinds: Mapping[str, tuple[str, str]], width: int) -> Iterator[str]:
    """Yield every kind with its first sentence, by group."""
    column = max(map(len, kinds))
    for group, title in _PLURAL.items():
        yield title
        for name, (of, sentence) in kinds.items():
            if of == group:
                yield from fold(f"  {name:<{column}}  {sentence}", width, indent=" " * (column + 4))
        yield ""
    yield "Print one: macfleet docs KIND"


def listed_document(kinds: Mapping[str, tuple[str, str]]) -> dict[str, Json]:
    """Return every kind as JSON, schema 1."""
    rows = [{"name": name, "group": group, "title": title} for name, (group, title) in kinds.items()]
    return {"schema": 1, "kind": "docs-list", "kinds": rows}


def _sections(page: Page) -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
    # pydantic is loaded only once there is a model to read
    from macfleet.documents.keys import keys_of  # noqa: PLC0415

    for title, model in page.models:
        keys = keys_of(model, page.defaults)
        yield title, [(key.name, key.shape, _default(key.default), key.meaning) for key in keys]


def _default(text: str) -> str:
    if text in ("required", "none", "as below"):
        return {"none": "optional"}.get(text, text)
    return f"default {text.strip('`')}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH - 2, break_long_words=False)]
