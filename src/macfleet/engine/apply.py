"""Carry a plan out: lock and re-probe in one exec, then one exec per dependency level.

Each level's script ends with every probe, so the next level is compared with the plan before anything
of it is sent, and the last level's probes are the verification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from macfleet.engine.lock import (
    Holder,
    enter_lock,
    refuse_if_locked,
    refuse_if_taken,
    release_lock,
    take_lock,
)
from macfleet.engine.observe import Observation, deadline_of, understand
from macfleet.engine.plan import depends_on, make_plan, pending_by_address
from macfleet.engine.script import HOMEBREW_PATH, Fragment, bundle, probe_fragments, step_text, unbundle
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.ports import Sources, Transport
from macfleet.model.resource import Change, Plan, Probe, ProbeOutput, Resource, Run, Stream

Report = Callable[[str, Change], None]


@dataclass(frozen=True, slots=True)
class Applied:
    """What applying did: the addresses changed, in order, and the final observation."""

    changed: tuple[str, ...]
    observation: Observation


@dataclass(frozen=True, slots=True)
class _Work:
    node: str
    resources: Sequence[Resource]
    transport: Transport
    sources: Sources
    holder: Holder
    nonce: Callable[[], str]
    probes: Mapping[str, Probe]
    extra: frozenset[str]
    report: Report

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(resource.address for resource in self.resources)


def apply_plan(
    plan: Plan,
    resources: Sequence[Resource],
    transport: Transport,
    *,
    sources: Sources,
    holder: Holder,
    nonce: Callable[[], str],
    extra: Mapping[str, Probe] | None = None,
    report: Report = lambda _node, _change: None,
) -> Applied:
    """Apply `plan` on its node and verify that nothing is left.

    Raises:
        MacfleetError: E0510 locked (6), E0592 the lock was taken over (6), E0511 plan stale (4),
            E0512 step failed (4), E0513 did not converge (4), E0514 blocked change (4).
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    _refuse_blocked(plan)
    probes = {resource.address: resource.probe() for resource in resources} | dict(extra or {})
    names = frozenset(extra or {})
    work = _Work(plan.node, resources, transport, sources, holder, nonce, probes, names, report)
    observation = _lock_and_probe(work)
    try:
        return _through_levels(plan, observation, work)
    finally:
        _release(work)


def _through_levels(plan: Plan, observation: Observation, work: _Work) -> Applied:
    needs = depends_on(work.resources)
    expected = dict(pending_by_address(plan))
    changed: list[str] = []
    current = make_plan(plan.node, work.resources, observation, compiled=plan.compiled)
    _refuse_stale(expected, current, changed, needs)
    for level in plan.levels:
        wanted = pending_by_address(current)
        todo = [wanted[address] for address in level if address in wanted]
        if not todo:
            continue
        observation = _apply_level(todo, work)
        changed += [change.address for change in todo]
        current = make_plan(plan.node, work.resources, observation, compiled=plan.compiled)
        _refuse_stale(expected, current, changed, needs)
        expected = {**expected, **pending_by_address(current)}
    left = pending_by_address(current)
    if left:
        raise MacfleetError([_not_converged(plan.node, change) for change in left.values()])
    return Applied(tuple(changed), observation)


def _lock_and_probe(work: _Work) -> Observation:
    mark = work.nonce()
    fragments = probe_fragments(work.probes)
    deadline = deadline_of(work.probes)
    script = bundle(fragments, nonce=mark, preface=take_lock(work.holder, f"--{mark}", deadline))
    done = work.transport.run(script, deadline=deadline)
    stdout = done.stdout.decode("utf-8", "replace")
    refuse_if_locked(work.node, stdout, f"--{mark}")
    try:
        return understand(work.node, work.probes, unbundle(fragments, stdout, nonce=mark), work.addresses)
    except MacfleetError:
        _release(work)
        raise


def _apply_level(todo: Sequence[Change], work: _Work) -> Observation:
    by_address = {resource.address: resource for resource in work.resources}
    batch: list[Fragment] = []
    for change in todo:
        work.report(work.node, change)
        for number, step in enumerate(by_address[change.address].steps(change)):
            name = f"{change.address}#{number}"
            if isinstance(step, Stream):
                _send(batch, work)
                batch = []
                _stream(change, step, work)
            else:
                limit = step.limit if isinstance(step, Run) else 60.0
                batch.append(Fragment(name, step_text(step), limit, guard=change.address))
    outputs = _send([*batch, *probe_fragments(work.probes)], work)
    return understand(work.node, work.probes, outputs, work.addresses)


