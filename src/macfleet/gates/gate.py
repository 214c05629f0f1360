"""What a gate is: the evidence it needs and a pure judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from macfleet.contract.images_policy import ImagePolicy
from macfleet.model.contract import Contract
from macfleet.model.image import ResolvedImage
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.stage import Evidence, EvidenceRequest, Outcome, Verdict

if TYPE_CHECKING:
    from macfleet.gates.scan_judgement import ScanJudgement


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """One file of ``weights.lock``: absolute path on the node, size in bytes, hex sha256.

    Attributes:
        revision: commit of the repository it came from; provenance: where from, in words. Empty: not said.
    """

    path: str
    size: int
    sha256: str
    revision: str = ""
    provenance: str = ""


@dataclass(frozen=True, slots=True)
class GateContext:
    """What a gate may know of the fleet folder when it judges one node.

    Attributes:
        images: locked images by name, resolved for the node's platform.
        mode: container network mode of ``network.lock``, ``bridge`` until there is one.
        bases: base image by image name, as images.yml declares it or the image's labels record it.
        policy: what images.yml asks of every image.
        scans: what scan.yml makes of each image's scan, by name; None where there is no scan.yml.
        contents: what has no place in each image that was looked into, by name.
    """

    node: Node
    contract: Contract
    images: Mapping[str, ResolvedImage] = field(default_factory=dict)
    weights: tuple[WeightsFile, ...] = ()
    mode: str = "bridge"
    bases: Mapping[str, str] = field(default_factory=dict)
    policy: ImagePolicy = field(default_factory=ImagePolicy)
    scans: Mapping[str, ScanJudgement] | None = None
    contents: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Gate(Protocol):
    """Passes, holds or fails one node at one stage."""

    @property
    def kind(self) -> str:
        """The name used in playbooks."""

    @property
    def before(self) -> bool:
        """Whether it is judged before anything is changed, from probes alone; ``--check`` shows those."""

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """Return the evidence it wants."""

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Judge; evidence that is missing holds the gate, it never passes it."""


def passed(gate: str, context: GateContext, *reasons: str, evidence: tuple[str, ...] = ()) -> Verdict:
    """Return a verdict that passes."""
    return Verdict(gate, context.node.name, Outcome.PASS, reasons, "", evidence)


def held(
    gate: str, context: GateContext, reasons: tuple[str, ...], mend: str, evidence: tuple[str, ...] = ()
) -> Verdict:
    """Return a verdict that holds, with what to type next."""
    return Verdict(gate, context.node.name, Outcome.HOLD, reasons, mend, evidence)


def missing(gate: str, context: GateContext, name: str) -> Verdict:
    """Return the verdict for evidence that was not gathered."""
    return held(gate, context, (f"evidence {name} is missing",), "Run the stage again.", (name,))


def not_applicable(gate: str, context: GateContext, why: str) -> Verdict:
    """Return the verdict for a gate that does not concern this node; it is never called passed."""
    return Verdict(gate, context.node.name, Outcome.NOT_APPLICABLE, (why,))


def record(value: Json) -> Mapping[str, Json]:
    """Return evidence as a mapping; anything else is an empty one."""
    return value if isinstance(value, Mapping) else {}
