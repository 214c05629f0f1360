"""Templates in inventory values, limited to the node's own variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from macfleet.documents import nearest
from macfleet.inventory.template import MARKS, RenderProblem, Template, filled_template
from macfleet.model.json import Json

if TYPE_CHECKING:
    from macfleet.inventory.jinja_template import JinjaTemplates


class Renderer:
    """Renders values; templates that were read are kept for all nodes."""

    def __init__(self) -> None:
        self._jinja: JinjaTemplates | None = None
        self._read: dict[str, Template] = {}

    def render(self, value: Json, lookup: Callable[[str], Json]) -> Json:
        """Return the value with every template in it rendered; mapping keys stay as written.

        Text that is one ``{{ expression }}`` and nothing else keeps the expression's type.

        Args:
            value: a JSON value.
            lookup: gives another variable, rendered; raises KeyError when there is none.

        Raises:
            RenderProblem: a syntax error, an undefined name, or something the sandbox refuses.
        """
        if isinstance(value, str):
            return self._text(value, lookup) if any(mark in value for mark in MARKS) else value
        if isinstance(value, Mapping):
            return {key: self.render(inside, lookup) for key, inside in value.items()}
        if isinstance(value, list | tuple):
            return [self.render(inside, lookup) for inside in value]
        return value

    def _text(self, text: str, lookup: Callable[[str], Json]) -> Json:
        try:
            template = self._read.get(text) or filled_template(text) or self._by_jinja(text)
            self._read[text] = template
            context: dict[str, Json] = {}
            for name in template.names:
                try:
                    context[name] = lookup(name)
                except KeyError:
                    continue  # the template may ask `is defined`; else strict undefined speaks up
            if template.needs_all and len(context) < len(template.names):
                template = self._read[text] = self._by_jinja(text)
            return template.evaluate(context)
        except RenderProblem:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise RenderProblem(str(error)) from error

    def _by_jinja(self, text: str) -> Template:
        if self._jinja is None:
            from macfleet.inventory.jinja_template import JinjaTemplates  # noqa: PLC0415 (many need none of it)

            self._jinja = JinjaTemplates()
        return self._jinja.read(text)


def explain_undefined(message: str, known: set[str]) -> str:
    """Return a suggestion for Jinja's "'x' is undefined", empty when none fits."""
    parts = message.split("'")
    guess = nearest(parts[1], known) if len(parts) > 2 else None
    return f'did you mean "{guess}"?' if guess else ""
