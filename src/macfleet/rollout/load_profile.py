"""How long stage 5 measures, and in what order the arms take their turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from macfleet.model.node import Node
from macfleet.rollout import vm
from macfleet.rollout.desired import Desired

# Under this a judged cell is short: it passes the gate and can never be signed.
SIGNABLE_SECONDS = 1800.0
_JUDGED = (1, 4)


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """How long is measured.

    Attributes:
        duration: seconds per arm and cell, over all its segments.
        segments: segments per arm, an even number, so that arms are paired within blocks.
        warmup: seconds of load before each window, not drained.
    """

    duration: float
    segments: int = 4
    warmup: float = 5.0

    @property
    def window(self) -> float:
        """Seconds of one segment's window."""
        return self.duration / self.segments

    @property
    def short(self) -> bool:
        """Whether the run is too short to be signed."""
        return self.duration < SIGNABLE_SECONDS


@dataclass(frozen=True, slots=True)
class Block:
    """One arm's turn: a segment of every cell with the arm's engine alone."""

    arm: str
    segment: int


def blocks(names: Sequence[str], segments: int) -> tuple[Block, ...]:
    """Interleave arms: ABBA BAAB for two, ABC CBA repeated for more; one arm simply repeats.

    Every arm gets `segments` blocks, and the k-th segments of all arms are neighbours: they form a pair.
    """
    order: list[Block] = []
    for segment in range(segments):
        turned = segment % 4 in (1, 2) if len(names) == 2 else segment % 2 == 1
        row = list(reversed(names)) if turned else list(names)
        order += [Block(arm, segment) for arm in row]
    return tuple(order)


def judged_concurrency(desired: Desired) -> tuple[int, ...]:
    """Return the concurrencies of the judged cells that the contract promises."""
    promised = desired.contract.concurrency
    return tuple(c for c in _JUDGED if c in promised) or promised[:1]


def seconds_needed(desired: Desired, node: Node, profile: LoadProfile) -> float:
    """Return about how long the node is busy: windows, warm-ups and changes of engine."""
    cells = len(judged_concurrency(desired))
    turns = len(node.measured_arms) * profile.segments
    changes = 0.0 if profile.short else turns * vm.CHANGE_SECONDS
    return turns * (cells * (profile.window + profile.warmup) + 5.0) + changes


def short_profile(profile: LoadProfile, duration: float, segments: int | None = None) -> LoadProfile:
    """Return the profile with another duration; few seconds are split into fewer segments unless told."""
    count = segments or (profile.segments if duration >= 240 else 2)
    warmup = min(profile.warmup, max(1.0, duration / count / 5))
    return replace(profile, duration=duration, segments=count, warmup=warmup)
