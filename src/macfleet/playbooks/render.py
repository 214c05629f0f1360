"""Every text of a playbook rendered: names alone are filled in, everything else is Jinja2's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from macfleet.documents import Document
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import Json
from macfleet.playbooks.filled import MARKS, Filled, filled_text, plain_json
from macfleet.playbooks.scope import MISSING, Scope
from macfleet.playbooks.shell_text import quotes_an_expression, shell_word

if TYPE_CHECKING:
    from macfleet.playbooks.sandbox import Sandbox

_KNOWN_BEFORE = (
    "when: sees the inventory with what it declares of the node, variables and lock files, "
    "so that a plan is known before anything is done."
)


class Renderer:
    """Renders the expressions of one playbook; what was read of a text is kept for the next node."""

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates = templates
        self._read: dict[str, Filled | None] = {}

    def value(self, value: Json, scope: Scope, document: Document, *path: str | int) -> Json:
        """Return a value with every expression in it rendered; ``{{ x }}`` alone keeps the type of x.

        Raises:
            MacfleetError: every expression that cannot be rendered.
        """
        if isinstance(value, str):
            return self._text(value, scope, document, path)
        if isinstance(value, Mapping):
            return {key: self.value(inner, scope, document, *path, key) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(inner, scope, document, *path, at) for at, inner in enumerate(value)]
        return value

    def shell(self, text: str, scope: Scope, document: Document, *path: str | int) -> str:
        """Return shell text in which every rendered value is one quoted word.

        Raises:
            MacfleetError: an expression cannot be rendered, or stands inside quotes of the shell text.
        """
        if quotes_an_expression(text):
            raise MacfleetError(
                document.diagnose(
                    "E0314",
                    "an expression stands inside quotes of the shell text",
                    *path,
                    why="Values are quoted when they are put in; quotes around them would undo that.",
                    mend="Remove the quotes around {{ … }}.",
                )
            )
        found = self._filled(text, scope, shell_word)
        return self._sandbox.text(text, scope, document, path, for_shell=True) if found is None else found

    def condition(self, text: str, scope: Scope, document: Document, *path: str | int) -> bool:
        """Return whether a ``when`` expression is true (raises MacfleetError unless it is true or false)."""
        try:
            result = self._sandbox.result(text, scope, document, path)
        except MacfleetError as error:
            raise MacfleetError(_about_when(each, text) for each in error.diagnostics) from error
        if isinstance(result, bool):
            return result
        shown = f"{result!r}"[:60]
        summary = f"when: gives {shown}, neither true nor false"
        mend = 'Compare it, as in x == "a", x > 1 or "a" in x; or ask x is defined, x | length > 0.'
        raise MacfleetError(document.diagnose("E0312", summary, *path, mend=mend, on_value=True))

    def template(self, name: str, scope: Scope, document: Document, *path: str | int) -> str:
        """Return a template file rendered; findings name the template's line."""
        return self._sandbox.file(name, scope, document, path)

    def _text(self, text: str, scope: Scope, document: Document, path: tuple[str | int, ...]) -> Json:
        if not any(mark in text for mark in MARKS):
            return text
        read = self._reading(text)
        if read is not None and read.alone:
            value = read.values(scope)[0]
            if value is not MISSING:
                return plain_json(value)
        found = self._filled(text, scope, str)
        if found is not None:
            return found
        inner = text.strip()[2:-2]
        if text.strip() == f"{{{{{inner}}}}}" and not any(mark in inner for mark in ("{{", "}}", "{%")):
            return self._sandbox.value(inner, scope, document, path)
        return self._sandbox.text(text, scope, document, path)

    def _filled(self, text: str, scope: Scope, shown: Callable[[object], str]) -> str | None:
        """Return a text filled in; None where Jinja2 has to read it, or has to say what is wrong."""
        read = self._reading(text)
        if read is None:
            return None
        values = read.values(scope)
        if any(value is MISSING for value in values):
            return None
        try:
            return read.filled_with(values, shown)
        except ValueError:
            return None

    def _reading(self, text: str) -> Filled | None:
        if text not in self._read:
            self._read[text] = filled_text(text)
        return self._read[text]

    @cached_property
    def _sandbox(self) -> Sandbox:
        from macfleet.playbooks.sandbox import Sandbox  # noqa: PLC0415  (many playbooks need no Jinja2)

        return Sandbox(self._templates)


def _about_when(found: Diagnostic, text: str) -> Diagnostic:
    """Return a finding about a condition with the reason why it sees no more."""
    if found.code == "E0310":
        return replace(found, why=found.why or _KNOWN_BEFORE)
    if "{{" in text:
        return replace(found, mend="when: is an expression already: leave {{ and }} out.")
    return found
