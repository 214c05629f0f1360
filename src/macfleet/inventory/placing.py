"""Putting what one source says into the tree, whatever the format: names checked, ranges expanded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from macfleet.documents import Document
from macfleet.inventory.addresses import split_port
from macfleet.inventory.names import (
    EVERYTHING,
    GROUP_RULE,
    NODE_RULE,
    VARIABLE_RULE,
    is_group_name,
    is_node_name,
    is_variable_name,
)
from macfleet.inventory.ranges import RangeProblem, expand
from macfleet.inventory.tree import Assignment, GroupEntry, NodeEntry, Path, Tree
from macfleet.model.json import Json

PORT = "ansible_port"


@dataclass(slots=True)
class Placer:
    """Places one source's groups, nodes and variables; problems are collected in the tree.

    Attributes:
        document: gives every path its place in the source.
        rank: how strong the source is, see `Assignment`.
    """

    tree: Tree
    document: Document
    rank: tuple[int, int]

    def group(self, name: str, path: Path, parent: str = EVERYTHING) -> GroupEntry | None:
        """Return the group below its parent, made at its first mention; None for an impossible name."""
        if not is_group_name(name):
            self.problem("E0205", f'"{name}" cannot be a group', path, why=GROUP_RULE)
            return None
        group = self.tree.group(name, self.document.at(*path))
        if name != EVERYTHING:
            self.tree.nest(parent, name)
        elif parent != EVERYTHING:
            self.problem("E0208", '"all" cannot be a child: every group is below it', path, mend="Remove it.")
        return group

    def nodes(
        self, group: GroupEntry, name: str, variables: Mapping[str, Json], path: Path, at: Path | None = None
    ) -> None:
        """Put every node a name with ranges and a port stands for into a group and give it its variables.

        The variables stand at ``(*at, variable)``; `at` is `path` unless said.
        """
        base, port = split_port(name)
        try:
            names = expand(base)
        except RangeProblem as problem:
            mend = "Bounds are inclusive and grow: mac-[01:10], mac-[a:f], mac-[1:9:2]."
            self.problem("E0206", f'range "{name}": {problem}', path, mend=mend)
            return
        for each in names:
            if not is_node_name(each):
                self.problem("E0205", f'"{each}" cannot be a node', path, why=NODE_RULE)
                return
        for each in names:
            node = self.node(group, each, path)
            if port is not None:
                node.assignments.append(Assignment(PORT, port, self.document, path, self.rank))
            self.assign(node, variables, path if at is None else at)

    def node(self, group: GroupEntry, name: str, path: Path) -> NodeEntry:
        """Return one node, put into the group; the name is not looked at."""
        node = self.tree.node(name, self.document.at(*path))
        group.nodes[name] = None
        node.groups[group.name] = None
        return node

    def assign(self, owner: GroupEntry | NodeEntry, variables: Mapping[str, Json], path: Path) -> None:
        """Note every variable set for an owner, each at ``(*path, name)``; impossible names are problems."""
        for name, value in variables.items():
            place = (*path, name)
            if is_variable_name(name):
                owner.assignments.append(Assignment(name, value, self.document, place, self.rank))
            else:
                self.problem("E0205", f'"{name}" cannot be a variable', place, why=VARIABLE_RULE)

    def mapping(self, value: Json, path: Path, what: str) -> Mapping[str, Json]:
        """Return a mapping; empty for nothing, and for something else, which is a problem."""
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return {str(key): inside for key, inside in value.items()}
        summary = f"{what} must be a mapping (a key and a colon on each line)"
        listed = isinstance(value, list)
        mend = (
            "Write each element as a key with a colon: `mac-01:`."
            if listed
            else "Indent `key: value` lines below it."
        )
        self.problem("E0203", summary, path, mend=mend, on_value=True)
        return {}

    def problem(
        self, code: str, summary: str, path: Path, *, why: str = "", mend: str = "", on_value: bool = False
    ) -> None:
        """Note something wrong at a place of the source."""
        found = self.document.diagnose(code, summary, *path, why=why, mend=mend, on_value=on_value)
        self.tree.problems.append(found)
