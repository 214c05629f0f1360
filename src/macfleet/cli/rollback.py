"""`macfleet rollback`: nodes go back to the release before, drained, and proven there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.fleet import FleetContext, event_command, limit_option
from macfleet.cli.params import wait_option
from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode, strongest
from macfleet.model.stage import StageName

if TYPE_CHECKING:
    from macfleet.contract.releases import Release
    from macfleet.model.node import Node
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.ports import Ports
    from macfleet.rollout.result import StageResult
    from macfleet.rollout.rollback import Proof, Return

_STAGES = (StageName.IMAGES, StageName.LAYOUT)
"""What brings an image to a node and what runs it."""


@click.command()
@click.argument("pattern", metavar="[NODE or POOL]", type=NodePattern(), default="")
@limit_option
@click.option("--to", default="", metavar="RELEASE", help="This one instead of the one before.")
@click.option("--check", is_flag=True, help="Show where nodes would go back to; exit 3.")
@wait_option
@click.option("--reason", default="", help="Why, for the record.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@event_command
def rollback(
    fleet: FleetContext,
    pattern: str,
    limit: str,
    to: str,
    check: bool,
    wait: float,
    reason: str,
    yes: bool,
) -> int:
    """Return nodes to the digests before: a node, a pool, an environment or any pattern.

    The lock says so first; then stages 2 and 3 bring the images and run them, with each node drained; then
    each node's digests are read back and its promised routes asked. The same command finishes one that broke
    off.

    Example: macfleet rollback mac-03 --reason "b10434 stalls at 8k context"
    """
    from macfleet.cli.compose import confirm, desired_of, open_ports
    from macfleet.rollout.run_lock import Claim, held
    from macfleet.views.flow import width_of
    from macfleet.views.progress import EventLines
    from macfleet.views.rollback import plan_document, plan_lines
    from macfleet.views.terminal import show, show_json

    nodes = _chosen(fleet, pattern, limit)
    desired = desired_of(fleet)
    as_json = fleet.output == "json"
    with open_ports(fleet, EventLines(as_json=as_json, on_stdout=fleet.stream)) as ports:
        returns = _planned(fleet, nodes, to, desired, ports)
        if check:
            if as_json:
                show_json(plan_document(returns))
            else:
                show(plan_lines(returns, width_of(sys.stdout)))
            return int(ExitCode.PENDING)
        if not as_json:
            for line in plan_lines(returns, width_of(sys.stderr)):
                click.echo(line, err=True)
        names = tuple(each.node.name for each in returns)
        confirm(f"Take {', '.join(names)} back?", yes=yes)
        with held(Claim(names, "", "rollback", wait), ports.locks, ports.clock, ports.events):
            _write_locks(fleet, returns)
            return _carry_out(fleet, returns, desired, ports, reason)


def _chosen(fleet: FleetContext, pattern: str, limit: str) -> tuple[Node, ...]:
    """Return the nodes that were named and serve from a container (raises MacfleetError E0689, exit 8)."""
    from macfleet.model.node import Arm

    within = {node.name for node in fleet.nodes(limit)}
    nodes = [node for node in fleet.nodes(pattern) if node.name in within]
    chosen = tuple(node for node in nodes if Arm.CONTAINER in node.arms)
    if not chosen:
        named = " and ".join(filter(None, (pattern, limit))) or "all"
        raise MacfleetError(
            Diagnostic(
                "E0689",
                f"no node with a container arm is left of {named}",
                why="Only what an image delivers can go back to an earlier one.",
                mend="See who is where: macfleet inventory graph",
                exit_code=ExitCode.NOTHING_SELECTED,
            )
        )
    return chosen


def _planned(
    fleet: FleetContext, nodes: Sequence[Node], to: str, desired: Desired, ports: Ports
) -> tuple[Return, ...]:
    """Return where each node goes back to; every node that cannot is reported."""
    from macfleet.cli.releases import lock_of, path_of
    from macfleet.rollout.rollback import plan_return
    from macfleet.rollout.served import has_served

    def served(node: Node, release: Release) -> bool:
        return has_served(node, release.images, desired, ports.evidences)

    locks = {path: lock_of(fleet, path) for path in {path_of(fleet, node.environment) for node in nodes}}
    found: list[Return] = []
    problems: list[Diagnostic] = []
    for node in nodes:
        path = path_of(fleet, node.environment)
        try:
            found.append(plan_return(node, locks[path], path, to, served))
        except MacfleetError as error:
            problems += error.diagnostics
    if problems:
        raise MacfleetError(problems)
    return tuple(found)


def _write_locks(fleet: FleetContext, returns: Sequence[Return]) -> None:
    """Write into each lock where its nodes go, before the first of them is touched.

    Raises:
        MacfleetError: E0686 (exit 7) a node is to run something else since it was shown.
    """
    from macfleet.cli.releases import lock_of, moved, path_of, serving_nodes, writing
    from macfleet.contract.images import IMAGES_LOCK
    from macfleet.contract.releases import render_releases, went_back

    for path in sorted({each.path for each in returns}):
        here = [each for each in returns if each.path == path]
        with writing(fleet, path, "rollback"):
            lock = lock_of(fleet, path)
            if any(lock.of(each.node.name).id != each.now.id for each in here):
                raise MacfleetError(moved([path]))
            everybody = [n.name for n in serving_nodes(fleet) if path_of(fleet, n.environment) == path]
            after = went_back(lock, {each.node.name: each.to for each in here}, everybody)
            environment = "" if path == IMAGES_LOCK else here[0].node.environment
            if after != lock:
                write_whole(fleet.root / path, render_releases(after, environment))


def _carry_out(
    fleet: FleetContext, returns: Sequence[Return], desired: Desired, ports: Ports, reason: str
) -> int:
    """Bring the images and run them, prove each node, keep and show the proof; return the exit code."""
    from macfleet.rollout.result import NodeOutcome, NodeResult
    from macfleet.rollout.rollback import prove, read_running
    from macfleet.rollout.served import with_images
    from macfleet.views.flow import width_of
    from macfleet.views.rollback import proof_document, proof_lines
    from macfleet.views.terminal import show, show_json

    desired = with_images(desired, {each.node.name: each.to.images for each in returns})
    before = read_running(returns, ports)
    results = _rolled_out(fleet, returns, desired, ports, reason)
    ended = {each.node.name: NodeResult(each.node.name, NodeOutcome.NOT_REACHED) for each in returns}
    for result in results:
        ended |= {each.node: each for each in result.results}
    proofs = prove(returns, before, ended, desired, ports, fleet.who)
    runs = tuple(result.run for result in results if result.run)
    _record(fleet, proofs, returns, runs, reason)
    shown = fleet.redactor.value(proofs)
    if fleet.output == "json":
        show_json(proof_document(shown, returns, runs))
    else:
        show(proof_lines(shown, width_of(sys.stdout)))
        _tell(shown, returns)
    return int(strongest((*(result.exit_code for result in results), *map(_exit_code, proofs))))


def _rolled_out(
    fleet: FleetContext, returns: Sequence[Return], desired: Desired, ports: Ports, reason: str
) -> tuple[StageResult, ...]:
    """Carry stages 2 and 3 out on the nodes; the second leaves out who did not end well in the first.

    Evidence of the stages before them does not age here: who must go back cannot measure first.
    """
    from macfleet.cli.compose import new_run_id, stage_nodes
    from macfleet.cli.interrupts import interrupts
    from macfleet.rollout.desired import number
    from macfleet.rollout.result import FAILURES
    from macfleet.rollout.run import Options, rollout
    from macfleet.views.progress import watching
    from macfleet.views.redacted_ports import RedactedEvents

    names = [each.node.name for each in returns]
    results: list[StageResult] = []
    why = f"rollback: {reason}" if reason else "rollback"
    with interrupts(fleet, f"macfleet rollback {','.join(names)}"):
        for stage in _STAGES:
            if not names or fleet.stopped.is_set():
                break
            options = Options(
                run_id=new_run_id(f"stage{number(stage)}", ports.clock.now()),
                who=fleet.who,
                why=why,
                max_age=float("inf"),
            )
            title = f"Rollback · {stage}"
            with watching(title, names, as_json=fleet.output == "json", on_stdout=fleet.stream) as events:
                ports_of_run = replace(ports, events=RedactedEvents(events, fleet.redactor))
                nodes = stage_nodes(fleet, desired, stage, ",".join(names))
                results.append(rollout(stage, nodes, desired, ports_of_run, options))
            _explain(fleet, results[-1], desired)
            names = [each.node for each in results[-1].results if each.outcome not in FAILURES]
    return tuple(results)


def _explain(fleet: FleetContext, result: StageResult, desired: Desired) -> None:
    """Say on stderr why a stage did not end well; the proof table alone is the result."""
    from macfleet.views import rollout as view
    from macfleet.views.flow import width_of

    if fleet.output == "json" or (result.exit_code is ExitCode.DONE and not fleet.verbose):
        return
    shown = fleet.redactor.value(result)
    for line in view.lines(shown, desired, verbose=fleet.verbose, width=width_of(sys.stderr)):
        click.echo(line, err=True)


def _record(
    fleet: FleetContext, proofs: Sequence[Proof], returns: Sequence[Return], runs: Sequence[str], reason: str
) -> None:
    from macfleet.cli.releases import record
    from macfleet.views.rollback import proof_row

    by_name = {each.node.name: each for each in returns}
    for proof in proofs:
        row = proof_row(proof, by_name[proof.node])
        record(fleet, proof.node, "release.returned", {**row, "why": reason, "runs": list(runs)})


def _tell(proofs: Sequence[Proof], returns: Sequence[Return]) -> None:
    """Say on stderr what the locks say now, and what to type where it was not proven."""
    from macfleet.contract.images import IMAGES_LOCK
    from macfleet.views.diagnostics import text

    for problem in dict.fromkeys(each for proof in proofs for each in proof.problems):
        click.echo(text(problem), err=True)
    for path in sorted({each.path for each in returns}):
        named = sorted(each.node.name for each in returns if each.path == path)
        forward = "macfleet image pin" if path == IMAGES_LOCK else "macfleet promote"
        click.echo(f"{path} says so for {', '.join(named)} until other bytes come by {forward}.", err=True)
    unproven = [proof.node for proof in proofs if not proof.proven]
    if unproven:
        click.echo(f"Not proven; go on with: macfleet rollback {','.join(unproven)}", err=True)


def _exit_code(proof: Proof) -> ExitCode:
    from macfleet.rollout.result import EXIT_CODES

    return EXIT_CODES[proof.outcome]
