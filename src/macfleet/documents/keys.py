"""What a model at the border accepts, in words: for reference pages and for `macfleet docs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel

from macfleet.documents.quantities import Seconds, Size
from macfleet.model.quantity import show_bytes


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a mapping: what its value looks like, its default as it is written, what it means."""

    name: str
    shape: str
    default: str
    meaning: str

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default == REQUIRED


REQUIRED = "required"


def keys_of(model: type[BaseModel], defaults: Mapping[str, str] | None = None) -> tuple[Key, ...]:
    """Return a model's keys in order; `defaults` name what the model itself does not know."""
    schema = model.model_json_schema()
    loose = _read_before(model)
    found = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        shape = _shape(schema["properties"][key], schema.get("$defs", {}))
        default = (defaults or {}).get(name) or _default(field.get_default(call_default_factory=True), field)
        if name in loose and shape == "a number":
            shape = "a time"
            default = default if field.default is None or field.is_required() else f"`{_time(field.default)}`"
        elif name in loose and shape == "a whole number":
            shape = "a size"
            default = default if field.is_required() or not field.default else f"`{_size(field.default)}`"
        found.append(Key(key, shape, default, " ".join((field.description or "").split())))
    return tuple(found)


def nested(model: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    """Return the models inside a model, with the names of the fields that hold them."""
    return [
        (name, found) for name, field in model.model_fields.items() for found in _models_in(field.annotation)
    ]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]


def _read_before(model: type[BaseModel]) -> set[str]:
    """Return fields whose text is read before it becomes a number: sizes and times."""
    readers = [get_args(quantity)[1] for quantity in (Seconds, Size)]
    return {
        name
        for name, field in model.model_fields.items()
        # An optional one bears its mark inside the union.
        if any(mark in readers for mark in (*field.metadata, *_marks(field.annotation)))
    }


def _marks(annotation: Any) -> list[Any]:
    return [mark for part in get_args(annotation) for mark in get_args(part)[1:]]


def _time(seconds: float) -> str:
    """Return a time as it is written in YAML."""
    sizes = ((86400, "d"), (3600, "h"), (60, "m"))
    return next(
        (f"{seconds // size:g}{unit}" for size, unit in sizes if seconds % size == 0), f"{seconds:g}s"
    )


def _size(size: int) -> str:
    """Return a size as it is written in YAML."""
    return show_bytes(size).replace(" ", "")


def _shape(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:  # noqa: PLR0911 (a return a shape)
    """Return what a value looks like, in words."""
    if "$ref" in schema:
        return _shape(named[str(schema["$ref"]).rpartition("/")[2]], named)
    if "allOf" in schema:
        return _shape(schema["allOf"][0], named)
    if "anyOf" in schema:
        shapes = [_shape(each, named) for each in schema["anyOf"] if each.get("type") != "null"]
        return ", or ".join(dict.fromkeys(shapes))
    if "enum" in schema:
        return " or ".join(f"`{each}`" if each else "empty" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"a list of {_plural(_shape(schema.get('items', {}), named))}"
    words = {
        "string": "text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "object": "a mapping",
    }
    return words.get(str(schema.get("type")), "anything")


def _plural(shape: str) -> str:
    return {"a mapping": "mappings", "anything": "items", "a whole number": "whole numbers"}.get(shape, shape)


def _default(value: Any, field: Any) -> str:  # noqa: PLR0911 (a return a type)
    if field.is_required():
        return REQUIRED
    if value is None or value == "" or (not isinstance(value, bool | int | float | str) and not value):
        return "none"
    if isinstance(value, BaseModel):
        return "as below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{value:g}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"
