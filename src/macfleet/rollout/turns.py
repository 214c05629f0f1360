"""A wave larger than the pool's guard lets out at once: those that were refused get another turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from macfleet.rollout.drain_guard import REFUSED_BY_GUARD
from macfleet.rollout.result import FAILURES, NodeResult

Work = Callable[[Sequence[str]], Mapping[str, NodeResult]]


def in_turns(names: Sequence[str], pools: Mapping[str, str], work: Work) -> dict[str, NodeResult]:
    """Work on nodes, again on those the guard refused while others of their pool were out.

    Args:
        names: nodes of one wave.
        pools: pool by node.
        work: works on some of the nodes at once and returns how each ended.

    Returns:
        How each node ended; one that the guard refuses although nobody else is out ends so.
    """
    done: dict[str, NodeResult] = {}
    left = tuple(names)
    while left:
        found = work(left)
        came_back = {pools[name] for name in left if found[name].outcome not in FAILURES}
        again = tuple(name for name in left if refused_by_guard(found[name]) and pools[name] in came_back)
        done |= {name: found[name] for name in left if name not in again}
        left = again
    return done


def refused_by_guard(result: NodeResult) -> bool:
    """Whether a node was left alone only because too few of its pool would have gone on serving."""
    return any(problem.code == REFUSED_BY_GUARD for problem in result.diagnostics)
