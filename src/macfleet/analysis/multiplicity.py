"""Several cells tried at once: how many of their findings stand."""

from __future__ import annotations

from collections.abc import Sequence

LEVEL = 0.05


def holm(chances: Sequence[float], level: float = LEVEL) -> tuple[bool, ...]:
    """Return which findings stand when all of them were tried, by Holm's step-down rule.

    The chance that any of them is false stays at most `level`, however they depend on each other
    (S. Holm, A simple sequentially rejective multiple test procedure, 1979).

    Args:
        chances: the one-sided p-value of each.
        level: highest chance of any false finding.
    """
    stands = [False] * len(chances)
    for tried, position in enumerate(sorted(range(len(chances)), key=lambda each: chances[each])):
        if chances[position] > level / (len(chances) - tried):
            break
        stands[position] = True
    return tuple(stands)
