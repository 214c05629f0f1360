"""One node's way through a stage: drain, apply, verify, measure, judge, record, undrain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from macfleet.engine import apply_plan
from macfleet.engine.lock import Holder
from macfleet.engine.redial import Redial
from macfleet.facts import versions as facts
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.event import Event
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.model.quantity import iso
from macfleet.model.stage import MeasureRequest, Outcome, StageName, StageRecord, Verdict
from macfleet.rollout.desired import Desired, number
from macfleet.rollout.evidence import gather
from macfleet.rollout.load_profile import longest_seconds
from macfleet.rollout.node_lock import to_itself
from macfleet.rollout.planning import NodePlan, evidence_key
from macfleet.rollout.ports import Ports
from macfleet.rollout.record import write_facts
from macfleet.rollout.result import NodeOutcome, NodeResult, failed_result
from macfleet.rollout.run_lock import cause
from macfleet.rollout.service import come_back, leave
from macfleet.rollout.witness import witness

if TYPE_CHECKING:
    from macfleet.rollout.run import Options

_NETWORK_SECONDS = 600.0
"""What proving the network takes at most, on a slow node."""
_WORST = (Outcome.FAIL, Outcome.HOLD, Outcome.INCONCLUSIVE)


def carry_out(
    stage: StageName,
    planned: NodePlan,
    desired: Desired,
    ports: Ports,
    options: Options,
    writer: RunWriter,
) -> NodeResult:
    """Take one planned node through the stage; raises MacfleetError where it cannot leave service for it."""
    node = planned.node
    if planned.held:
        if not options.tags.partial:
            _record(stage, planned, planned.verdicts, {}, ports, options)
        return _result(planned, NodeOutcome.HELD, planned.verdicts)
    left = leave(stage, node, planned.plan, desired.playbooks[stage], ports, options)
    try:
        result = _work(stage, planned, left.node, desired, ports, options, writer)
    except MacfleetError as error:
        error = cause(error, ports.locks, options.fence, node.name)
        result = replace(failed_result(node, error), plan=planned.plan, facts=planned.facts)
        if ports.stop() and result.outcome in (NodeOutcome.FAILED, NodeOutcome.UNREACHABLE):
            # Its script was ended by us: that says nothing about the node.
            result = replace(result, outcome=NodeOutcome.INTERRUPTED)
        if result.outcome is NodeOutcome.FAILED:
            record_failure(stage, planned, ports, options)
    if result.evidence:
        # Whoever goes on with a run that broke off finds a measured node's facts beside its figures.
        write_facts(writer, node, result, desired)
    return come_back(result, node, left, ports)


def _work(
    stage: StageName,
    planned: NodePlan,
    reached: Node,
    desired: Desired,
    ports: Ports,
    options: Options,
    writer: RunWriter,
) -> NodeResult:
    """Apply, measure, judge and record; what is asked of the node's engine is asked where it is `reached`."""
    changed, planned = _apply(planned, desired, ports, options)
    if options.tags.partial:
        verdicts = _in_part(stage, planned, changed, ports, options)
        outcome = NodeOutcome.CHANGED if changed else NodeOutcome.UNCHANGED
        return _result(planned, outcome, verdicts, changed)
    measured = _measure(planned, reached, desired, ports, options, writer)
    context = desired.gate_context(reached)
    evidence = {**gather(planned.gates, context, desired, ports, left=0, changed=len(changed)), **measured}
    # What was ended by us on the way says nothing about the node, and is no evidence.
    ports.go_on(reached.name)
    judged = list(planned.verdicts)
    for gate in (gate for gate in planned.gates if not gate.before):
        verdict = gate.judge(context, evidence)
        judged.append(verdict)
        ports.events.emit(
            Event("gate.judged", reached.name, {"gate": verdict.gate, "outcome": str(verdict.outcome)})
        )
    verdicts = tuple(judged)
    _record(stage, planned, verdicts, evidence, ports, options)
    outcome = NodeOutcome.CHANGED if changed else NodeOutcome.UNCHANGED
    if worst(verdicts) in (Outcome.HOLD, Outcome.FAIL):
        outcome = NodeOutcome.HELD
    return _result(planned, outcome, verdicts, changed, evidence)


def _in_part(
    stage: StageName, planned: NodePlan, changed: tuple[str, ...], ports: Ports, options: Options
) -> tuple[Verdict, ...]:
    """A part of a stage proves nothing: no gate is judged, and after a change older evidence is void."""
    if not changed:
        return planned.verdicts
    node = planned.node.name
    whole = f"rollout stage{number(stage)}" if number(stage) else "apply playbooks/site.yml"
    reason = f"only a part was applied ({options.tags}), so no gate was judged"
    verdict = Verdict("whole", node, Outcome.INCONCLUSIVE, (reason,), f"macfleet {whole}")
    _record(stage, planned, (*planned.verdicts, verdict), {}, ports, options)
    return (*planned.verdicts, verdict)


