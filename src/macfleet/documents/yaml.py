"""YAML text to plain values, with the line and column of every key and item kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import yaml

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file.

    Attributes:
        value: the plain value; None for an empty file.
        file: name shown in diagnostics.
        lines: source lines, for snippets.
        keys: position and length of each mapping key (or list item) by path.
        values: position and length of each value by path.
    """

    value: Json
    file: str
    lines: tuple[str, ...] = ()
    keys: Mapping[Path, tuple[int, int, int]] = field(default_factory=dict)
    values: Mapping[Path, tuple[int, int, int]] = field(default_factory=dict)

    def at(self, *path: str | int) -> Location:
        """Return where the key at `path` stands; the nearest known parent when it does not exist."""
        line, column, _ = self._mark(self.keys, path)
        return Location(self.file, line, column)

    def value_at(self, *path: str | int) -> Location:
        """Return where the value at `path` stands; the nearest known parent when it does not exist."""
        line, column, _ = self._mark(self.values, path)
        return Location(self.file, line, column)

    def diagnose(
        self,
        code: str,
        summary: str,
        *path: str | int,
        why: str = "",
        mend: str = "",
        on_value: bool = False,
        exit_code: ExitCode = ExitCode.USAGE,
    ) -> Diagnostic:
        """Return a diagnostic that points at the key (or with `on_value` the value) at `path`."""
        line, column, span = self._mark(self.values if on_value else self.keys, path)
        snippet = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        where = Location(self.file, line, column)
        return Diagnostic(
            code, summary, why=why, mend=mend, where=where, snippet=snippet, span=span, exit_code=exit_code
        )

    @staticmethod
    def _mark(marks: Mapping[Path, tuple[int, int, int]], path: Path) -> tuple[int, int, int]:
        for length in range(len(path), -1, -1):
            if path[:length] in marks:
                return marks[path[:length]]
        return (1, 1, 0)


def parse_yaml(text: bytes, file: str) -> Document:
    """Parse one YAML document.

    Only plain scalars, sequences and string-keyed mappings are accepted; a key that stands twice in one
    mapping is refused, since YAML would silently keep the last.

    Raises:
        MacfleetError: E0101 syntax or encoding, E0102 duplicate key, E0104 a value that JSON cannot hold.
    """
    try:
        source = text.decode("utf-8")
        root = _compose(source)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise MacfleetError(_syntax(error, file, text)) from error
    lines = tuple(source.splitlines())
    reader = _Reader(file, lines)
    value = reader.read(root, ()) if root is not None else None
    document = Document(value, file, lines, reader.keys, reader.values)
    if reader.problems:
        raise MacfleetError(reader.problems)
    return document


def _compose(source: str) -> yaml.Node | None:
    """Return the node tree; libyaml reads ten times as fast, the Python reader words its findings better."""
    try:
        root: yaml.Node | None = yaml.compose(source, Loader=_FastLoader)
    except yaml.YAMLError:
        root = yaml.compose(source, Loader=_Loader)
    return root


class _Loader(yaml.SafeLoader):
    """Safe YAML with JSON's idea of scalars: dates stay text, only true and false are booleans."""


class _FastLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml, if built in
    """The same, read by libyaml where PyYAML was built with it."""


_RESOLVERS = {
    first: [(tag, pattern) for tag, pattern in rules if not tag.endswith((":timestamp", ":bool", ":merge"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _first, _words in (("t", "true"), ("T", "True"), ("f", "false"), ("F", "False")):
    _rule = ("tag:yaml.org,2002:bool", re.compile(f"^(?:{_words})$"))
    _RESOLVERS.setdefault(_first, []).append(_rule)
_Loader.yaml_implicit_resolvers = _FastLoader.yaml_implicit_resolvers = _RESOLVERS


class _Reader:
    """Walks the node tree once, collecting values, positions and problems."""

    def __init__(self, file: str, lines: tuple[str, ...]) -> None:
        self.file = file
        self.lines = lines
        self.keys: dict[Path, tuple[int, int, int]] = {}
        self.values: dict[Path, tuple[int, int, int]] = {}
        self.problems: list[Diagnostic] = []
        self._constructor = _Loader("")

    def read(self, node: yaml.Node, path: Path) -> Json:
        """Return the plain value of a node and note where it and its children stand."""
        self.values[path] = _mark(node)
        self.keys.setdefault(path, self.values[path])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Json:
        result: dict[str, Json] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem("E0104", "a key must be plain text", key_node)
            elif key in result:
                self._problem("E0102", f'key "{key}" stands twice in one mapping', key_node)
            self.keys[(*path, key)] = _mark(key_node)
            result[key] = self.read(value_node, (*path, key))
        return result

    def _scalar(self, node: yaml.Node) -> Json:
        try:
            value = self._constructor.construct_object(node, deep=True)
        except (yaml.YAMLError, ValueError) as error:
            self._problem("E0104", f"a value that cannot be read: {error}", node)
            return None
        if value is None or isinstance(value, bool | int | float | str):
            return cast("Json", value)
        self._problem("E0104", f"a value of type {type(value).__name__} cannot be used here", node)
        return None

    def _problem(self, code: str, summary: str, node: yaml.Node) -> None:
        line, column, span = _mark(node)
        snippet = self.lines[line - 1] if line <= len(self.lines) else ""
        where = Location(self.file, line, column)
        mend = "Keep one of the two." if code == "E0102" else ""
        self.problems.append(Diagnostic(code, summary, where=where, snippet=snippet, span=span, mend=mend))


def _mark(node: yaml.Node) -> tuple[int, int, int]:
    start, end = node.start_mark, node.end_mark
    span = end.column - start.column if end.line == start.line else 1
    return (start.line + 1, start.column + 1, max(span, 1))


def _syntax(error: Exception, file: str, text: bytes) -> Diagnostic:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return Diagnostic("E0101", "the file is not valid YAML text", why=str(error), where=Location(file))
    lines = text.decode("utf-8", "replace").splitlines()
    snippet = lines[mark.line] if mark.line < len(lines) else ""
    where = Location(file, mark.line + 1, mark.column + 1)
    problem = str(getattr(error, "problem", "") or error)
    return Diagnostic("E0101", f"not valid YAML: {problem}", where=where, snippet=snippet, span=1)
