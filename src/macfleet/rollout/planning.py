"""Plan one node: one exec reads resources, facts, the site's drift and what gates judge beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from macfleet.engine import Observation, make_plan, observe
from macfleet.facts import versions as facts
from macfleet.gates import Gate, build_gate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.node import Node
from macfleet.model.resource import Plan, Probe, ProbeOutput, State
from macfleet.model.stage import (
    EvidenceKey,
    EvidenceRequest,
    ImageRequest,
    Outcome,
    ProbeRequest,
    StageName,
    Verdict,
)
from macfleet.playbooks import WHOLE, CompiledStage, TagChoice
from macfleet.rollout.desired import ORDER, Desired, number
from macfleet.rollout.evidence import as_json, image_evidence
from macfleet.rollout.ports import Ports
from macfleet.rollout.service import refusal

_SITE = "site "


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What one node needs.

    Attributes:
        verdicts: gates judged beforehand and predecessors that are missing; a hold stops the node.
        current: the plan is empty and evidence with the same key is young enough.
        differences: what would change in files' text, by address, where that was asked for.
        refusal: why the node cannot leave service to be worked on, None where it can or need not.
        answers: what the node said, by address; it stays in memory.
    """

    stage: StageName
    node: Node
    compiled: CompiledStage
    plan: Plan
    key: EvidenceKey
    gates: tuple[Gate, ...]
    verdicts: tuple[Verdict, ...]
    current: bool
    facts: Mapping[str, State | None] = field(default_factory=dict)
    refusal: Diagnostic | None = None
    differences: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, ProbeOutput] = field(default_factory=dict, repr=False, compare=False)

    @property
    def held(self) -> bool:
        """Whether something refuses the node before it is changed."""
        return any(v.outcome in (Outcome.HOLD, Outcome.FAIL) for v in self.verdicts)


def plan_node(
    stage: StageName,
    node: Node,
    desired: Desired,
    ports: Ports,
    *,
    again: bool,
    max_age: float,
    duration: float,
    choice: TagChoice = WHOLE,
    ahead: Mapping[str, ProbeOutput] | None = None,
) -> NodePlan:
    """Compile, observe in one exec, plan, and judge what can be judged before a change.

    `ahead` holds what the node answered already, by the probe's script.
    `duration` is the seconds per arm and cell that a load test would measure. A node of which `choice`
    takes only a part is never current: its key is not that of the whole stage.

    Raises:
        MacfleetError: what does not compile, or probes that are not understood.
        NodeUnreachable: the node does not answer.
    """
    compiled = desired.compile(stage, node, choice)
    gates = tuple(build_gate(spec) for spec in desired.playbooks[stage].gates)
    context = desired.gate_context(node)
    requests = [request for gate in gates if gate.before for request in gate.needs(context)]
    site = desired.compile(StageName.PROVISION, node) if number(stage) else None
    extra = _extra(requests, site)
    transport = ports.transports.to(node)
    seen = observe(node.name, compiled.resources, transport, nonce=ports.nonce, extra=extra, ahead=ahead)
    plan = make_plan(node.name, compiled.resources, seen, compiled=compiled.digest)
    found = {name: seen.extra.get(name) for name in facts.probes()}
    key = evidence_key(stage, node, desired, facts.versions(found), compiled.digest, duration)
    evidence = image_evidence([r for r in requests if isinstance(r, ImageRequest)], ports)
    evidence |= {r.name: as_json(seen.extra[r.name]) for r in requests if isinstance(r, ProbeRequest)}
    verdicts = [gate.judge(context, evidence) for gate in gates if gate.before]
    if site:
        verdicts += _site_verdicts(node, site, seen)
        verdicts += _predecessors(stage, node, desired, key, ports, max_age)
    whole = not choice.partial
    current = whole and not plan.pending and not again and _is_current(stage, node, key, ports, max_age)
    refused = None if current else refusal(desired.playbooks[stage], node, plan, ports)
    return NodePlan(
        stage,
        node,
        compiled,
        plan,
        key,
        gates,
        tuple(verdicts),
        current,
        found,
        refused,
        answers=seen.answers if plan.pending else {},
    )


def probes_of(stage: StageName, node: Node, desired: Desired) -> Mapping[str, Probe]:
    """Return everything `plan_node` asks a node for a whole stage; empty when it does not compile."""
    try:
        compiled = desired.compile(stage, node)
        site = desired.compile(StageName.PROVISION, node) if number(stage) else None
    except MacfleetError:
        return {}
    context = desired.gate_context(node)
    gates = (build_gate(spec) for spec in desired.playbooks[stage].gates)
    requests = [request for gate in gates if gate.before for request in gate.needs(context)]
    return {resource.address: resource.probe() for resource in compiled.resources} | _extra(requests, site)


