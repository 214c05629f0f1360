"""What an expression or a template names, found without rendering it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jinja2
from jinja2 import meta, nodes

from macfleet.documents import Document
from macfleet.model.json import Json
from macfleet.playbooks.play import Task
from macfleet.playbooks.sandbox import environment

_GUARDS = frozenset({"default", "d", "defined", "undefined"})


@dataclass(frozen=True, slots=True)
class Named:
    """What a text names.

    Attributes:
        names: variables it reads.
        guarded: those of them that it also copes with when they are undefined.
        templates: templates it includes.
    """

    names: frozenset[str] = frozenset()
    guarded: frozenset[str] = frozenset()
    templates: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a document that may hold expressions; with `bare` the whole text is one."""

    text: str
    document: Document
    path: tuple[str | int, ...]
    bare: bool = False


class Reader:
    """Finds names; the same sandbox as for rendering, so that filters and syntax are the same."""

    def __init__(self) -> None:
        self._environment = environment({})

    def read(self, text: str, *, bare: bool = False) -> Named:
        """Return what a text names.

        Raises:
            jinja2.TemplateSyntaxError: it cannot be read; `lineno` counts from its first line.
        """
        source = f"{{{{ {text} }}}}" if bare else text
        if not bare and not any(mark in text for mark in ("{{", "{%", "{#")):
            return Named()
        self._environment.compile(source, raw=True)  # finds filters and tests that do not exist
        tree = self._environment.parse(source)
        included = meta.find_referenced_templates(tree)
        return Named(
            frozenset(meta.find_undeclared_variables(tree)),
            frozenset(_guarded(tree)),
            frozenset(name for name in included if name),
        )


def texts_of_task(task: Task) -> Iterator[Text]:
    """Yield every text of a task that is rendered, `when` included."""
    value = task.document.value
    for key, inner in value.items() if isinstance(value, Mapping) else ():
        yield from texts_in(inner, task.document, (key,), bare=key == "when")


def texts_in(
    value: Json, document: Document, path: tuple[str | int, ...], *, bare: bool = False
) -> Iterator[Text]:
    """Yield every text in a value."""
    if isinstance(value, str):
        yield Text(value, document, path, bare)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts_in(inner, document, (*path, key), bare=bare)
    elif isinstance(value, list | tuple):
        for at, inner in enumerate(value):
            yield from texts_in(inner, document, (*path, at), bare=bare)


def message(error: jinja2.TemplateSyntaxError) -> str:
    """Return why a text cannot be read."""
    return f"not a valid expression: {error.message}"


def _guarded(tree: nodes.Template) -> Iterator[str]:
    for each in tree.find_all((nodes.Filter, nodes.Test)):
        if each.name in _GUARDS and isinstance(each.node, nodes.Name):
            yield each.node.name
