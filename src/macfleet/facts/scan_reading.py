"""Reads JSON that a stranger wrote: size, types and duplicate keys before anything is believed."""

from __future__ import annotations

import json
from typing import Annotated, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from macfleet.facts.model_bytes import shown

SCAN_LIMIT = 128 * 2**20
"""Bytes a report may have; those of large images with every advisory in full have a quarter of it."""
Words = Annotated[str, Field(max_length=4000)]


class ScanRefused(ValueError):
    """The report or statement is not what its format promises; one line without a full stop."""


class Part(BaseModel):
    """Part of a document of others, who may add keys; what is read has the type the format promises."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True, defer_build=True, strict=True)


_Document = TypeVar("_Document", bound=Part)


def read(model: type[_Document], text: bytes, what: str, limit: int = SCAN_LIMIT) -> _Document:
    """Return a JSON document as `model`.

    Raises:
        ScanRefused: it is longer than `limit` bytes, no JSON, has a key twice, or a value of another type.
    """
    if len(text) > limit:
        raise ScanRefused(f"{what} is longer than {limit // 2**20} MiB")
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ScanRefused(f"{what} is not of its format: {shown(place)}: {shown(first['msg'])}") from error
    except RecursionError as error:
        raise ScanRefused(f"{what} is nested too deeply") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ScanRefused(f"{what} is not JSON") from error


def plain(text: str, what: str) -> str:
    """Return a name that may stand in a message (raises ScanRefused: it is empty, long or unprintable)."""
    if not text or len(text) > 300 or not text.isprintable():
        raise ScanRefused(f"{what} cannot be one: {shown(text[:80])}")
    return text


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ScanRefused(f"key {shown(twice)} stands twice, so nobody can say which value counts")
    return found


def _no_number(constant: str) -> NoReturn:
    raise ScanRefused(f"{constant} is no number of JSON")
