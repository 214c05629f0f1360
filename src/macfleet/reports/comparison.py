"""What a comparison is: figures, ratios and verdicts side by side, before any layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.analysis.cost import NodeCost
from macfleet.analysis.judging import Judgement
from macfleet.analysis.pairs import Ratio
from macfleet.model.run import CellSummary

KEYS = ("arm", "node", "ownership", "chip", "network", "runtime")
"""What columns can be ordered and titled by."""

NOT_A_MAC = "measured in a lab of simulated nodes: not a Mac's figure"


@dataclass(frozen=True, slots=True)
class Gap:
    """One cell of an arm held against the same cell elsewhere.

    Attributes:
        cell: name of the cell.
        arm: the arm held against; base: what it is held against, an arm or a run.
        ratio: tokens/s of arm over base; None when there is none.
        within: whether the drop is proven inside (True) or beyond (False) the `mounts-first` line.
    """

    cell: str
    arm: str
    base: str
    ratio: Ratio | None
    within: bool | None = None


@dataclass(frozen=True, slots=True)
class Growth:
    """End-to-end p95 of a bucket from concurrency 1 to 4, with host memory at 4 as a share."""

    bucket: str
    arm: str
    ratio: Ratio | None
    memory: float | None


@dataclass(frozen=True, slots=True)
class Headline:
    """A node's verdict in one line: ``✓``, ``!`` or ``?``, words, and what to do or to know."""

    symbol: str
    text: str
    advice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """One node, or one arm of it, of one run.

    Attributes:
        title: what stands above it; group: the value it is ordered by; about: chip and memory.
        gaps: container against its base, GPU worth, and against a baseline run.
        costs: per million output tokens, by arm and bucket; only where they were asked for.
        offer: the price they rest on and how sure it is; break_even: an owned node against a rented one.
        imported: another load generator measured it, which `about` names: shown, never judged.
        ad_hoc: measured on the side, so never judged either.
    """

    title: str
    group: str
    about: str
    run: str
    node: str
    short: bool
    cells: tuple[CellSummary, ...]
    gaps: tuple[Gap, ...]
    growths: tuple[Growth, ...]
    judgements: tuple[Judgement, ...]
    headline: Headline
    costs: tuple[NodeCost, ...] = ()
    offer: str = ""
    break_even: str = ""
    imported: bool = False
    ad_hoc: bool = False

    @property
    def arms(self) -> tuple[str, ...]:
        """Arms with summaries, bare ones first."""
        return tuple(sorted({cell.arm for cell in self.cells}))


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing about the environment that is not the same everywhere, by column title."""

    name: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Environment:
    """What surrounded the figures.

    Attributes:
        images: ``identical``, ``changed`` or ``not recorded``: the first question anybody asks.
        same: what is the same everywhere and worth naming, by name.
    """

    images: str
    differences: tuple[Difference, ...]
    same: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything a report shows.

    Attributes:
        by: one of `KEYS`.
        baseline: the arm, or the run, that ratios are held against.
        notices: what keeps figures from being put side by side without a word; shown first.
        simulated: what was simulated anywhere.
        signed: by run, who signed it; a run that nobody signed is missing.
    """

    by: str
    baseline: str
    contract: str
    sent: str
    vantage: str
    environment: Environment
    notices: tuple[str, ...]
    columns: tuple[Column, ...]
    simulated: tuple[str, ...] = ()
    signed: Mapping[str, str] = field(default_factory=dict)
    schema: int = 1
