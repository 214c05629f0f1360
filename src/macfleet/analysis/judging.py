"""The four thresholds judged by one pure function; `compare` and `decide` show what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.analysis.conditions import FULL_MINUTES, Condition, both, drop, either, growth, stays_above
from macfleet.analysis.multiplicity import holm
from macfleet.analysis.thresholds import Threshold, in_scope
from macfleet.model.node import Arm
from macfleet.model.run import CellSummary
from macfleet.model.stage import Outcome

RULES_VERSION = 2


@dataclass(frozen=True, slots=True)
class Attestation:
    """A colleague's word that the service was brought up from nothing."""

    who: str
    business_days: int
    installed_by_hand: bool = False


@dataclass(frozen=True, slots=True)
class NodeEvidence:
    """Everything that is known about one node when thresholds are judged.

    Attributes:
        run: id of the run the cells come from.
        cells: the node's summaries, every arm.
        judged: names of the judged cells; the others are indicative.
        summary: file inside the run that holds the cells.
        virtiofs: whether the container arm reads its weights through virtiofs.
        storage_drop: loss of bind against native storage as a share; None when the proof was not made.
        planned_memory: memory plan before its absorber as a share of unified memory; None without a plan.
        planted: figures that the lab made up, ``host-memory`` or ``vm-iowait``: the verdict says so.
    """

    node: str
    run: str
    cells: tuple[CellSummary, ...]
    judged: tuple[str, ...]
    model: str = ""
    chip: str = ""
    summary: str = "summary.json"
    virtiofs: bool = False
    storage_drop: float | None = None
    attestations: tuple[Attestation, ...] = ()
    planned_memory: float | None = None
    planted: tuple[str, ...] = ()

    def cell(self, arm: str, name: str) -> CellSummary | None:
        """Return one summary, None when it was not measured."""
        return next((each for each in self.cells if (each.arm, each.cell) == (arm, name)), None)

    def figure(self, name: str, planted: str) -> str:
        """Return a figure's name, marked where the lab made the figure up."""
        return f"{name} (planted, simulated)" if planted in self.planted else name

    def name(self, *cells: CellSummary) -> tuple[str, ...]:
        """Return the names under which cells are cited."""
        return tuple(f"{self.run}/{self.summary}#{self.node}/{each.arm}/{each.cell}" for each in cells)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one threshold says about one node.

    Attributes:
        outcome: FAIL when it tripped, PASS when it is refuted, INCONCLUSIVE when measuring has not settled
            it, NOT_APPLICABLE when it does not speak about this node or was not measured at all.
        verdict: what follows, in the file's words.
        reasons: a sentence for each condition.
        minutes: further minutes an arm that would settle it; None when that is not a matter of minutes.
        grade: ``discussion-grade default`` until the team's own figure replaced it.
    """

    threshold: str
    node: str
    outcome: Outcome
    verdict: str
    reasons: tuple[str, ...]
    evidence: tuple[str, ...] = ()
    minutes: float | None = None
    grade: str = ""
    source: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)
    rules: int = RULES_VERSION


@dataclass(frozen=True, slots=True)
class Part:
    """What one cell says about a threshold; `chance` is that of a false finding in this cell alone."""

    holds: bool | None
    conditions: Sequence[Condition]
    chance: float = 1.0


def judge_thresholds(evidence: NodeEvidence, thresholds: Sequence[Threshold]) -> tuple[Judgement, ...]:
    """Judge every threshold that speaks about the node, in the file's order.

    A conjunction trips only when bounds prove each part; one refuted part lets it pass. Invalid cells prove
    nothing. `reproducible` is judged after the thresholds it builds on.
    """
    chosen = in_scope(thresholds, evidence.model, evidence.chip)
    made: dict[str, Judgement] = {}
    for threshold in sorted(chosen, key=lambda each: bool(each.inside)):
        made[threshold.id] = _JUDGES[threshold.id](evidence, threshold, made)
    return tuple(made[threshold.id] for threshold in chosen)


def virtualisation_base(evidence: NodeEvidence) -> tuple[str, str]:
    """Return the arm the container is held against, and why in words.

    It is ``bare-cpu`` where bare and container differ in accelerator, so that no advice about mounts is given
    for a loss that is the GPU's; a container whose accelerator is not known counts as CPU.
    """
    known = {cell.arm: cell.accelerator for cell in evidence.cells}
    bare, container = known.get(Arm.BARE, ""), known.get(Arm.CONTAINER) or "cpu"
    if bare and bare != container:
        return Arm.BARE_CPU, f"bare runs on {bare}, the container on {container}"
    return Arm.BARE, "bare and container use the same accelerator"


def _mounts_first(evidence: NodeEvidence, threshold: Threshold, _made: Mapping[str, Judgement]) -> Judgement:
    if not any(cell.arm == Arm.CONTAINER for cell in evidence.cells):
        return _beside(evidence, threshold, "the container arm was not measured")
    base_arm, why = virtualisation_base(evidence)
    parts: list[Part] = []
    for name in evidence.judged:
        container, base = evidence.cell(Arm.CONTAINER, name), evidence.cell(base_arm, name)
        if container is None or base is None:
            lacking = Arm.CONTAINER if container is None else base_arm
            parts.append(Part(None, [Condition(None, f"{name}: {lacking} was not measured ({why})")]))
            continue
        first = drop(
            container, base, threshold.limits["tokens_per_second_drop"], evidence.name(container, base)
        )
        second = _storage_signs(evidence, threshold, container)
        # One sign of several is enough, so the best of them counts as many times as there are signs.
        spoken = {sign: each.chance for sign, each in second.items() if each.holds}
        said = f"{container.arm} {name}: on virtiofs, {' and '.join(spoken)} spoke for slow storage"
        signs = Condition(
            either(list(second.values())),
            said if spoken and evidence.virtiofs else "",
            chance=min(1.0, min(spoken.values(), default=1.0) * len(second)),
        )
        # Which sign spoke stands before those that did not: a short list shows the first reasons alone.
        told = sorted(second.values(), key=lambda each: each.holds is not True)
        parts.append(_part([first, signs], [first, signs, *told]))
    return _conclude(evidence, threshold, parts)


def _storage_signs(evidence: NodeEvidence, threshold: Threshold, cell: CellSummary) -> dict[str, Condition]:
    """In-VM iowait; on virtiofs, whose I/O hardly shows there, PSI and the storage proof as well; by name."""
    named, limits = evidence.name(cell), threshold.limits
    iowait, psi = evidence.figure("in-VM iowait", "vm-iowait"), "PSI io some"
    signs = {iowait: stays_above(iowait, cell.iowait, limits["iowait_above"], cell, named)}
    if evidence.virtiofs:
        signs[psi] = stays_above(psi, cell.psi_io, limits["psi_io_some_above"], cell, named)
        signs["the storage proof"] = _storage_proof(evidence, limits["storage_drop"])
    return signs


def _storage_proof(evidence: NodeEvidence, line: float) -> Condition:
    drop = evidence.storage_drop
    if drop is None:
        return Condition(None, "storage proof (bind against native): not measured")
    text = f"storage proof: bind is {100 * drop:.0f} % below native, line {100 * line:.0f} %"
    return Condition(drop > line, text, (f"{evidence.run}/nodes/{evidence.node}/storage.json",))


def _offload_live(evidence: NodeEvidence, threshold: Threshold, _made: Mapping[str, Judgement]) -> Judgement:
    arm = Arm.CONTAINER if any(cell.arm == Arm.CONTAINER for cell in evidence.cells) else Arm.BARE
    judged = [cell for cell in evidence.cells if cell.arm == arm and cell.cell in evidence.judged]
    used = evidence.figure("host memory used", "host-memory")
    parts: list[Part] = []
    for bucket in dict.fromkeys(cell.bucket for cell in judged):
        few = next((cell for cell in judged if (cell.bucket, cell.concurrency) == (bucket, 1)), None)
        many = next((cell for cell in judged if (cell.bucket, cell.concurrency) == (bucket, 4)), None)
        if few is None or many is None:
            lacking = f"{arm} {bucket}×{1 if few is None else 4} was not measured"
            parts.append(Part(None, [Condition(None, lacking)]))
            continue
        conditions = [
            growth(few, many, threshold.limits["p95_growth_above"], evidence.name(few, many)),
            stays_above(used, many.memory, threshold.limits["memory_above"], many, evidence.name(many)),
        ]
        parts.append(_part(conditions, conditions))
    if not parts:
        return _beside(evidence, threshold, "no judged cell was measured")
    return _conclude(evidence, threshold, parts)


def _reproducible(evidence: NodeEvidence, threshold: Threshold, made: Mapping[str, Judgement]) -> Judgement:
    inside = [_inside(made.get(name), name) for name in threshold.inside]
    days, wanted = threshold.limits["within_business_days"], int(threshold.limits["colleagues"])
    good = {
        each.who
        for each in evidence.attestations
        if not each.installed_by_hand and each.business_days <= days
    }
    text = f"{len(good)} of {wanted} colleagues reproduced it within {days:g} business days, nothing by hand"
    named = tuple(f"attestation:{who}" for who in sorted(good))
    conditions = [Condition(True if len(good) >= wanted else None, text, named), *inside]
    state = both(conditions)
    outcome = Outcome.INCONCLUSIVE if state is None else Outcome.PASS if state else Outcome.FAIL
    return _judgement(
        evidence, threshold, outcome, conditions, threshold.otherwise if state is False else threshold.verdict
    )


def _inside(judgement: Judgement | None, name: str) -> Condition:
    if judgement is None or judgement.outcome in (Outcome.INCONCLUSIVE, Outcome.NOT_APPLICABLE):
        return Condition(None, f"{name} is not settled", (), judgement.minutes if judgement else None)
    passed = judgement.outcome is Outcome.PASS
    return Condition(passed, f"{name} {'did not trip' if passed else 'tripped'}")


def _shock_absorber(
    evidence: NodeEvidence, threshold: Threshold, _made: Mapping[str, Judgement]
) -> Judgement:
    if evidence.planned_memory is None:
        return _beside(evidence, threshold, "not measured: there is no capacity plan yet")
    planned = evidence.planned_memory * (1 + threshold.limits["absorber"])
    limit = threshold.limits["limit"]
    text = f"memory plan with its absorber {100 * planned:.0f} % of unified memory, limit {100 * limit:.0f} %"
    condition = Condition(planned > limit, text, (f"capacity:{evidence.node}",))
    outcome = Outcome.FAIL if condition.holds else Outcome.PASS
    return _judgement(evidence, threshold, outcome, [condition], threshold.verdict)


def _part(needed: Sequence[Condition], shown: Sequence[Condition]) -> Part:
    """All of `needed` must hold together, so the weakest of them is the chance of the whole."""
    return Part(both(needed), shown, max(each.chance for each in needed))


def _conclude(evidence: NodeEvidence, threshold: Threshold, parts: Sequence[Part]) -> Judgement:
    """One cell that trips is enough, so it must stand after Holm's rule over all cells tried.

    An open cell keeps the others from passing; that all must pass needs no such rule.
    """
    parts = _standing(parts)
    states = [part.holds for part in parts]
    outcome = Outcome.FAIL if True in states else Outcome.INCONCLUSIVE if None in states else Outcome.PASS
    wanted = {Outcome.FAIL: True, Outcome.INCONCLUSIVE: None, Outcome.PASS: False}[outcome]
    telling = [each for part in parts if part.holds is wanted for each in part.conditions]
    return _judgement(evidence, threshold, outcome, telling, threshold.verdict)


def _standing(parts: Sequence[Part]) -> list[Part]:
    """Open the parts that tripped by themselves but may have done so because several were tried."""
    stands = holm([part.chance if part.holds else 1.0 for part in parts])
    found: list[Part] = []
    for part, kept in zip(parts, stands, strict=True):
        if part.holds and not kept:
            why = f"proven in this cell alone, not among {len(parts)} cells tried (Holm)"
            found.append(Part(None, [*part.conditions, Condition(None, why, minutes=FULL_MINUTES)]))
        else:
            found.append(part)
    return found


def _judgement(
    evidence: NodeEvidence,
    threshold: Threshold,
    outcome: Outcome,
    conditions: Sequence[Condition],
    verdict: str,
) -> Judgement:
    open_minutes = [each.minutes for each in conditions if each.holds is None and each.minutes is not None]
    return Judgement(
        threshold=threshold.id,
        node=evidence.node,
        outcome=outcome,
        verdict=verdict,
        reasons=tuple(each.text for each in conditions if each.text),
        evidence=tuple(dict.fromkeys(name for each in conditions for name in each.evidence)),
        minutes=max(open_minutes) if open_minutes and outcome is Outcome.INCONCLUSIVE else None,
        grade="discussion-grade default" if threshold.discussion_grade else "",
        source=threshold.source,
        limits=dict(threshold.limits),
    )


def _beside(evidence: NodeEvidence, threshold: Threshold, why: str) -> Judgement:
    return _judgement(evidence, threshold, Outcome.NOT_APPLICABLE, [Condition(None, why)], threshold.verdict)


_JUDGES: Mapping[str, Callable[[NodeEvidence, Threshold, Mapping[str, Judgement]], Judgement]] = {
    "mounts-first": _mounts_first,
    "offload-live": _offload_live,
    "reproducible": _reproducible,
    "shock-absorber": _shock_absorber,
}
