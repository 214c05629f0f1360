"""The merged inventory: nodes, groups, and where every variable comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.documents import nearest
from macfleet.inventory.settings import FleetSettings
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json
from macfleet.model.node import Node


@dataclass(frozen=True, slots=True)
class Contender:
    """One place that gives a node's variable a value.

    Attributes:
        value: the value as written, before templates are rendered.
        origin: who gives it: ``group serving``, ``node mac-01``, ``macfleet.yml``, ``built in``.
        where: the place; None for what is built in.
        winner: whether this value counts.
        scope: where alone it counts, such as ``role macos``; empty: everywhere.
    """

    variable: str
    value: Json
    origin: str
    where: Location | None = None
    winner: bool = False
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """A group of nodes.

    Attributes:
        children: groups directly below, in the order written.
        direct: nodes listed in the group itself.
        nodes: every node in or below the group, in inventory order.
        kind: empty for a group somebody wrote; else the variable it follows from, such as ``chip``.
    """

    name: str
    children: tuple[str, ...] = ()
    direct: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    kind: str = ""
    where: Location | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """A valid inventory.

    Attributes:
        nodes: every node, in the order the sources first name them.
        groups: explicit and implicit groups by name, sorted.
        contenders: by node and variable, the weakest first.
        warnings: findings that stop nothing.
    """

    nodes: tuple[Node, ...]
    groups: Mapping[str, Group]
    settings: FleetSettings
    contenders: Mapping[str, Mapping[str, tuple[Contender, ...]]]
    warnings: tuple[Diagnostic, ...] = field(default=())

    def node(self, name: str) -> Node:
        """Return a node by name.

        Raises:
            MacfleetError: E0220 there is none; the nearest name is suggested.
        """
        found = next((node for node in self.nodes if node.name == name), None)
        if found is None:
            raise MacfleetError(unknown_term(name, [node.name for node in self.nodes], "node"))
        return found


def unknown_term(term: str, known: list[str], kind: str) -> Diagnostic:
    """Return the diagnostic of a word that names nothing in the inventory."""
    guess = nearest(term, known)
    return Diagnostic(
        "E0220",
        f'"{term}" matches no {kind} of the inventory',
        why="A word that matches nothing is an error: a typo must not look like success.",
        mend=f'did you mean "{guess}"?' if guess else "`macfleet inventory graph` shows what there is.",
    )
