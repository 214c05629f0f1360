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
_NUMBER, _FLAG = "a whole number", "true or false"
_TYPES: Mapping[str, str] = {
    **dict.fromkeys(("bool_type", "bool_parsing"), _FLAG),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), _NUMBER),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a mapping"),
    "string_type": "text",
}
"""In words what pydantic asks for, by what it calls the problem."""


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
        problems, types = _without_types(error.errors(), document.value, path)
        found = [_diagnose(document, model, path, problem, code, kind) for problem in problems]
        found += [_wrong_type(document, place, words, code, kind) for place, words in types.items()]
        raise MacfleetError(dict.fromkeys(sorted(found, key=_order))) from error


def _without_types(
    problems: Sequence[Any], root: Json, start: tuple[str | int, ...]
) -> tuple[list[Any], dict[tuple[str | int, ...], list[str]]]:
    """Part the problems about types from the others: by place, what may stand there.

    A value that may be one of several types has a problem for each; where it has one of them and something
    inside is wrong, only that is.
    """
    others: list[Any] = []
    types: dict[tuple[str | int, ...], list[str]] = {}
    for problem in problems:
        words = _TYPES.get(problem["type"])
        if words is None:
            others.append(problem)
        else:
            place = (*start, *_real_path(root, start, problem["loc"]))
            types.setdefault(place, []).append(words)
    inner = {place[:size] for place in types for size in range(len(place))}
    return others, {place: list(dict.fromkeys(words)) for place, words in types.items() if place not in inner}


def _wrong_type(
    document: Document, place: tuple[str | int, ...], words: Sequence[str], code: str, kind: str
) -> Diagnostic:
    """Return that a value is of none of the types it may have."""
    at = next((size for size in range(len(place), 0, -1) if isinstance(place[size - 1], str)), 0)
    name = f"{place[at - 1]}{''.join(f'[{each}]' for each in place[at:])}" if at else kind
    allowed = f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
    is_ = _type_name(_value_at(document.value, place))
    of = f" for {kind}" if kind else ""
    return document.diagnose(code, f'"{name}"{of}: must be {allowed}, not {is_}', *place, on_value=True)


def _order(found: Diagnostic) -> tuple[int, int]:
    return (found.where.line, found.where.column) if found.where else (0, 0)


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
