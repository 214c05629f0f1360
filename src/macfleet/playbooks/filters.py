"""The filters macfleet adds to Jinja2's, and how values enter shell text."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterable, Mapping

import yaml
from jinja2.runtime import Undefined

from macfleet.playbooks.shell_text import shell_word

_GIB = 2**30


def shell_output(value: object) -> object:
    """Return what an expression in shell text prints: its value, quoted."""
    return value if isinstance(value, Undefined) else shell_word(value)


def to_yaml(value: object, indent: int = 2) -> str:
    """Return block YAML with sorted keys and no final newline."""
    text: str = yaml.safe_dump(plain(value), indent=indent, sort_keys=True, default_flow_style=False)
    return text.removesuffix("...\n").rstrip("\n")


def to_json(value: object, indent: int | None = None) -> str:
    """Return JSON with sorted keys."""
    return json.dumps(plain(value), indent=indent, sort_keys=True, ensure_ascii=False)


def gib(value: float) -> int | float:
    """Return a size in bytes as a number of GiB."""
    amount = value / _GIB
    return int(amount) if amount == int(amount) else amount


def basename(value: str) -> str:
    """Return the last part of a path."""
    return posixpath.basename(value)


def plain(value: object) -> object:
    """Return a value made of dicts and lists alone (an undefined one raises)."""
    if isinstance(value, Undefined):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return value


FILTERS = {
    "quote": shell_word,
    "to_yaml": to_yaml,
    "to_json": to_json,
    "gib": gib,
    "basename": basename,
}
