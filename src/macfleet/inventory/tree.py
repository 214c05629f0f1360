"""What inventory files say, before anything is merged: groups, nodes, and assignments with their places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from macfleet.documents import Document
from macfleet.inventory.names import EVERYTHING
from macfleet.model.diagnostic import Diagnostic, Location
from macfleet.model.json import Json

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One variable set in one place.

    Attributes:
        rank: within one owner the higher rank wins: `vars` and host entries of the sources in their order,
            then `group_vars/` and `host_vars/` files in theirs.
    """

    name: str
    value: Json
    document: Document
    path: Path
    rank: tuple[int, int]

    @property
    def where(self) -> Location:
        """Where the variable's name stands."""
        return self.document.at(*self.path)

    def diagnose(
        self, code: str, summary: str, *inside: str | int, why: str = "", mend: str = ""
    ) -> Diagnostic:
        """Return a diagnostic that points at the value, or at a place inside it."""
        return self.document.diagnose(code, summary, *self.path, *inside, why=why, mend=mend, on_value=True)


@dataclass(slots=True)
class GroupEntry:
    """A group as written; dicts serve as ordered sets."""

    name: str
    where: Location | None = None
    children: dict[str, None] = field(default_factory=dict)
    parents: dict[str, None] = field(default_factory=dict)
    nodes: dict[str, None] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)


@dataclass(slots=True)
class NodeEntry:
    """A node as written."""

    name: str
    where: Location
    groups: dict[str, None] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)


@dataclass(slots=True)
class Tree:
    """Everything the sources say, in the order it was written, with the problems met on the way."""

    groups: dict[str, GroupEntry] = field(default_factory=lambda: {EVERYTHING: GroupEntry(EVERYTHING)})
    nodes: dict[str, NodeEntry] = field(default_factory=dict)
    problems: list[Diagnostic] = field(default_factory=list)

    def group(self, name: str, where: Location) -> GroupEntry:
        """Return the group, made at its first mention."""
        entry = self.groups.setdefault(name, GroupEntry(name, where))
        entry.where = entry.where or where
        return entry

    def node(self, name: str, where: Location) -> NodeEntry:
        """Return the node, made at its first mention."""
        return self.nodes.setdefault(name, NodeEntry(name, where))

    def nest(self, parent: str, child: str) -> None:
        """Make one group a child of another."""
        self.groups[parent].children[child] = None
        self.groups[child].parents[parent] = None

    def ancestors(self, names: Iterable[str]) -> dict[str, None]:
        """Return the groups and everything above them, `all` included; safe on cycles."""
        found: dict[str, None] = {EVERYTHING: None}
        waiting = list(names)
        while waiting:
            name = waiting.pop(0)
            if name not in found:
                found[name] = None
                waiting.extend(self.groups[name].parents)
        return found

    def depth(self, name: str) -> int:
        """Longest way from `all` down to the group; the tree must hold no cycle."""
        if name == EVERYTHING:
            return 0
        return 1 + max((self.depth(parent) for parent in self.groups[name].parents), default=0)
