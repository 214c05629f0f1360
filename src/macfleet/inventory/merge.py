"""Which value counts: all < parent < child < node, and siblings that disagree are an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from macfleet.inventory.tree import Assignment, GroupEntry, NodeEntry, Tree
from macfleet.model.diagnostic import Diagnostic, Severity
from macfleet.model.json import Json

PRIORITY = "ansible_group_priority"


@dataclass(frozen=True, slots=True)
class Merged:
    """A variable of one node.

    Attributes:
        ladder: every assignment that reaches the node with its owner, the weakest first.
        winner: the assignment that counts.
    """

    ladder: tuple[tuple[str, Assignment], ...]
    winner: Assignment


class Merger:
    """Merges variables over one tree; what depends on the groups alone is worked out once."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._above = {name: frozenset(tree.ancestors([name])) - {name} for name in tree.groups}
        self._depth = {name: tree.depth(name) for name in tree.groups}
        self._problems: dict[tuple[object, ...], Diagnostic] = {}
        self._warnings: dict[tuple[object, ...], Diagnostic] = {}
        self._own: dict[tuple[str, str], dict[str, list[Assignment]]] = {}
        self._priority = {name: self._read_priority(group) for name, group in tree.groups.items()}

    @property
    def problems(self) -> tuple[Diagnostic, ...]:
        """What `merge` found wrong so far."""
        return tuple(self._problems.values())

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Where `merge` so far decided what Ansible decides otherwise."""
        return tuple(self._warnings.values())

    def groups_of(self, node: NodeEntry) -> tuple[str, ...]:
        """Return the node's groups from weakest to strongest, as Ansible orders them."""
        return tuple(sorted(self._tree.ancestors(node.groups), key=self._strength))

    def merge(self, node: NodeEntry) -> dict[str, Merged]:
        """Return every variable that the groups and the node itself set, sorted by name."""
        ladders: dict[str, list[tuple[str, Assignment]]] = {}
        strongest: dict[str, dict[str, Assignment]] = {}
        for group in self.groups_of(node):
            for name, assigned in self._of("group", self._tree.groups[group]).items():
                ladders.setdefault(name, []).extend((f"group {group}", each) for each in assigned)
                strongest.setdefault(name, {})[group] = assigned[-1]
        own = self._of("node", node)
        for name, assigned in own.items():
            ladders.setdefault(name, []).extend((f"node {node.name}", each) for each in assigned)
        return {
            name: Merged(
                tuple(ladders[name]), own[name][-1] if name in own else self._among(node, strongest[name])
            )
            for name in sorted(ladders)
        }

    def _strength(self, group: str) -> tuple[int, int, str]:
        return (self._depth[group], self._priority[group], group)

    def _of(self, kind: str, owner: GroupEntry | NodeEntry) -> Mapping[str, list[Assignment]]:
        """Return an owner's assignments by variable, the strongest last; one file may say it once."""
        known = self._own.get((kind, owner.name))
        if known is not None:
            return known
        found: dict[str, list[Assignment]] = {}
        for each in sorted(owner.assignments, key=lambda assigned: assigned.rank):
            found.setdefault(each.name, []).append(each)
        for name, assigned in found.items():
            for one, other in pairwise(assigned):
                if one.document is other.document and not same(one.value, other.value):
                    self._disagree(f'"{name}" of {kind} {owner.name} is set twice', one, other)
        self._own[kind, owner.name] = found
        return found

    def _among(self, node: NodeEntry, candidates: Mapping[str, Assignment]) -> Assignment:
        """Pick among groups: below wins over above; what is left must agree or be ranked by priority."""
        covered = set().union(*(self._above[group] for group in candidates))
        level = sorted((group for group in candidates if group not in covered), key=self._strength)
        best = level[-1]
        for other in level[:-1]:
            ranked = self._depth[other] == self._depth[best] and self._priority[other] < self._priority[best]
            if not ranked and not same(candidates[other].value, candidates[best].value):
                summary = f'groups "{other}" and "{best}" set "{candidates[best].name}" differently'
                self._disagree(summary, candidates[other], candidates[best], node=node.name)
        self._compare_with_ansible(candidates, best)
        return candidates[best]

    def _compare_with_ansible(self, candidates: Mapping[str, Assignment], best: str) -> None:
        """Warn of a parent's file that Ansible lets win over the `vars:` of a child."""
        won = candidates[best]
        for group, each in candidates.items():
            if each.rank[0] > won.rank[0] and not same(each.value, won.value):
                why = (
                    f'{each.where} of the parent "{group}" says {shown(each.value)}, which Ansible prefers, '
                    "since it is a file of variables; here a child wins over its parent wherever both stand."
                )
                summary = f'Ansible takes "{won.name}" of group "{best}" from elsewhere'
                mend = f"Move it to group_vars/{best}.yml, and both read it alike."
                found = won.diagnose("E0241", summary, why=why, mend=mend)
                self._warnings[won.where, each.where] = replace(found, severity=Severity.WARNING)

    def _disagree(self, summary: str, one: Assignment, other: Assignment, *, node: str = "") -> None:
        key = (summary, one.where, other.where)
        if key in self._problems:
            return
        also = f"{node} is in both, and neither" if node else "Neither"
        says = (f"{each.where} says {shown(each.value)}" for each in (one, other))
        why = f"{', '.join(says)}. {also} comes first."
        mend = "Keep one of the two."
        if node:
            mend = f"Set it on the node, make one group a child of the other, or set {PRIORITY} in `vars:`."
        found = other.diagnose("E0210", summary, why=why, mend=mend)
        self._problems[key] = replace(found, node=node)

    def _read_priority(self, group: GroupEntry) -> int:
        priority = 1
        for each in group.assignments:
            if each.name != PRIORITY:
                continue
            if isinstance(each.value, int) and not isinstance(each.value, bool) and each.rank[0] == 0:
                priority = each.value
                continue
            summary = f"{PRIORITY} must be a whole number in the `vars:` of a hosts file"
            why = "Ansible ignores it in group_vars/, so the two programs would merge differently."
            mend = f"Write it below `vars:` of the group, as in {PRIORITY}: 10."
            self._problems[each.where,] = each.diagnose("E0211", summary, why=why, mend=mend)
        return priority


def same(one: Json, other: Json) -> bool:
    """Whether two values are equal as JSON: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if _is_list(one) and _is_list(other):
        return len(one) == len(other) and all(map(same, one, other))  # type: ignore[arg-type]
    return type(one) is type(other) and one == other


def shown(value: Json) -> str:
    """Return a value as a user would write it, shortened."""
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _is_list(value: Json) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