def _extra(requests: Sequence[EvidenceRequest], site: CompiledStage | None) -> dict[str, Probe]:
    """Return the probes besides the stage's own: facts, what gates judge beforehand, the site's drift."""
    extra: dict[str, Probe] = dict(facts.probes())
    extra |= {r.name: r.probe for r in requests if isinstance(r, ProbeRequest)}
    return extra | {_SITE + r.address: r.probe() for r in (site.resources if site else ())}


def evidence_key(
    stage: StageName,
    node: Node,
    desired: Desired,
    versions: Mapping[str, str],
    compiled: str,
    duration: float,
) -> EvidenceKey:
    """Return what evidence of this stage on this node is about."""
    parts = {"node": node.name, "stage": str(stage), "compiled": compiled, **versions}
    parts["contract"] = desired.contract.hash
    if number(stage) >= number(StageName.IMAGES):
        parts["images"] = desired.images_digest(node)
    if stage in (StageName.LAYOUT, StageName.LOADTEST):
        parts["network"] = desired.mode(node)
    if stage is StageName.LOADTEST:
        # A short measurement does not stand for a long one that is asked for later.
        parts["duration"] = f"{duration:g} s"
        # Evidence of two arms is no evidence of three: what an arm computes on decides how many there are.
        parts["arms"] = ", ".join(f"{arm} {node.accelerator(arm)}" for arm in node.measured_arms)
    return EvidenceKey(parts)


def _is_current(stage: StageName, node: Node, key: EvidenceKey, ports: Ports, max_age: float) -> bool:
    record = ports.evidences.latest(node.name, stage)
    if record is None or record.outcome is not Outcome.PASS or record.key.digest != key.digest:
        return False
    return ports.clock.now() - record.finished <= max_age


def _site_verdicts(node: Node, site: CompiledStage, seen: Observation) -> list[Verdict]:
    states = {name.removeprefix(_SITE): state for name, state in seen.extra.items() if name.startswith(_SITE)}
    pending = make_plan(node.name, site.resources, Observation(states)).pending
    if not pending:
        return []
    first = ", ".join(change.address for change in pending[:3])
    more = f" and {len(pending) - 3} more" if len(pending) > 3 else ""
    counted = (
        "1 resource of site.yml differs"
        if len(pending) == 1
        else f"{len(pending)} resources of site.yml differ"
    )
    reason = f"{counted}: {first}{more}"
    mend = f"macfleet apply playbooks/site.yml -l {node.name}"
    return [Verdict("provisioned", node.name, Outcome.HOLD, (reason,), mend)]


def _predecessors(
    stage: StageName, node: Node, desired: Desired, key: EvidenceKey, ports: Ports, max_age: float
) -> list[Verdict]:
    """Every earlier stage's evidence must be there, passed, young, and about what is wanted now."""
    verdicts = []
    for earlier in ORDER[: number(stage) - 1]:
        reason = _fault_of(earlier, node, desired, key, ports, max_age)
        if reason:
            mend = f"macfleet rollout stage{number(earlier)} -l {node.name}"
            verdicts.append(Verdict("predecessor", node.name, Outcome.HOLD, (reason,), mend))
    return verdicts


def _fault_of(
    earlier: StageName, node: Node, desired: Desired, key: EvidenceKey, ports: Ports, max_age: float
) -> str:
    named = f"stage {number(earlier)} ({earlier})"
    record = ports.evidences.latest(node.name, earlier)
    if record is None:
        return f"{named} has no evidence on this node"
    if record.outcome is not Outcome.PASS:
        return f"{named} ended with {record.outcome}"
    if ports.clock.now() - record.finished > max_age:
        return f"{named} is older than {max_age / 86400:g} days"
    try:
        compiled = desired.compile(earlier, node).digest
    except MacfleetError as error:
        return f"{named} does not compile: {error.diagnostics[0].summary}"
    wanted = {**key.parts, "compiled": compiled, "stage": str(earlier)}
    if earlier is StageName.LAYOUT:
        wanted["network"] = desired.mode(node)
    changed = record.key.differs_from(EvidenceKey(wanted))
    return f"{named} is stale: {', '.join(changed)} changed" if changed else ""