def _send(fragments: Sequence[Fragment], work: _Work) -> Mapping[str, ProbeOutput]:
    if not fragments:
        return {}
    mark = work.nonce()
    deadline = 30.0 + sum(fragment.limit for fragment in fragments)
    preface = enter_lock(work.holder, f"--{mark}", deadline)
    done = work.transport.run(bundle(fragments, nonce=mark, preface=preface), deadline=deadline)
    stdout = done.stdout.decode("utf-8", "replace")
    refuse_if_taken(work.node, stdout, f"--{mark}")
    outputs = unbundle(fragments, stdout, nonce=mark)
    for fragment in fragments:
        output = outputs.get(fragment.name)
        if fragment.guard and (output is None or output.exit != 0):
            raise MacfleetError(_step_failed(work.node, fragment.guard, output))
    return outputs


def _stream(change: Change, step: Stream, work: _Work) -> None:
    mark = work.nonce()
    fence = enter_lock(work.holder, f"--{mark}", step.limit)
    script = f"PATH={HOMEBREW_PATH}; export PATH; LC_ALL=C; export LC_ALL\n{fence}\n{step.script}"
    done = work.transport.run(script, stdin=work.sources.open(step.source), deadline=step.limit)
    refuse_if_taken(work.node, done.stdout.decode("utf-8", "replace"), f"--{mark}")
    if done.exit != 0:
        text = done.stderr.decode("utf-8", "replace")
        output = ProbeOutput(done.exit, done.stdout.decode("utf-8", "replace"), text)
        raise MacfleetError(_step_failed(work.node, change.address, output))


def _release(work: _Work) -> None:
    try:
        work.transport.run(release_lock(work.holder), deadline=30.0)
    except MacfleetError:
        # The connection is gone; the lock names its run, so `--resume` takes it over.
        return


def _refuse_blocked(plan: Plan) -> None:
    blocked = [change for change in plan.pending if change.blocked]
    if blocked:
        raise MacfleetError(
            Diagnostic(
                "E0514",
                f"{change.address} cannot be changed",
                why=change.blocked,
                node=plan.node,
                address=change.address,
                exit_code=ExitCode.NODE_FAILED,
            )
            for change in blocked
        )


def _refuse_stale(
    expected: Mapping[str, Change],
    current: Plan,
    changed: Sequence[str],
    needs: Mapping[str, frozenset[str]],
) -> None:
    """Raise E0511 when something differs from the plan and no applied change explains it."""
    applied = set(changed)
    problems = []
    for change in current.changes:
        before = expected.get(change.address)
        if change.address in applied or needs[change.address] & applied:
            continue
        planned = (before.action, before.fields) if before else None
        found = (change.action, change.fields) if change in current.pending else None
        if planned != found:
            problems.append(_stale(current.node, change, before))
    if problems:
        raise MacfleetError(problems)


def _stale(node: str, change: Change, before: Change | None) -> Diagnostic:
    return Diagnostic(
        "E0511",
        f"the plan no longer fits {change.address}",
        why=f"Planned: {_in_words(before)}. Found now: {_in_words(change)}. Somebody else changed the node.",
        mend="Nothing further was changed. Look at it again: macfleet rollout … --check",
        node=node,
        address=change.address,
        exit_code=ExitCode.NODE_FAILED,
    )


def _step_failed(node: str, address: str, output: ProbeOutput | None) -> Diagnostic:
    if output is None:
        why = "The node gave no answer for it."
    else:
        said = (output.stderr.strip() or output.stdout.strip())[-600:]
        cut = " (stopped at its limit)" if output.cut else ""
        why = f"exit status {output.exit}{cut}: {said}"
    return Diagnostic(
        "E0512",
        f"a step of {address} failed",
        why=why,
        mend="Mend the cause and go on with --resume; what was done before it is kept.",
        node=node,
        address=address,
        exit_code=ExitCode.NODE_FAILED,
    )


def _not_converged(node: str, change: Change) -> Diagnostic:
    return Diagnostic(
        "E0513",
        f"{change.address} did not converge",
        why=f"After its steps succeeded the node still differs: {_in_words(change)}.",
        mend="The resource's steps do not lead to its desired state on this node; look at it by hand.",
        node=node,
        address=change.address,
        exit_code=ExitCode.NODE_FAILED,
    )


def _in_words(change: Change | None) -> str:
    if change is None or not (change.fields or change.reason):
        return "no change" if change is None else str(change.action)
    fields = ", ".join(f"{field.field} {field.before} → {field.after}" for field in change.fields)
    return f"{change.action} {fields or change.reason}"
