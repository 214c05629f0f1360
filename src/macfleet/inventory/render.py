"""Jinja2 in inventory values: sandboxed, strict, and limited to the node's own variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from macfleet.documents import nearest
from macfleet.model.json import Json

_MARKS = ("{{", "{%", "{#")
_LONGEST = 65_536


class RenderProblem(ValueError):
    """A template that cannot be rendered; says why."""


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A template and the names it asks for."""

    evaluate: Callable[[Mapping[str, Json]], object]
    names: tuple[str, ...]


class Renderer:
    """Renders values; compiled templates are kept for all nodes."""

    def __init__(self) -> None:
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, keep_trailing_newline=True
        )
        for random in ("lipsum", "cycler", "joiner"):
            self._environment.globals.pop(random)
        self._environment.filters.pop("random")
        self._compiled: dict[str, _Compiled] = {}

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
            return self._text(value, lookup) if any(mark in value for mark in _MARKS) else value
        if isinstance(value, Mapping):
            return {key: self.render(inside, lookup) for key, inside in value.items()}
        if isinstance(value, list | tuple):
            return [self.render(inside, lookup) for inside in value]
        return value

    def _text(self, text: str, lookup: Callable[[str], Json]) -> Json:
        try:
            template = self._compiled.get(text) or self._compile(text)
            self._compiled[text] = template
            context: dict[str, Json] = {}
            for name in template.names:
                try:
                    context[name] = lookup(name)
                except KeyError:
                    continue  # the template may ask `is defined`; else strict undefined speaks up
            return _plain(template.evaluate(context))
        except RenderProblem:
            raise
        except SecurityError as error:
            raise RenderProblem(f"the sandbox refuses it: {error}") from error
        except TemplateError as error:
            raise RenderProblem(str(error.message)) from error
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise RenderProblem(str(error)) from error

    def _compile(self, text: str) -> _Compiled:
        tree = self._environment.parse(text)
        names = tuple(sorted(meta.find_undeclared_variables(tree)))
        body = tree.body[0] if len(tree.body) == 1 else None
        if isinstance(body, nodes.Output) and len(body.nodes) == 1 and _is_bare(text, body.nodes[0]):
            inner = text.strip()[2:-2].strip("-+")
            expression: Any = self._environment.compile_expression(inner, undefined_to_none=False)
            return _Compiled(lambda context: expression(**context), names)
        template = self._environment.from_string(text)
        return _Compiled(lambda context: template.render(**context), names)


def explain_undefined(message: str, known: set[str]) -> str:
    """Return a suggestion for Jinja's "'x' is undefined", empty when none fits."""
    parts = message.split("'")
    guess = nearest(parts[1], known) if len(parts) > 2 else None
    return f'did you mean "{guess}"?' if guess else ""


def _is_bare(text: str, node: nodes.Node) -> bool:
    stripped = text.strip()
    whole = stripped.startswith("{{") and stripped.endswith("}}")
    return whole and not isinstance(node, nodes.TemplateData)


def _plain(value: object) -> Json:
    if isinstance(value, Undefined):
        str(value)  # strict undefined raises here, with its own message
    if isinstance(value, str) and len(value) > _LONGEST:
        raise RenderProblem(f"the result is longer than {_LONGEST:,} characters")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple | set | frozenset | range):
        return [_plain(inside) for inside in (sorted(value) if isinstance(value, set | frozenset) else value)]
    raise RenderProblem(f"the result is a {type(value).__name__}, not a value YAML can hold")
