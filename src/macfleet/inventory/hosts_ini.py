"""Hosts files in Ansible's INI layout: ``[group]``, ``[group:children]``, ``[group:vars]``."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from macfleet.documents import Document, decoded, nearest
from macfleet.inventory.ini_text import IniProblem, Word, has_loose_hash, read_value, split_words
from macfleet.inventory.names import EVERYTHING, UNGROUPED
from macfleet.inventory.placing import Placer
from macfleet.inventory.tree import GroupEntry, Path, Tree
from macfleet.model.json import Json

SECTIONS = ("hosts", "children", "vars")
_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_CHILD = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")


def place_ini(tree: Tree, text: bytes, file: str, rank: tuple[int, int]) -> None:
    """Read one INI hosts file into the tree; nodes before the first section are in no group.

    Raises:
        MacfleetError: E0101 the file is not UTF-8.
    """
    lines = tuple(decoded(text, file).splitlines())
    marks: dict[Path, tuple[int, int, int]] = {}
    values: dict[Path, tuple[int, int, int]] = {}
    document = Document(None, file, lines, marks, values)
    _IniHosts(Placer(tree, document, rank), marks, values).read(lines)


@dataclass(slots=True)
class _IniHosts:
    """Walks the lines of one file; paths are (line number, variable)."""

    placer: Placer
    keys: dict[Path, tuple[int, int, int]]
    values: dict[Path, tuple[int, int, int]]
    group: GroupEntry | None = None
    kind: str = "hosts"
    declared: set[str] = field(default_factory=lambda: {EVERYTHING, UNGROUPED})
    wanted: dict[str, tuple[str, Path]] = field(default_factory=dict)

    def read(self, lines: tuple[str, ...]) -> None:
        """Take in every line, then report groups that are mentioned and never declared."""
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if text and text[0] not in "#;":
                column = line.index(text[0]) + 1
                self._mark((number,), column, len(text))
                self._line(number, text, column)
        for name, (section, path) in self.wanted.items():
            if name not in self.declared:
                guess = nearest(name, self.declared - {EVERYTHING, UNGROUPED})
                mend = f'did you mean "{guess}"?' if guess else f"Add a section [{name}]."
                self._problem(
                    "E0230", f'{section} names the group "{name}", which has no section', path, mend
                )

    def _line(self, number: int, text: str, column: int) -> None:
        section = _SECTION.fullmatch(text)
        if section:
            self._section(section[1], section[2] or "hosts", (number,))
        elif text.startswith("[") and text.endswith("]"):
            mend = "A section is [group], [group:children] or [group:vars], without spaces."
            self._problem("E0230", f'"{text}" is no section', (number,), mend)
            self.group, self.kind = None, "skip"
        elif self.kind == "hosts":
            self._host(number, text, column)
        elif self.kind == "children":
            self._child(number, text)
        elif self.kind == "vars":
            self._variable(number, text, column)

    def _section(self, name: str, kind: str, path: Path) -> None:
        self.group, self.kind = None, "skip"
        if kind not in SECTIONS:
            guess = nearest(kind, SECTIONS)
            mend = f'did you mean "{name}:{guess}"?' if guess else f"Known kinds: {', '.join(SECTIONS)}."
            self._problem("E0230", f'section "{name}" has the unknown kind "{kind}"', path, mend)
            return
        if kind == "vars":
            self.wanted.setdefault(name, (f"section [{name}:vars]", path))
        else:
            self.declared.add(name)
        if kind == "children" and name == UNGROUPED:
            self._problem("E0208", '"ungrouped" holds nodes that are in no group; it has no children', path)
            return
        self.group = self.placer.group(name, path)
        self.kind = kind if self.group is not None else "skip"

    def _host(self, number: int, text: str, column: int) -> None:
        try:
            words = split_words(text)
        except IniProblem as problem:
            self._mark((number,), column + problem.column - 1, 1)
            self._problem("E0230", f"the line cannot be read: {problem}", (number,))
            return
        if self.group is None:
            self.group = self.placer.group(UNGROUPED, (number,))
        if self.group is None or not words:
            return
        name, variables = words[0], dict[str, Json]()
        self._mark((number,), column + name.column - 1, name.span)
        for word in words[1:]:
            self._assignment(number, word, column, variables)
        self.placer.nodes(self.group, name.text, variables, (number,))

    def _assignment(self, number: int, word: Word, column: int, variables: dict[str, Json]) -> None:
        key, equals, value = word.text.partition("=")
        path = (number, key)
        if key in variables:
            self._problem("E0102", f'"{key}" stands twice in one line', path, "Keep one of the two.")
            return
        self._mark(path, column + word.column - 1, word.span)
        if not equals:
            self._problem("E0230", f'"{word.text}" is no variable', path, "Write key=value after the node.")
            return
        self._value(variables, key, value, path)

    def _variable(self, number: int, text: str, column: int) -> None:
        key, equals, value = (part.strip() for part in text.partition("="))
        path = (number, key)
        self._mark(path, column, len(text))
        if not equals:
            self._problem("E0230", f'"{text}" is no variable', (number,), "Write key=value.")
            return
        if has_loose_hash(value):
            mend = "Give the comment a line of its own, or put the value in quotes."
            self._problem("E0230", "a comment cannot follow a value in a :vars section", path, mend)
            return
        variables: dict[str, Json] = {}
        self._value(variables, key, value, path)
        if self.group is not None:
            self.placer.assign(self.group, variables, (number,))

    def _value(self, variables: dict[str, Json], key: str, value: str, path: Path) -> None:
        try:
            variables[key] = read_value(value)
        except ValueError as problem:
            self._problem("E0230", f'"{key}": {problem}', path)

    def _child(self, number: int, text: str) -> None:
        matched = _CHILD.fullmatch(text)
        if matched is None or self.group is None:
            self._problem("E0230", f'"{text}" is no group', (number,), "Write one group a line.")
            return
        self._mark((number,), self.keys[number,][1], len(matched[1]))
        self.wanted.setdefault(matched[1], (f"section [{self.group.name}:children]", (number,)))
        self.placer.group(matched[1], (number,), self.group.name)

    def _mark(self, path: Path, column: int, span: int) -> None:
        self.keys[path] = self.values[path] = (int(path[0]), column, max(span, 1))

    def _problem(self, code: str, summary: str, path: Path, mend: str = "") -> None:
        self.placer.problem(code, summary, path, mend=mend)
