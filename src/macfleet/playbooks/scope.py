"""Variables by name, rendered when they are first used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from macfleet.documents import Document
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import Json
from macfleet.playbooks.play import Variable

if TYPE_CHECKING:
    from macfleet.playbooks.render import Renderer

MISSING = object()


class Scope:
    """What expressions see; later layers win. A variable may refer to others, but not to itself."""

    def __init__(self, renderer: Renderer, layers: Iterable[Mapping[str, Variable]]) -> None:
        self._renderer = renderer
        self._variables: dict[str, Variable] = {}
        for layer in layers:
            self._variables.update(layer)
        self._rendered: dict[str, object] = {}
        self._rendering: list[str] = []

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, sorted."""
        return tuple(sorted(self._variables))

    def find(self, name: str) -> object:
        """Return a variable's rendered value, `MISSING` when there is none of that name.

        Raises:
            MacfleetError: its own expressions cannot be rendered, or it refers to itself.
        """
        if name in self._rendered:
            return self._rendered[name]
        variable = self._variables.get(name)
        if variable is None:
            return MISSING
        self._rendered[name] = self._render(name, variable)
        return self._rendered[name]

    def extended(self, values: Mapping[str, Json]) -> Scope:
        """Return a scope that also knows these final values."""
        return Scope(
            self._renderer, (self._variables, {name: Variable(value) for name, value in values.items()})
        )

    def _render(self, name: str, variable: Variable) -> object:
        if variable.document is None:
            return variable.value
        if name in self._rendering:
            raise MacfleetError(self._circle(name, variable.document, variable.path))
        self._rendering.append(name)
        try:
            return self._renderer.value(variable.value, self, variable.document, *variable.path)
        finally:
            self._rendering.pop()

    def _circle(self, name: str, document: Document, path: tuple[str | int, ...]) -> Diagnostic:
        chain = " → ".join([*self._rendering[self._rendering.index(name) :], name])
        return document.diagnose("E0316", f'variable "{name}" refers to itself', *path, why=f"{chain}.")
