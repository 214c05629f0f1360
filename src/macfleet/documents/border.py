"""Pydantic at the border: unknown keys and wrong types become diagnostics with file and line."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from macfleet.documents.lean import without_plugins
from macfleet.documents.nearest import nearest
from macfleet.documents.yaml import Document
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import Json

without_plugins()

Model = TypeVar("Model", bound="Border")


class Border(BaseModel):
    """Base of every model at the border: frozen, no unknown keys."""

    # Built on first use: a command needs few of the models it imports.
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, defer_build=True)


def validate(
    document: Document, model: type[Model], *path: str | int, code: str = "E0103", kind: str = ""
) -> Model:
    """Return the value at `path` of the document as `model`.

    Raises:
        MacfleetError: every unknown key (with the nearest known one), missing key and wrong value.
    """
    value = _value_at(document.value, path)
    if not isinstance(value, Mapping):
        shown = kind or model.__name__
        summary = f"{shown} must be a mapping, not {_type_name(value)}"
        raise MacfleetError(document.diagnose(code, summary, *path, on_value=True))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        found = [_diagnose(document, model, path, problem, code, kind) for problem in error.errors()]
        raise MacfleetError(dict.fromkeys(found)) from error


def _diagnose(
    document: Document,
    model: type[BaseModel],
    path: tuple[str | int, ...],
    problem: Any,
    code: str,
    kind: str,
) -> Diagnostic:
    inside = _real_path(document.value, path, problem["loc"])
    place = (*path, *inside)
    name = str(inside[-1]) if inside else kind or model.__name__
    of = f" for {kind}" if kind else ""
    if problem["type"] == "extra_forbidden":
        known = _known_keys(model, inside[:-1])
        guess = nearest(name, known)
        mend = f'did you mean "{guess}"?' if guess else f"Known keys: {', '.join(sorted(known))}."
        return document.diagnose(code, f'unknown key "{name}"{of}', *place, mend=mend)
    if problem["type"] == "missing":
        missing = str(problem["loc"][-1])
        return document.diagnose(
            code, f'key "{missing}" is missing{of}', *place[:-1], mend=f"Add {missing}:."
        )
    message = str(problem["msg"]).removeprefix("Value error, ")
    return document.diagnose(code, f'"{name}"{of}: {message}', *place, on_value=True)


def _real_path(root: Json, start: tuple[str | int, ...], loc: Sequence[str | int]) -> tuple[str | int, ...]:
    """Drop what pydantic adds to a location (union tags, validator names) and the document lacks."""
    current = _value_at(root, start)
    real: list[str | int] = []
    for position, part in enumerate(loc):
        if isinstance(current, Mapping) and part in current:
            current = current[str(part)]
        elif isinstance(current, list) and isinstance(part, int) and part < len(current):
            current = current[part]
        elif position < len(loc) - 1 or not isinstance(current, Mapping):
            continue
        real.append(part)
    return tuple(real)


def _known_keys(model: type[BaseModel], path: tuple[str | int, ...]) -> set[str]:
    models: set[type[BaseModel]] = {model}
    for part in path:
        models = set().union(*(_step(each, part) for each in models))
    return {field.alias or name for each in models for name, field in each.model_fields.items()}


def _step(model: type[BaseModel], part: str | int) -> set[type[BaseModel]]:
    if isinstance(part, int):
        return {model}
    for name, field in model.model_fields.items():
        if part in (name, field.alias):
            return _models_in(field.annotation)
    return {model}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    if get_origin(annotation) in (Union, types.UnionType, list, tuple, dict, Mapping, Sequence) or get_args(
        annotation
    ):
        return set().union(*(_models_in(each) for each in get_args(annotation)), set())
    return set()


def _value_at(value: Json, path: Sequence[str | int]) -> Json:
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            return None
    return value


def _type_name(value: Json) -> str:
    names = {type(None): "empty", bool: "true/false", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "a mapping")
