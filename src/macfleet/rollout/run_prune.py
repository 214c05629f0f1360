"""Which recorded runs have grown old and serve nothing any more, and whose token events nobody looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeptRun:
    """One recorded run as retention sees it.

    Attributes:
        ended: when it was sealed, or begun where it never was, in seconds since the epoch.
        size: bytes on disk.
        finished: whether it was sealed.
        events: bytes of token events that what was sealed lets go.
    """

    id: str
    ended: float
    size: int
    finished: bool = True
    events: int = 0


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run and why it stays; one without a reason goes. `drops` says that its token events go alone."""

    run: KeptRun
    age: float
    reason: str = ""
    drops: bool = False

    @property
    def goes(self) -> bool:
        """Whether nothing keeps the run."""
        return not self.reason


def judge_runs(
    runs: Sequence[KeptRun],
    needed: Mapping[str, str],
    now: float,
    *,
    older: float,
    keep: int,
    events: float = float("inf"),
) -> tuple[JudgedRun, ...]:
    """Return every run, the oldest first, with what keeps it.

    Args:
        runs: sealed and unfinished ones, in any order.
        needed: why somebody still needs a run, by its id.
        now: seconds since the epoch.
        older: age in seconds that a run may reach.
        keep: how many sealed runs stay whatever their age; the newest do.
        events: age in seconds that token events of a run that stays may reach, whatever keeps the run: no
            figure comes from them.
    """
    newest = sorted((run for run in runs if run.finished), key=lambda run: (run.ended, run.id))[-keep:]
    counted = {run.id for run in newest}

    def reason(run: KeptRun) -> str:
        if now - run.ended <= older:
            return "young"
        if run.id in counted:
            return f"one of the newest {keep}"
        return needed.get(run.id, "")

    def judged(run: KeptRun) -> JudgedRun:
        age, kept_for = now - run.ended, reason(run)
        return JudgedRun(run, age, kept_for, drops=bool(kept_for) and run.events > 0 and age > events)

    return tuple(map(judged, sorted(runs, key=lambda run: (run.ended, run.id))))
