"""What applying refuses or reports, as diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.model.resource import Action, Change, Plan, ProbeOutput, Value

_GO_ON = "Mend the cause and go on with --resume; what was done before it is kept."
WITHOUT_ASKING = (
    "Nobody can be asked for a password: let the login user run sudo without one. On the Mac, "
    "`sudo visudo -f /etc/sudoers.d/macfleet`, and write there: USER ALL=(ALL) NOPASSWD: ALL."
)


def refuse_blocked(plan: Plan) -> None:
    """Raise MacfleetError E0514 for every change that a resource says cannot be made."""
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


def refuse_stale(
    expected: Mapping[str, Change],
    current: Plan,
    explained: Iterable[str],
    needs: Mapping[str, frozenset[str]],
) -> None:
    """Raise E0511 when something differs from the plan and no explained address accounts for it."""
    accounted = set(explained)
    pending = set(current.pending)
    problems = []
    for change in current.changes:
        before = expected.get(change.address)
        if change.address in accounted or needs[change.address] & accounted:
            continue
        planned = (before.action, before.fields) if before else None
        found = (change.action, change.fields) if change in pending else None
        if planned != found:
            problems.append(_stale(current.node, change, before))
    if problems:
        raise MacfleetError(problems)


def refuse_unconverged(node: str, left: Iterable[Change]) -> None:
    """Raise E0513 for every change that is still pending after all steps succeeded."""
    problems = [_not_converged(node, change) for change in left]
    if problems:
        raise MacfleetError(problems)


def step_failed(node: str, address: str, output: ProbeOutput | None) -> Diagnostic:
    """Return what became of a step that did not succeed (E0512)."""
    if output is None:
        why = "The node gave no answer for it."
    else:
        said = (output.stderr.strip() or output.stdout.strip())[-600:]
        cut = " (stopped at its limit)" if output.cut else ""
        why = f"exit status {output.exit}{cut}{f': {said}' if said else ', and it said nothing'}"
    return Diagnostic(
        "E0512",
        f"a step of {address} failed",
        why=why,
        mend=f"{WITHOUT_ASKING} Then go on with --resume." if wants_password(output) else _GO_ON,
        node=node,
        address=address,
        exit_code=ExitCode.NODE_FAILED,
    )


def wants_password(output: ProbeOutput | None) -> bool:
    """Whether `sudo -n` ended a step or a probe because it would have had to ask."""
    return output is not None and "sudo: a password is required" in output.stderr + output.stdout


def cut_off(node: str, jobs: Mapping[str, str], error: NodeUnreachable) -> NodeUnreachable:
    """Return E0571 (exit 5): the connection broke amid changes and did not come back."""
    first = error.diagnostics[0]
    return NodeUnreachable(
        Diagnostic(
            "E0571",
            "the connection broke while the node was changed, and it does not come back",
            why=f"{first.summary}. {_going_on(jobs)}".strip(),
            mend="When it answers again, --resume goes on where it is.",
            node=node,
            exit_code=ExitCode.UNREACHABLE,
        )
    )


def interrupted(node: str, sent: Iterable[str], jobs: Mapping[str, str]) -> MacfleetError:
    """Return E0572 (exit 130): somebody stopped the run while the node was changed.

    Args:
        node: inventory name.
        sent: addresses whose steps were under way.
        jobs: those of them that go on detached, with the id of the job.
    """
    ended = sorted(set(sent) - set(jobs))
    why = f"The steps of {', '.join(ended)} were ended on the way." if ended else ""
    return MacfleetError(
        Diagnostic(
            "E0572",
            "stopped before it was done",
            why=f"{why} {_going_on(jobs)}".strip() or "What ran on the node for it was ended.",
            mend="--resume looks at the node again and does what is left.",
            node=node,
            exit_code=ExitCode.INTERRUPTED,
        )
    )


def _going_on(jobs: Mapping[str, str]) -> str:
    if not jobs:
        return ""
    named = ", ".join(f"{address} (job {job})" for address, job in sorted(jobs.items()))
    return f"Goes on detached on the node: {named}; --resume collects it."


def _stale(node: str, change: Change, before: Change | None) -> Diagnostic:
    return Diagnostic(
        "E0511",
        f"the plan no longer fits {change.address}",
        why=f"Planned: {in_words(before)}. Found now: {in_words(change)}. Somebody else changed the node.",
        mend="Nothing further was changed. Look at it again: macfleet rollout … --check",
        node=node,
        address=change.address,
        exit_code=ExitCode.NODE_FAILED,
    )


def _not_converged(node: str, change: Change) -> Diagnostic:
    return Diagnostic(
        "E0513",
        f"{change.address} did not converge",
        why=f"After its steps succeeded the node still differs: {in_words(change)}.",
        mend=f"Its steps do not lead to its desired state on this node; what they said: macfleet logs {node}",
        node=node,
        address=change.address,
        exit_code=ExitCode.NODE_FAILED,
    )


def in_words(change: Change | None) -> str:
    """Return what a change does, with its fields before and after; None is no change."""
    if change is None or change.action is Action.NOOP:
        return "no change"
    if not (change.fields or change.reason):
        return str(change.action)
    fields = ", ".join(f"{each.field} {_said(each.before)} → {_said(each.after)}" for each in change.fields)
    return f"{change.action} {fields or change.reason}"


def _said(value: Value) -> str:
    """Return a field's value in words; a list as its members, nothing as a dash."""
    if value is None or value == ():
        return "–"
    return " ".join(value) if isinstance(value, tuple) else str(value)
