"""Whether the container path stays: the decision matrix with what was measured in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from macfleet.analysis.judging import Judgement
from macfleet.model.node import Arm, Ownership
from macfleet.model.run import CellSummary, Interval
from macfleet.model.stage import Outcome
from macfleet.reports import figures
from macfleet.reports.comparison import Column, Comparison
from macfleet.reports.loaded import LoadedRun
from macfleet.reports.verdicts import NodeVerdict, node_verdicts

NOT_MEASURED = "not measured"
PATHS = ("bare", "container", "remote pool")
# The words of each dimension: what is generally true of a path, before anything was measured.
_WORDS: Sequence[tuple[str, tuple[str, str, str]]] = (
    (
        "delivery consistency",
        (
            "packages drift on the host; hardest to audit",
            "image digest + Compose file: strong audit trail",
            "the same images, plus isolation per node",
        ),
    ),
    (
        "performance ceiling",
        (
            "usually highest, shortest path",
            "depends on VM, volumes, network mode",
            "memory and thermal budget of its own",
        ),
    ),
    (
        "troubleshooting cost",
        (
            "low to medium",
            "medium to high: one more virtualisation layer",
            "medium: server-style operation",
        ),
    ),
    (
        "fits",
        (
            "solo work, peak speed",
            "small teams, image regression in CI",
            "queues that run 24×7, a shared internal API",
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One dimension of one path: words, and what was measured; no evidence means not measured."""

    dimension: str
    path: str
    words: str
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What the thresholds say of every node, and the matrix.

    Attributes:
        kept: nodes whose container path is kept; open: not settled; refused: a threshold speaks against it.
    """

    verdicts: tuple[NodeVerdict, ...]
    kept: tuple[str, ...]
    open: tuple[str, ...]
    refused: tuple[str, ...]
    matrix: tuple[MatrixCell, ...]
    notices: tuple[str, ...]
    schema: int = 1

    @property
    def keep(self) -> bool:
        """Whether the container path is kept on every node."""
        return bool(self.kept) and not self.open and not self.refused


def decide(comparison: Comparison, runs: Sequence[LoadedRun]) -> Decision:
    """Fill the matrix from a comparison by node and the facts of its runs."""
    outcomes = {column.title: _outcome(column.judgements) for column in comparison.columns}
    facts = {
        column.title: run.facts.get(column.node, {})
        for column in comparison.columns
        for run in runs
        if run.manifest.id == column.run and column.node in run.measured
    }
    remote = [
        column
        for column in comparison.columns
        if facts.get(column.title, {}).get("ownership") == Ownership.RENTED
        or comparison.vantage != "node-loopback"
    ]
    evidence = _evidence(comparison, remote, facts)
    return Decision(
        verdicts=node_verdicts(comparison),
        kept=tuple(name for name, found in outcomes.items() if found is Outcome.PASS),
        open=tuple(name for name, found in outcomes.items() if found is Outcome.INCONCLUSIVE),
        refused=tuple(name for name, found in outcomes.items() if found is Outcome.FAIL),
        matrix=tuple(
            MatrixCell(dimension, path, said, tuple(evidence.get((dimension, path), ())))
            for dimension, words in _WORDS
            for path, said in zip(PATHS, words, strict=True)
        ),
        notices=comparison.notices,
    )


def _outcome(judgements: Sequence[Judgement]) -> Outcome:
    """What follows for the container path: `reproducible` decides, a threshold that tripped refuses."""
    found = {each.threshold: each.outcome for each in judgements}
    if Outcome.FAIL in found.values():
        return Outcome.FAIL
    return Outcome.PASS if found.get("reproducible") is Outcome.PASS else Outcome.INCONCLUSIVE


def _evidence(
    comparison: Comparison, remote: Sequence[Column], facts: Mapping[str, Mapping[str, object]]
) -> dict[tuple[str, str], list[str]]:
    columns = comparison.columns
    return {
        ("delivery consistency", "bare"): _drift(facts),
        ("delivery consistency", "container"): _images(columns, facts),
        ("delivery consistency", "remote pool"): _images(remote, facts) if remote else [],
        ("performance ceiling", "bare"): [
            *_ceiling(columns, (Arm.BARE, Arm.BARE_CPU)),
            *_ceiling(columns, (Arm.HOST_ENGINE,)),
            *_gpu_worth(columns),
        ],
        ("performance ceiling", "container"): [*_ceiling(columns, (Arm.CONTAINER,)), *_gaps(columns)],
        ("performance ceiling", "remote pool"): _ceiling(remote, (Arm.CONTAINER, Arm.BARE)),
        ("fits", "container"): _fits(columns, ("mounts-first", "offload-live", "reproducible")),
        ("fits", "remote pool"): _offloaded(columns),
    }


def _drift(facts: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Packages on the hosts, alike or not."""
    listed = {node: _packages(each) for node, each in facts.items()}
    known = {node: each for node, each in listed.items() if each}
    if not known:
        return []
    if len(known) == 1:
        (node,) = known
        return [f"{node}: {len(known[node])} packages recorded; drift needs a second node"]
    names = sorted({name for each in known.values() for name in each})
    apart = [name for name in names if len({each.get(name) for each in known.values()}) > 1]
    said = f"{len(apart)} of {len(names)} packages differ over {len(known)} nodes"
    return [f"{said}: {', '.join(apart[:5])}" if apart else said]


