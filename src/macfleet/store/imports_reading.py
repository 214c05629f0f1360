"""Text another load generator left, made into values: nothing of it is trusted, every problem is told."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from macfleet.documents import parse_yaml
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json

LARGEST = 128 << 20
_LARGEST_YAML = 4 << 20
_LONGEST = 1_000_000
_GREATEST = 1e19
_TOLD = 20
"""Problems that are told of one file; a file with more is not what it was taken for."""


def read_documents(path: Path) -> tuple[bytes, tuple[Json, ...]]:
    """Return a file's bytes and its documents: one of JSON or YAML, or one a line.

    ``NaN`` and ``Infinity`` are let through, as some tools write them where nobody looks; `Values` refuses
    them where they are looked at.

    Raises:
        MacfleetError: E1060 it cannot be read or is too large, E1061 it is neither JSON nor YAML, or says
            something twice.
    """
    try:
        size = path.stat().st_size
        content = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise MacfleetError(_unread(path, f"{error.strerror}.")) from error
    if size > LARGEST:
        raise MacfleetError(_unread(path, f"It has {size:,} bytes; {LARGEST:,} are read at most."))
    try:
        return content, _documents(content.decode("utf-8"), path)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise MacfleetError(
            Diagnostic(
                "E1061",
                f"{path.name} cannot be read as the result of a load generator",
                why=f"{why[:1].upper()}{why[1:300]}.",
                mend="Give the JSON file that the tool wrote, unchanged.",
            )
        ) from error


@dataclass(frozen=True, slots=True)
class Values:
    """One part of a document; what is taken out of it is checked, and problems are kept for the end.

    Attributes:
        file: name shown in diagnostics; place: where in the document this part stands.
    """

    value: Json
    file: str
    place: str = ""
    problems: list[Diagnostic] = field(default_factory=list)

    def at(self, *path: str | int) -> Values:
        """Return the part below `path`; a part that is missing has the value None."""
        value = self.value
        for step in path:
            if isinstance(step, str) and isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(step, int) and isinstance(value, list) and step < len(value):
                value = value[step]
            else:
                value = None
        shown = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        return replace(self, value=value, place=f"{self.place}{shown}".removeprefix("."))

    def first(self, *paths: tuple[str, ...]) -> Values:
        """Return the first part that is there, else the last one asked for."""
        found = [self.at(*path) for path in paths]
        return next((each for each in found if each.value is not None), found[-1])

    def number(self, *path: str | int) -> float | None:
        """Return a finite number of at least 0; None where there is none."""
        part = self.at(*path)
        value = part.value
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            part.refuse(f"{_shown(value)} is not a number")
        elif isinstance(value, float) and not math.isfinite(value):
            part.refuse("it is not a finite number")
        elif not 0 <= value <= _GREATEST:
            part.refuse(f"it is not between 0 and {_GREATEST:g}")
        else:
            return float(value)
        return None

    def count(self, *path: str | int) -> int | None:
        """Return a whole number of at least 0; tools write some of them as 20.0."""
        found = self.number(*path)
        if found is None or found.is_integer():
            return None if found is None else int(found)
        self.at(*path).refuse(f"{found:g} is not a whole number")
        return None

    def text(self, *path: str | int) -> str:
        """Return text that can be shown on one line, cut at 120 characters; empty where there is none."""
        value = self.at(*path).value
        return "".join(c for c in value if c.isprintable())[:120] if isinstance(value, str) else ""

    def items(self, *path: str | int) -> list[Values]:
        """Return the parts of a list; none where there is no list."""
        part = self.at(*path)
        if part.value is None:
            return []
        if not isinstance(part.value, list):
            part.refuse(f"{_shown(part.value)} is not a list")
            return []
        if len(part.value) > _LONGEST:
            part.refuse(f"it has {len(part.value):,} entries; {_LONGEST:,} are read at most")
            return []
        return [replace(self, value=each, place=f"{part.place}[{i}]") for i, each in enumerate(part.value)]

    def refuse(self, why: str) -> None:
        """Keep a problem with this part; those beyond the first twenty are dropped."""
        if len(self.problems) < _TOLD:
            self.problems.append(
                Diagnostic(
                    "E1063",
                    f"{self.file}: {self.place or 'the document'} cannot be used",
                    why=f"{why[:1].upper()}{why[1:]}.",
                    mend="Give the file as the tool wrote it.",
                )
            )


def _documents(text: str, path: Path) -> tuple[Json, ...]:
    stripped = text.lstrip()
    if not stripped.startswith(("{", "[")):
        if len(text) > _LARGEST_YAML:
            raise ValueError(f"YAML of more than {_LARGEST_YAML:,} bytes is not read; convert it to JSON")
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, Loader=yaml.SafeLoader)):
            raise ValueError("it has aliases, by which a small file can become a huge one")
        return (parse_yaml(text.encode(), path.name).value,)
    head, _, rest = stripped.partition("\n")
    if rest.strip() and _is_whole(head):
        lines = [line for line in stripped.splitlines() if line.strip()]
        if len(lines) > _LONGEST:
            raise ValueError(f"it has {len(lines):,} lines; {_LONGEST:,} are read at most")
        return tuple(_parsed(line) for line in lines)
    return (_parsed(stripped),)


def _is_whole(line: str) -> bool:
    """Whether a line is a document by itself."""
    try:
        _parsed(line)
    except json.JSONDecodeError:
        return False
    return True


def _parsed(text: str) -> Json:
    document: Json = json.loads(text, object_pairs_hook=_once)
    return document


def _once(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(
                f"the key {key[:60]!r} stands twice in one object, so that one of them is hidden"
            )
        found[key] = value
    return found


def _shown(value: Json) -> str:
    names = {bool: "true or false", str: "text", list: "a list"}
    return names.get(type(value), "a mapping" if isinstance(value, Mapping) else "a number")


def _unread(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        "E1060",
        f"cannot read {path}",
        why=why,
        mend="Name the file that the load generator wrote.",
        exit_code=ExitCode.USAGE,
    )
