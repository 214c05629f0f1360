"""Tables and sentences out of pydantic models and docstrings."""
# ruff: noqa: INP001  (read by the script beside it)

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pydantic import BaseModel

from macfleet.documents.keys import keys_of, nested

__all__ = ["cell", "doc", "first", "lower", "model_table", "nested"]


def model_table(model: type[BaseModel], defaults: Mapping[str, str] | None = None) -> str:
    """Return a table of a model's fields; `defaults` name what the model itself does not know."""
    rows = [
        f"| `{key.name}` | {key.shape} | {key.default} | {cell(key.meaning)} |"
        for key in keys_of(model, defaults)
    ]
    return "\n".join(["| key | value | default | meaning |\n|---|---|---|---|", *rows, ""])


def doc(thing: type | Callable[..., object]) -> str:
    """Return a docstring as one paragraph, without its attributes."""
    text = (thing.__doc__ or "").partition("\n\n    Attributes:")[0]
    return re.sub(r"``([^`]+)``", r"`\1`", " ".join(text.split()))


def first(text: str) -> str:
    """Return the first sentence."""
    found = re.match(r".+?[.](?= [A-Z]|$)", " ".join(text.split()))
    return found[0] if found else text


def lower(text: str) -> str:
    """Return text with a small first letter."""
    return text[:1].lower() + text[1:]


def cell(text: str) -> str:
    """Return text that can stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
