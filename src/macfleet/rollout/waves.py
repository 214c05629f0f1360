"""Canary first, then batches: pure."""

from __future__ import annotations

from collections.abc import Sequence

from macfleet.model.stage import Strategy


def waves(names: Sequence[str], strategy: Strategy) -> tuple[tuple[str, ...], ...]:
    """Split nodes into waves: the canary, then batches.

    A batch is a number or a share of all nodes (rounded down, at least 1); the last one of a list repeats.
    Without a batch all remaining nodes form one wave.
    """
    result: list[tuple[str, ...]] = []
    rest = list(names)
    if 0 < strategy.canary < len(rest):
        result.append(tuple(rest[: strategy.canary]))
        rest = rest[strategy.canary :]
    sizes = [_size(batch, len(names)) for batch in strategy.batch] or [len(rest)]
    position = 0
    while rest:
        size = max(1, sizes[min(position, len(sizes) - 1)])
        result.append(tuple(rest[:size]))
        rest = rest[size:]
        position += 1
    return tuple(result)


def failures_allowed(limit: str, count: int) -> int:
    """Return the number of failures at which the stage stops; met means stop.

    `limit` is a number or a share such as ``10%``; empty means never.
    """
    if not limit:
        return count + 1
    if limit.endswith("%"):
        return max(1, int(count * float(limit[:-1]) / 100))
    return max(1, int(limit))


def _size(batch: str, count: int) -> int:
    return int(count * float(batch[:-1]) / 100) if batch.endswith("%") else int(batch)