def _packages(facts: Mapping[str, object]) -> Mapping[str, object]:
    inner = facts.get("facts")
    found = inner.get("formulae") if isinstance(inner, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _images(columns: Sequence[Column], facts: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Images by digest, alike or not."""
    pictures = [facts.get(column.title, {}).get("images") for column in columns]
    if not pictures or not all(isinstance(each, Mapping) and each for each in pictures):
        return []
    alike = all(each == pictures[0] for each in pictures)
    nodes = "1 node" if len(columns) == 1 else f"{len(columns)} nodes"
    return [f"images pinned by digest {'and identical' if alike else 'but different'} on {nodes}"]


def _ceiling(columns: Sequence[Column], arms: Sequence[str]) -> list[str]:
    """Tokens/s and p95 of each node's valid cells at the highest concurrency, of the first arm it has."""
    found = []
    for column in columns:
        arm = next((arm for arm in arms if any(cell.arm == arm for cell in column.cells)), None)
        cells = [cell for cell in column.cells if cell.arm == arm]
        valid = [cell for cell in cells if not cell.invalid]
        if valid:
            top = max(valid, key=lambda cell: cell.concurrency)
            found.append(f"{column.title} {top.arm} {top.cell}: {_speed(top)}")
        elif cells:
            found.append(f"{column.title} {arm}: measured, but every cell is INVALID")
    return found


def _speed(cell: CellSummary) -> str:
    rate = figures.rate(Interval(cell.tokens_per_second.value))
    accelerator = f", {cell.accelerator}" if cell.accelerator else ""
    return f"{rate} tokens/s, p95 {figures.seconds(Interval(cell.p95.value))}{accelerator}"


def _gaps(columns: Sequence[Column]) -> list[str]:
    found = []
    for column in columns:
        for gap in column.gaps:
            if gap.arm == Arm.CONTAINER and gap.base in (Arm.BARE, Arm.BARE_CPU) and gap.ratio is not None:
                percent = round(100 * (gap.ratio.value - 1))
                shown = f"{percent:+d}".replace("-", "−")
                found.append(f"{column.title} {gap.cell}: {shown} % tokens/s against {gap.base}")
    return found


def _gpu_worth(columns: Sequence[Column]) -> list[str]:
    """What the GPU is worth, which no container in a VM without one can have."""
    return [
        f"{column.title} {gap.cell}: the GPU is worth {gap.ratio.value:.1f}× tokens/s, bare over bare-cpu"
        for column in columns
        for gap in column.gaps
        if (gap.arm, gap.base) == (Arm.BARE, Arm.BARE_CPU) and gap.ratio is not None
    ]


def _fits(columns: Sequence[Column], names: Iterable[str]) -> list[str]:
    return [said for name in names if (said := _counted(columns, name))]


def _counted(columns: Sequence[Column], name: str) -> str:
    found = [each for column in columns for each in column.judgements if each.threshold == name]
    judged = [each for each in found if each.outcome is not Outcome.NOT_APPLICABLE]
    if not judged:
        return ""
    words: Mapping[Outcome, str] = {
        Outcome.PASS: "passes",
        Outcome.FAIL: "trips",
        Outcome.INCONCLUSIVE: "is inconclusive",
    }
    counts = Counter(each.outcome for each in judged)
    parts = [f"{said} on {counts[outcome]}" for outcome, said in words.items() if counts[outcome]]
    return f"{name} {', '.join(parts)} of {len(judged)} nodes"


def _offloaded(columns: Sequence[Column]) -> list[str]:
    """Nodes whose shared traffic a threshold sends elsewhere."""
    speaking = ("offload-live", "shock-absorber")
    return [
        f"{column.title}: {each.verdict}"
        for column in columns
        for each in column.judgements
        if each.threshold in speaking and each.outcome is Outcome.FAIL
    ]
