"""How long stage 5 measures, and in what order the arms take their turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from macfleet.model.node import Node
from macfleet.rollout.desired import Desired

# Under this a judged cell is short: it passes the gate and can never be signed.
SIGNABLE_SECONDS = 1800.0
LONGEST = 4
"""A judged cell is made at most so many times as long as the contract asks."""
_PILOT_SECONDS = 60.0
_JUDGED = (1, 4)


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """How long is measured.

    Attributes:
        duration: seconds per arm and cell, over all its segments.
        segments: segments per arm, an even number, so that arms are paired within blocks.
        warmup: seconds of load before each window, not drained.
        pilot: seconds of each arm's and cell's pilot, from which cells are sized; 0 for none: cells are as
            long as they are told to be.
        token_events: whether the run keeps when each token came.
    """

    duration: float
    segments: int = 4
    warmup: float = 5.0
    pilot: float = 0.0
    token_events: bool = True

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
    """Return about how long the node is busy: pilot, windows, warm-ups and changes of engine."""
    return _pilot_seconds(desired, node, profile) + _segment_seconds(desired, node, profile)


def longest_seconds(desired: Desired, node: Node, profile: LoadProfile) -> float:
    """Return how long the node is busy at most: when the pilot makes every cell as long as one may be."""
    times = LONGEST if profile.pilot else 1
    return _pilot_seconds(desired, node, profile) + times * _segment_seconds(desired, node, profile)


def _pilot_seconds(desired: Desired, node: Node, profile: LoadProfile) -> float:
    if not profile.pilot:
        return 0.0
    turns = len(node.measured_arms)
    cells = len(judged_concurrency(desired))
    return turns * (cells * (profile.pilot + profile.warmup) + 5.0 + _change_seconds(profile))


def _segment_seconds(desired: Desired, node: Node, profile: LoadProfile) -> float:
    cells = len(judged_concurrency(desired))
    turns = len(node.measured_arms) * profile.segments
    return turns * (cells * (profile.window + profile.warmup) + 5.0 + _change_seconds(profile))


def _change_seconds(profile: LoadProfile) -> float:
    from macfleet.rollout import vm  # noqa: PLC0415 (most commands measure nothing)

    return 0.0 if profile.short else vm.CHANGE_SECONDS


def full_profile(duration: float) -> LoadProfile:
    """Return the profile of what a contract asks for; cells are sized by a pilot where it can be signed."""
    profile = LoadProfile(duration)
    return profile if profile.short else replace(profile, pilot=_PILOT_SECONDS)


def short_profile(profile: LoadProfile, duration: float, segments: int | None = None) -> LoadProfile:
    """Return the profile with another duration; few seconds are split into fewer segments unless told.

    One that is too short to be signed has no pilot: its cells are as long as they were told to be.
    """
    count = segments or (profile.segments if duration >= 240 else 2)
    warmup = min(profile.warmup, max(1.0, duration / count / 5))
    changed = replace(profile, duration=duration, segments=count, warmup=warmup)
    return replace(changed, pilot=0.0) if changed.short else changed
