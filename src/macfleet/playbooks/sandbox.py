"""Jinja2 in a sandbox: undefined names are errors with their line, and values in shell text are quoted."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from traceback import walk_tb
from typing import Any, TypeVar

import jinja2
from jinja2.runtime import Context, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing

from macfleet.documents import Document, nearest
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json
from macfleet.playbooks import filters
from macfleet.playbooks.ansible_words import NAMES
from macfleet.playbooks.filled import plain_json
from macfleet.playbooks.scope import MISSING, Scope

Result = TypeVar("Result")
_UNDEFINED = re.compile(r"^'(\w+)' is undefined$")
_NO_PART = re.compile(r"^'dict object' has no attribute '(\w+)'$")
_SCOPE = "macfleet scope"  # cannot be written as a name in a template


class Sandbox:
    """Renders the expressions of one playbook; compiled expressions are kept for the next node.

    Every method raises MacfleetError for an expression that cannot be rendered.
    """

    def __init__(self, templates: Mapping[str, str]) -> None:
        self._templates = templates
        self._plain = environment(templates)
        self._shell = environment(templates, filters.shell_output)
        self._expressions: dict[str, Callable[..., Any]] = {}
        self._texts: dict[tuple[bool, str], jinja2.Template] = {}

    def value(self, text: str, scope: Scope, document: Document, path: tuple[str | int, ...]) -> Json:
        """Return what a bare expression gives, as a plain value."""
        return self._safely(lambda: plain_json(self._evaluate(text, scope)), scope, document, path)

    def result(self, text: str, scope: Scope, document: Document, path: tuple[str | int, ...]) -> object:
        """Return what a bare expression gives."""
        return self._safely(lambda: self._evaluate(text, scope), scope, document, path)

    def text(
        self,
        text: str,
        scope: Scope,
        document: Document,
        path: tuple[str | int, ...],
        *,
        for_shell: bool = False,
    ) -> str:
        """Return a text with its expressions rendered, each as one quoted word `for_shell`."""
        template = lambda: self._template(text, for_shell=for_shell).render(_variables(scope))  # noqa: E731
        return self._safely(template, scope, document, path)

    def file(self, name: str, scope: Scope, document: Document, path: tuple[str | int, ...]) -> str:
        """Return a template file rendered; findings name the template's line."""
        load = self._plain.get_template
        return self._safely(lambda: load(name).render(_variables(scope)), scope, document, path)

    def _evaluate(self, text: str, scope: Scope) -> object:
        if text not in self._expressions:
            self._expressions[text] = self._plain.compile_expression(text, undefined_to_none=False)
        result: object = self._expressions[text](_variables(scope))
        if isinstance(result, Undefined):
            str(result)  # raises with the name that is undefined
        return result

    def _template(self, text: str, *, for_shell: bool) -> jinja2.Template:
        key = (for_shell, text)
        if key not in self._texts:
            self._texts[key] = (self._shell if for_shell else self._plain).from_string(text)
        return self._texts[key]

    def _safely(
        self, work: Callable[[], Result], scope: Scope, document: Document, path: tuple[str | int, ...]
    ) -> Result:
        """Return what `work` renders; what Jinja2 or a filter raises becomes a diagnostic."""
        try:
            return work()
        except MacfleetError:
            raise
        except jinja2.UndefinedError as error:
            raise self._explain("E0310", str(error.message), error, scope, document, path) from error
        except jinja2.TemplateNotFound as error:
            raise self._explain(
                "E0315", f"template {error} is missing", error, scope, document, path
            ) from error
        except jinja2.TemplateError as error:
            raise self._explain(
                "E0311", f"not a valid expression: {error}", error, scope, document, path
            ) from error
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise self._explain(
                "E0311", f"expression failed: {error}", error, scope, document, path
            ) from error

    def _explain(
        self,
        code: str,
        summary: str,
        error: Exception,
        scope: Scope,
        document: Document,
        path: tuple[str | int, ...],
    ) -> MacfleetError:
        found = document.diagnose(code, summary, *path, on_value=True)
        where = self._line_in_template(error)
        if where is not None:
            snippet = self._templates[where.file].splitlines()[where.line - 1 : where.line]
            found = replace(found, where=where, snippet="".join(snippet), span=0)
        return MacfleetError(_mended(found, scope))

    def _line_in_template(self, error: Exception) -> Location | None:
        """Return the innermost line of a template file that the error came from."""
        if isinstance(error, jinja2.TemplateSyntaxError) and error.filename in self._templates:
            return Location(str(error.filename), error.lineno)
        lines = [
            Location(frame.f_code.co_filename, line)
            for frame, line in walk_tb(error.__traceback__)
            if frame.f_code.co_filename in self._templates
        ]
        return lines[-1] if lines else None


class _ScopedContext(Context):
    """Looks names up in the scope, so that only variables that are used are rendered."""

    def resolve_or_missing(self, key: str) -> Any:
        found = super().resolve_or_missing(key)
        scope = self.parent.get(_SCOPE)
        if found is missing and isinstance(scope, Scope):
            value = scope.find(key)
            return missing if value is MISSING else value
        return found


class _Environment(ImmutableSandboxedEnvironment):
    """The sandbox; ``a.b`` prefers the key b of a mapping, and includes are found beside the template."""

    context_class = _ScopedContext

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping):
            return obj[attribute] if attribute in obj else self.getitem(obj, attribute)
        return super().getattr(obj, attribute)

    def join_path(self, template: str, parent: str) -> str:
        return posixpath.join(posixpath.dirname(parent), template)


def environment(
    templates: Mapping[str, str], finalize: Callable[[object], object] | None = None
) -> _Environment:
    """Return the sandbox that every expression is read in; `finalize` sees each value that is printed."""

    def load(name: str) -> tuple[str, str, Callable[[], bool]] | None:
        return (templates[name], name, lambda: True) if name in templates else None

    environment = _Environment(
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FunctionLoader(load),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=finalize,
    )
    environment.filters.update(filters.FILTERS)
    for chance in ("random", "pprint"):
        del environment.filters[chance]  # a rendering must be the same each time
    del environment.globals["lipsum"]
    return environment


def _mended(found: Diagnostic, scope: Scope) -> Diagnostic:
    """Return a finding about a name or a part of one with what may have been meant."""
    if undefined := _UNDEFINED.match(found.summary):
        name = undefined.group(1)
        guess = nearest(name, scope.names)
        return replace(found, mend=NAMES.get(name) or (f'did you mean "{guess}"?' if guess else ""))
    if lacking := _NO_PART.match(found.summary):
        part = lacking.group(1)
        whole = re.search(rf"([A-Za-z_][\w.]*)\.{part}\b", found.snippet)
        parts = _parts(whole.group(1), scope) if whole else None
        if whole and parts is not None:
            guess = nearest(part, parts)
            mend = f'did you mean "{guess}"?' if guess else f"It has: {', '.join(parts) or 'nothing'}."
            return replace(found, summary=f"{whole.group(1)} has no {part}", mend=mend)
    return found


def _parts(name: str, scope: Scope) -> tuple[str, ...] | None:
    """Return the keys of what a dotted name leads to, sorted; None where that is no mapping."""
    first, *others = name.split(".")
    value = scope.find(first)
    for part in others:
        value = value.get(part) if isinstance(value, Mapping) else None
    return tuple(sorted(map(str, value))) if isinstance(value, Mapping) else None


def _variables(scope: Scope) -> dict[str, object]:
    return {_SCOPE: scope}
