"""Jinja2 in inventory values: sandboxed and strict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.runtime import Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from macfleet.inventory.template import RenderProblem, Template, plain
from macfleet.model.json import Json


class JinjaTemplates:
    """Reads templates for one sandbox."""

    def __init__(self) -> None:
        self._environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, keep_trailing_newline=True
        )
        for random in ("lipsum", "cycler", "joiner"):
            self._environment.globals.pop(random)
        self._environment.filters.pop("random")

    def read(self, text: str) -> Template:
        """Return the template of a text (raises RenderProblem for what Jinja2 does not understand)."""
        with _Said():
            tree = self._environment.parse(text)
            names = tuple(sorted(meta.find_undeclared_variables(tree)))
            body = tree.body[0] if len(tree.body) == 1 else None
            if isinstance(body, nodes.Output) and len(body.nodes) == 1 and _is_bare(text, body.nodes[0]):
                inner = text.strip()[2:-2].strip("-+")
                expression: Any = self._environment.compile_expression(inner, undefined_to_none=False)
                return Template(_safely(lambda context: expression(**context)), names)
            template = self._environment.from_string(text)
            return Template(_safely(lambda context: template.render(**context)), names)


class _Said:
    """Turns what Jinja2 raises in the block into a RenderProblem with its words."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        """Raise RenderProblem in the place of Jinja2's own errors."""
        if isinstance(error, SecurityError):
            raise RenderProblem(f"the sandbox refuses it: {error}") from error
        if isinstance(error, TemplateError):
            raise RenderProblem(str(error.message)) from error


def _safely(evaluate: Callable[[Mapping[str, Json]], object]) -> Callable[[Mapping[str, Json]], Json]:
    def result(context: Mapping[str, Json]) -> Json:
        with _Said():
            found = evaluate(context)
            if isinstance(found, Undefined):
                str(found)  # strict undefined raises here, with its own message
            return plain(found)

    return result


def _is_bare(text: str, node: nodes.Node) -> bool:
    stripped = text.strip()
    whole = stripped.startswith("{{") and stripped.endswith("}}")
    return whole and not isinstance(node, nodes.TemplateData)
