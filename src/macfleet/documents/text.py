"""Whether bytes are text, and text such as people write: asked before it is parsed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import yaml

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError

MOST_LEVELS = 200
"""Deeper than any file people write; the C reader would end the process some ten thousand levels down."""


def decoded(text: bytes, file: str) -> str:
    """Return a file's text without the mark some editors put first.

    Raises:
        MacfleetError: E0101 it is not UTF-8; the first byte that is not is pointed at.
    """
    try:
        return text.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        wide = text.startswith((b"\xff\xfe", b"\xfe\xff"))
        found = Diagnostic(
            "E0101",
            "the file is not UTF-8 text",
            why="It begins like UTF-16." if wide else f"Byte 0x{text[error.start]:02x} begins no character.",
            mend="Save it as UTF-8.",
            where=Location(file, line, column),
            snippet="" if wide else text.decode("utf-8", "replace").split("\n")[line - 1].rstrip("\r"),
            span=1,
        )
        raise MacfleetError(found) from error


def refuse_depth(source: str) -> None:
    """Raise MarkedYAMLError where YAML is nested too deep to be read level by level.

    A level takes a bracket, or a column of its line; only text with many of either is looked through.
    """
    brackets = source.count("[") + source.count("{")
    if brackets < MOST_LEVELS and max(map(len, source.splitlines()), default=0) < MOST_LEVELS:
        return
    depth = 0
    for event in _events(source):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MOST_LEVELS:
            problem = f"more than {MOST_LEVELS} levels inside one another"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)  # type: ignore[arg-type]


def _events(source: str) -> Iterator[yaml.Event]:
    """Yield what YAML text holds up to where it cannot be read; whoever reads it next says why."""
    with suppress(yaml.YAMLError):
        yield from yaml.parse(source, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
