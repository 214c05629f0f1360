"""Whether nodes have the memory that the contract assumes for an engine; files alone say it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from macfleet.model.contract import Contract
from macfleet.model.diagnostic import Diagnostic
from macfleet.model.node import Arm, Node
from macfleet.model.quantity import show_bytes


def memory_problems(contract: Contract, nodes: Iterable[Node]) -> tuple[Diagnostic, ...]:
    """Return E0677 for each place of a node that is smaller than what one engine is assumed to need.

    Bare engines have the node's unified memory, containers that of the VM; what the inventory does not say
    is not judged. Without assumptions nothing is.
    """
    if contract.memory is None:
        return ()
    needed = contract.memory.needed(contract.engine_slots)
    return tuple(
        Diagnostic(
            "E0677",
            f"an engine is assumed to need {show_bytes(needed)}, {place} has {show_bytes(size)}",
            why=f"Weights {show_bytes(contract.memory.weights)}, {contract.engine_slots} slots of "
            f"{show_bytes(contract.memory.per_slot)}, {show_bytes(contract.memory.overhead)} besides: "
            "what does not fit is swapped or killed.",
            mend=f"Mend memory: in the contract, {key} of {node.name}, or leave the arm out.",
            where=contract.memory.where,
            node=node.name,
        )
        for node in nodes
        for place, key, size in _places(node)
        if size < needed
    )


def _places(node: Node) -> Iterator[tuple[str, str, int]]:
    """Yield where engines of a node run: in words, the variable that says its size, and the bytes."""
    if node.memory and {Arm.BARE, Arm.BARE_CPU, Arm.HOST_ENGINE} & set(node.arms):
        yield "the Mac", "memory", node.memory
    if node.colima is not None and Arm.CONTAINER in node.arms:
        yield "its VM", "colima.memory", node.colima.memory
