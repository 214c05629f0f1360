"""Where a variable comes from, and how groups hang together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from macfleet.documents import nearest
from macfleet.inventory.fleet import Contender, Group, Inventory
from macfleet.inventory.names import EVERYTHING
from macfleet.model.diagnostic import Diagnostic, MacfleetError


@dataclass(frozen=True, slots=True)
class Branch:
    """A group in the graph with the groups below it and the nodes listed in it."""

    name: str
    branches: tuple[Branch, ...] = ()
    nodes: tuple[str, ...] = ()
    kind: str = ""


def explain(
    inventory: Inventory,
    node: str,
    variable: str,
    weaker: Iterable[Contender] = (),
    stronger: Iterable[Contender] = (),
) -> tuple[Contender, ...]:
    """Return every place that gives the node's variable a value, the weakest first.

    One place of the inventory is the winner. What roles and playbooks say of the variable, each within
    itself, is given: `weaker` counts where the inventory says nothing, `stronger` whatever it says.

    Raises:
        MacfleetError: E0220 the node does not exist, or nothing gives it this variable.
    """
    contenders = inventory.contenders[inventory.node(node).name]
    own = contenders.get(variable, ())
    above = tuple(stronger)
    last = {each.scope: each for each in above}
    found = (
        *(replace(each, winner=not own and each.scope not in last) for each in weaker),
        *own,
        *(replace(each, winner=each is last[each.scope]) for each in above),
    )
    if not found:
        guess = nearest(variable, contenders)
        raise MacfleetError(
            Diagnostic(
                "E0220",
                f'nothing gives {node} a variable "{variable}"',
                mend=f'did you mean "{guess}"?'
                if guess
                else f"`macfleet inventory show {node}` lists them all.",
            )
        )
    return found


def graph(inventory: Inventory) -> tuple[Branch, ...]:
    """Return `all` with everything below it, then the implicit groups, sorted by kind and name."""
    implicit = sorted((each for each in inventory.groups.values() if each.kind), key=_by_kind)
    below = tuple(
        name
        for name, group in inventory.groups.items()
        if not group.kind and name != EVERYTHING and not _inside_another(inventory, name)
    )
    return (
        _branch(inventory, inventory.groups[EVERYTHING], below),
        *(Branch(each.name, (), each.nodes, each.kind) for each in implicit),
    )


def _by_kind(group: Group) -> tuple[str, str]:
    return (group.kind, group.name)


def _inside_another(inventory: Inventory, name: str) -> bool:
    return any(name in group.children for group in inventory.groups.values() if group.name != EVERYTHING)


def _branch(inventory: Inventory, group: Group, children: tuple[str, ...]) -> Branch:
    branches = (
        _branch(inventory, inventory.groups[child], inventory.groups[child].children)
        for child in sorted(children)
    )
    return Branch(group.name, tuple(branches), tuple(sorted(group.direct)))
