"""A part of a document as a document of its own, with its places kept."""

from __future__ import annotations

from collections.abc import Mapping

from macfleet.documents import Document
from macfleet.model.json import Json


def section(document: Document, *path: str | int) -> Document:
    """Return the part at `path`; its value is None when there is nothing."""
    value: Json = document.value
    for part in path:
        if isinstance(value, Mapping) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        else:
            value = None
    size = len(path)
    keys = {place[size:]: mark for place, mark in document.keys.items() if place[:size] == path}
    values = {place[size:]: mark for place, mark in document.values.items() if place[:size] == path}
    return Document(value, document.file, document.lines, keys, values)
