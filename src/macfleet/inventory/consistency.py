"""What must hold across nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from macfleet.inventory.fleet import Group
from macfleet.inventory.names import ALWAYS_KNOWN, EVERYTHING, IMPLICIT_KINDS
from macfleet.inventory.tree import Tree
from macfleet.model.diagnostic import Diagnostic, Location, Severity
from macfleet.model.node import Node


def check_fleet(tree: Tree, nodes: Sequence[Node]) -> list[Diagnostic]:
    """Return what is wrong between nodes that are each right: names, endpoints, pools, group names."""
    return [
        *_names(tree),
        *_endpoints(tree, nodes),
        *_pools(tree, nodes),
        *_relays(tree, nodes),
        *_contradictions(tree, nodes),
    ]


def find_warnings(groups: Mapping[str, Group]) -> tuple[Diagnostic, ...]:
    """Return findings that stop nothing: a group without a node."""
    return tuple(
        Diagnostic("E0240", f'group "{group.name}" has no node', where=group.where, severity=Severity.WARNING)
        for group in groups.values()
        if not group.nodes and group.name != EVERYTHING
    )


def _names(tree: Tree) -> Iterable[Diagnostic]:
    seen: dict[str, str] = {}
    for node in tree.nodes.values():
        other = seen.setdefault(node.name.casefold(), node.name)
        if other != node.name:
            yield Diagnostic(
                "E0209",
                f'nodes "{other}" and "{node.name}" differ in upper and lower case alone',
                why=f"{tree.nodes[other].where} has the first. Their evidence would share one folder on a "
                "disk that ignores case, as a Mac's does.",
                mend="Rename one of them.",
                where=node.where,
            )
        if node.name in tree.groups or node.name in ALWAYS_KNOWN:
            group = tree.groups.get(node.name)
            first = f"{group.where} has the group. " if group and group.where else ""
            yield Diagnostic(
                "E0209",
                f'"{node.name}" is a node and a group',
                why=f"{first}A pattern such as --limit could mean either.",
                mend="Rename one of them.",
                where=node.where,
            )


def _endpoints(tree: Tree, nodes: Sequence[Node]) -> Iterable[Diagnostic]:
    seen: dict[tuple[str, int, str], Node] = {}
    for node in nodes:
        key = (node.endpoint.host, node.endpoint.port, node.endpoint.jump)
        other = seen.setdefault(key, node)
        if other is not node:
            yield Diagnostic(
                "E0215",
                f'nodes "{other.name}" and "{node.name}" are both {key[0]} port {key[1]}',
                why=f"{_place(tree, other, 'ansible_host')} says the same. One Mac under two names would be "
                "drained, locked and measured twice at once.",
                mend="Remove one of them, or correct ansible_host.",
                where=_place(tree, node, "ansible_host"),
            )


def _pools(tree: Tree, nodes: Sequence[Node]) -> Iterable[Diagnostic]:
    seen: dict[str, Node] = {}
    for node in nodes:
        other = seen.setdefault(node.pool, node)
        if node.pool and other.min_ready != node.min_ready:
            yield Diagnostic(
                "E0216",
                f'pool "{node.pool}" has min_ready {other.min_ready} on {other.name} '
                f"and {node.min_ready} on {node.name}",
                why=f"{other.name} stands at {_place(tree, other, 'min_ready')}. min_ready guards the pool "
                "as a whole, so its nodes must agree.",
                mend="Set it once, in the `vars:` of the group that holds the pool.",
                where=_place(tree, node, "min_ready"),
            )


def _relays(tree: Tree, nodes: Sequence[Node]) -> Iterable[Diagnostic]:
    for node in nodes:
        if node.relay and not node.site:
            yield Diagnostic(
                "E0643",
                f'"{node.name}" relays images within its site, and has none',
                why="Layers go from node to node only where both stand in one place.",
                mend="Give it site: in the inventory, or take relay: away.",
                where=_place(tree, node, "relay"),
            )


def _contradictions(tree: Tree, nodes: Sequence[Node]) -> Iterable[Diagnostic]:
    """A written group that is named like an implicit one must not say something else of a node."""
    for kind in IMPLICIT_KINDS:
        values = {str(getattr(node, kind)) for node in nodes} & tree.groups.keys()
        if kind == "ownership":
            values |= ALWAYS_KNOWN & tree.groups.keys() & {"owned", "rented"}
        for node in nodes:
            actual = str(getattr(node, kind))
            if not actual:
                continue  # unset says nothing that could contradict
            for value in sorted(values & set(node.groups) - {actual}):
                yield Diagnostic(
                    "E0217",
                    f'{node.name} is in group "{value}", but its {kind} is "{actual}"',
                    why=f'"{value}" is also the group of all nodes whose {kind} is {value}.',
                    mend=f"Set {kind}: {value} in the group's `vars:`, or rename the group.",
                    where=_place(tree, node, kind),
                    node=node.name,
                )


def _place(tree: Tree, node: Node, variable: str) -> Location:
    entry = tree.nodes[node.name]
    own = [each.where for each in entry.assignments if each.name == variable]
    return own[-1] if own else entry.where
