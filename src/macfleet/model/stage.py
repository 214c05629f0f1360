"""Stages, gates, evidence and verdicts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from macfleet.model.diagnostic import Location
from macfleet.model.json import Json, JsonObject
from macfleet.model.resource import Probe
from macfleet.model.stage_name import StageName as StageName  # noqa: PLC0414 (named here by most)


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a stage goes through the nodes.

    Attributes:
        canary: nodes of the first wave; 0 means no canary.
        batch: size of each later wave, a number or a share such as ``25%``; empty means all.
        drain: whether a node that changes leaves service first.
    """

    canary: int = 0
    batch: tuple[str, ...] = ()
    drain: bool = False


@dataclass(frozen=True, slots=True)
class GateSpec:
    """One line of a playbook's ``gates:`` list, not yet given its meaning."""

    kind: str
    params: Mapping[str, Json] = field(default_factory=dict)
    where: Location | None = None


class Outcome(StrEnum):
    """What a gate or a threshold says."""

    PASS = "pass"  # noqa: S105  (an outcome, not a password)
    HOLD = "hold"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A gate's judgement about one node.

    Attributes:
        gate: the gate's kind.
        reasons: sentences; at least one unless the outcome is PASS.
        mend: what to type next when the gate holds.
        evidence: names of the evidence it rests on.
    """

    gate: str
    node: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    mend: str = ""
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """Evidence that a probe on the node yields; its parsed state is the value."""

    name: str
    probe: Probe


@dataclass(frozen=True, slots=True)
class EndpointRequest:
    """Evidence from probing an arm's OpenAI routes on the node, streaming included.

    The value is `EndpointReport.document()` of `macfleet.model.load`.
    """

    name: str
    arm: str


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """Evidence from the registry: what a pinned reference resolves to."""

    name: str
    reference: str
    platform: str


@dataclass(frozen=True, slots=True)
class MeasureRequest:
    """Evidence of what this stage measured on the node: ``network`` or ``loadtest``."""

    name: str
    what: str


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Evidence of what the engine did: pending changes before, applied, left over."""

    name: str


EvidenceRequest = ProbeRequest | EndpointRequest | ImageRequest | MeasureRequest | PlanRequest
Evidence = Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class EvidenceKey:
    """What evidence is about; when a part changes, the evidence is stale.

    Attributes:
        parts: node, stage, contract, images, compiled and the versions the stage depends on.
    """

    parts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 of the sorted parts."""
        return hashlib.sha256(json.dumps(dict(self.parts), sort_keys=True).encode()).hexdigest()

    def differs_from(self, newer: EvidenceKey) -> tuple[str, ...]:
        """Return the names of the parts both keys have whose values differ, sorted."""
        shared = set(self.parts) & set(newer.parts)
        return tuple(sorted(part for part in shared if self.parts[part] != newer.parts[part]))


@dataclass(frozen=True, slots=True)
class StageRecord:
    """What the store keeps of one stage on one node.

    Attributes:
        finished: seconds since the epoch.
        outcome: PASS when every gate passed; otherwise the worst.
    """

    node: str
    stage: StageName
    key: EvidenceKey
    outcome: Outcome
    run: str
    finished: float
    verdicts: tuple[Verdict, ...] = ()
    evidence: JsonObject = field(default_factory=dict)
