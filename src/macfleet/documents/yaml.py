"""YAML text to plain values, with the line and column of every key and item kept."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import yaml

from macfleet.documents.text import MOST_LEVELS, decoded, refuse_depth
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json

Path = tuple[str | int, ...]

MOST_REPEATED = 250_000
"""Values that aliases repeat; aliases of aliases can make billions out of one line."""
_MERGE = "<<"
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


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
    mapping is refused, since YAML would silently keep the last. Aliases and merge keys (``<<``) are followed;
    what they bring in stands where it is written.

    Raises:
        MacfleetError: E0101 syntax, encoding or more than 200 levels, E0102 duplicate key, E0104 a value that
            JSON cannot hold or that holds itself.
    """
    source = decoded(text, file)
    try:
        refuse_depth(source)
        root = _compose(source)
    except yaml.YAMLError as error:
        raise MacfleetError(_syntax(error, file, source)) from error
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


_Entries = dict[str, tuple[yaml.Node, yaml.Node]]


class _Reader:
    """Walks the node tree once, collecting values, positions and problems."""

    def __init__(self, file: str, lines: tuple[str, ...]) -> None:
        self.file = file
        self.lines = lines
        self.keys: dict[Path, tuple[int, int, int]] = {}
        self.values: dict[Path, tuple[int, int, int]] = {}
        self.problems: list[Diagnostic] = []
        self._constructor = _Loader("")
        self._open: set[yaml.Node] = set()
        self._entries: dict[yaml.Node, _Entries] = {}
        self._seen: set[yaml.Node] = set()
        self._repeated = 0

    def read(self, node: yaml.Node, path: Path) -> Json:
        """Return the plain value of a node and note where it and its children stand."""
        self.values[path] = _mark(node)
        self.keys.setdefault(path, self.values[path])
        if node.tag.startswith("!") or (node.tag in _COLLECTIONS) is isinstance(node, yaml.ScalarNode):
            self._tagged(node)
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node in self._open or len(path) > MOST_LEVELS:
            depth = f"aliases make more than {MOST_LEVELS} levels"
            self._problem("E0104", "a value cannot hold itself" if node in self._open else depth, node)
            return None
        if self._too_many(node):
            return None
        self._open.add(node)
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self.read(child, (*path, index)) for index, child in enumerate(node.value)]
        finally:
            self._open.remove(node)

    def _too_many(self, node: yaml.Node) -> bool:
        """Count what aliases repeat; the first too many is a problem, and the rest is left out."""
        if node in self._seen:
            before, self._repeated = self._repeated, self._repeated + 1 + len(node.value)
            if before <= MOST_REPEATED < self._repeated:
                self._problem("E0104", f"aliases repeat more than {MOST_REPEATED:,} values", node)
        self._seen.add(node)
        return self._repeated > MOST_REPEATED

    def _mapping(self, node: yaml.MappingNode, path: Path) -> Json:
        result: dict[str, Json] = {}
        for key, (key_node, value_node) in self._entries_of(node).items():
            self.keys[(*path, key)] = _mark(key_node)
            result[key] = self.read(value_node, (*path, key))
        return result

    def _entries_of(self, node: yaml.MappingNode) -> _Entries:
        """Return key and value nodes by key: what is merged in, then what stands in the mapping itself."""
        known = self._entries.get(node)
        if known is not None:
            return known
        own: _Entries = {}
        for key_node, value_node in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem("E0104", "a key must be plain text", key_node)
            elif key in own:
                line, column, _ = _mark(own[key][0])
                first = f"It stands at {Location(self.file, line, column)} already."
                self._problem(
                    "E0102",
                    f'key "{key}" stands twice in one mapping',
                    key_node,
                    "Keep one of the two.",
                    first,
                )
            own[key] = (key_node, value_node)
        found = own
        if _MERGE in own and _is_bare(own[_MERGE][0]):
            self._entries[node] = {}  # a mapping merged into itself adds nothing
            _, source = own.pop(_MERGE)
            found = self._merged(source) | own
        self._entries[node] = found
        return found

    def _merged(self, source: yaml.Node) -> _Entries:
        """Return what a merge key brings in: of a list the earlier mappings win, as in YAML 1.1."""
        listed = source.value if isinstance(source, yaml.SequenceNode) else [source]
        found: _Entries = {}
        for each in reversed(listed):
            if isinstance(each, yaml.MappingNode):
                found |= self._entries_of(each)
            else:
                self._problem(
                    "E0104", f'"{_MERGE}" takes a mapping such as *defaults, or a list of them', each
                )
        return found

    def _scalar(self, node: yaml.Node) -> Json:
        try:
            value = self._constructor.construct_object(node, deep=True)
            if isinstance(value, str) and not value.isascii():
                value = _whole(value)
        except (yaml.YAMLError, ValueError) as error:
            self._problem("E0104", f"a value that cannot be read: {error}", node)
            return None
        if value is None or isinstance(value, bool | int | float | str):
            return cast("Json", value)
        self._problem("E0104", f"a value of type {type(value).__name__} cannot be used here", node)
        return None

    def _tagged(self, node: yaml.Node) -> None:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        mend = "Name the secret where it is used instead, such as vault:PATH or file:PATH."
        self._problem(
            "E0104", f"the tag {tag} is not read here", node, mend if tag == "!vault" else f"Remove {tag}."
        )

    def _problem(self, code: str, summary: str, node: yaml.Node, mend: str = "", why: str = "") -> None:
        line, column, span = _mark(node)
        snippet = self.lines[line - 1] if line <= len(self.lines) else ""
        where = Location(self.file, line, column)
        self.problems.append(Diagnostic(code, summary, why, mend, where=where, snippet=snippet, span=span))


def _is_bare(node: yaml.Node) -> bool:
    """Whether text stands without quotes; in quotes a merge key is a word like any other."""
    return isinstance(node, yaml.ScalarNode) and not node.style


def _mark(node: yaml.Node) -> tuple[int, int, int]:
    start, end = node.start_mark, node.end_mark
    span = end.column - start.column if end.line == start.line else 1
    return (start.line + 1, start.column + 1, max(span, 1))


def _whole(text: str) -> str:
    """Return text with the pairs joined that JSON escapes a character as (raises ValueError for a half)."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise ValueError(f"{text!r} holds half a character of an escaped pair") from error


def _syntax(error: yaml.YAMLError, file: str, source: str) -> Diagnostic:
    problem, line, column = str(getattr(error, "problem", "") or error), 1, 1
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        line, column = mark.line + 1, mark.column + 1
    elif isinstance(error, yaml.reader.ReaderError):  # it counts no lines
        before = source[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        problem = f"the character #x{ord(source[error.position]):02x} cannot stand in a text file"
    lines = source.splitlines()
    snippet = lines[line - 1] if line <= len(lines) else ""
    where = Location(file, line, column)
    return Diagnostic("E0101", f"not valid YAML: {problem}", where=where, snippet=snippet, span=1)