def take_back(planned: NodePlan, desired: Desired, ports: Ports, options: Options) -> None:
    """Give back the lock that the resumed run left on a node without work, and collect its detached steps.

    A lock that somebody else has by now is theirs.

    Raises:
        MacfleetError: what applying an empty plan raises.
    """
    try:
        _apply(planned, desired, ports, options)
    except MacfleetError as error:
        if error.exit_code is not ExitCode.LOCKED:
            raise


def record_failure(stage: StageName, planned: NodePlan, ports: Ports, options: Options) -> None:
    """Record that the stage failed: older evidence of the same key must not let the next stage pass."""
    verdict = Verdict(str(stage), planned.node.name, Outcome.FAIL, ("the stage failed on the way",))
    _record(stage, planned, (*planned.verdicts, verdict), {}, ports, options)


def worst(verdicts: list[Verdict] | tuple[Verdict, ...]) -> Outcome:
    """Return the outcome that decides for a node."""
    present = {verdict.outcome for verdict in verdicts}
    return next((outcome for outcome in _WORST if outcome in present), Outcome.PASS)


def _apply(
    planned: NodePlan, desired: Desired, ports: Ports, options: Options
) -> tuple[tuple[str, ...], NodePlan]:
    """Return the addresses changed, and the plan with the facts and the key that are true afterwards."""
    # A run that broke off after its last step left its lock behind, and the results of detached steps.
    if not planned.plan.pending and not options.resume:
        return (), planned
    holder = _holder(planned, ports, options)

    def confirm() -> None:
        ports.locks.confirm(options.fence, planned.node.name)

    applied = apply_plan(
        planned.plan,
        planned.compiled.resources,
        ports.transports.to(planned.node),
        sources=ports.sources,
        holder=holder,
        nonce=ports.nonce,
        extra=facts.probes(),
        report=witness(planned.node.name, options.run_id, ports, confirm),
        redial=Redial(lambda: ports.transports.to(planned.node), ports.clock.sleep),
        stop=ports.stop,
        courier=ports.relay.courier(planned.node, ports.events) if ports.relay else None,
        # A run that is gone on with may have left things under way: the node is looked at first.
        answers={} if options.resume else planned.answers,
    )
    found = dict(applied.observation.extra)
    # Applying may have installed another version; evidence is about what runs now.
    key = evidence_key(
        planned.stage,
        planned.node,
        desired,
        facts.versions(found),
        planned.compiled.digest,
        options.load.duration,
    )
    return applied.changed, replace(planned, key=key, facts=found)


def _holder(planned: NodePlan, ports: Ports, options: Options) -> Holder:
    """A resumed run holds locks under the id of the run it goes on with, which may have left them behind."""
    return Holder(
        options.resume or options.run_id,
        options.who,
        iso(ports.clock.now()),
        options.fence.token,
        options.fence.store,
        f"rollout {planned.stage}",
    )


def _measure(
    planned: NodePlan,
    node: Node,
    desired: Desired,
    ports: Ports,
    options: Options,
    writer: RunWriter,
) -> dict[str, Json]:
    """Run what the gates want measured; the evidence goes under the request's name."""
    context = desired.gate_context(node)
    wanted = {
        request.name: request.what
        for gate in planned.gates
        for request in gate.needs(context)
        if isinstance(request, MeasureRequest)
    }
    found: dict[str, Json] = {}
    if not wanted:
        return found
    # Most stages measure nothing, and do without all of this.
    from macfleet.rollout.loadtest import measure_loadtest  # noqa: PLC0415
    from macfleet.rollout.network import NetworkProfile, measure_network  # noqa: PLC0415

    seconds = _NETWORK_SECONDS + longest_seconds(desired, node, options.load)
    with to_itself(node, _holder(planned, ports, options), ports, seconds):
        for name, what in wanted.items():
            if what == "network":
                found[name] = measure_network(node, desired, ports, NetworkProfile(), options.run_id)
                writer.json(f"nodes/{node.name}/network.json", found[name])
            else:
                key, resumes = planned.key, options.resume
                found[name] = measure_loadtest(
                    node, desired, ports, options.load, writer, key=key, resumes=resumes
                ).evidence
    return found


def _record(
    stage: StageName,
    planned: NodePlan,
    verdicts: tuple[Verdict, ...],
    evidence: Mapping[str, Json],
    ports: Ports,
    options: Options,
) -> None:
    ports.evidences.record(
        StageRecord(
            node=planned.node.name,
            stage=stage,
            key=planned.key,
            outcome=worst(verdicts),
            run=options.run_id,
            finished=ports.clock.now(),
            verdicts=verdicts,
            evidence=evidence,
        )
    )


def _result(
    planned: NodePlan,
    outcome: NodeOutcome,
    verdicts: tuple[Verdict, ...],
    changed: tuple[str, ...] = (),
    evidence: Mapping[str, Json] | None = None,
) -> NodeResult:
    return NodeResult(
        planned.node.name,
        outcome,
        planned.plan,
        changed,
        verdicts,
        key=planned.key,
        facts=planned.facts,
        evidence=evidence or {},
    )
