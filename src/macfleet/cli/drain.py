"""`macfleet drain`, `undrain`, `cordon` and `uncordon`: nodes out of service and back."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import NodePattern
from macfleet.cli.drain_each import each, finish, named, say
from macfleet.cli.drain_follow import follow
from macfleet.cli.fleet import FleetContext, event_command, fleet_command
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.quantity import parse_seconds

if TYPE_CHECKING:
    from macfleet.model.node import Node
    from macfleet.model.ports import Events
    from macfleet.rollout.drain_ports import DrainPorts

_ADMITTED = 60.0
_names = click.argument("names", metavar="NODE...", nargs=-1, type=NodePattern(), required=True)


@click.command()
@_names
@click.option("--reason", default="", help="Why, kept with the node and shown to everybody.")
@click.option("--deadline", default="", metavar="TIME", help="Time requests get to finish; 30m unless said.")
@click.option(
    "--on-deadline",
    type=click.Choice(["wait", "cancel", "fail"]),
    help="With requests in flight then: wait on, cut them, or give up (fail unless said).",
)
@click.option(
    "--budget", type=click.IntRange(min=1), metavar="N", help="At most N nodes of a pool out at once."
)
@click.option("--force", is_flag=True, help="Although too few of the pool would serve; needs --reason.")
@click.option("--once", is_flag=True, help="Give up at once when something is in flight.")
@click.option("--detach", is_flag=True, help="Start it and return; follow with: macfleet watch.")
@click.option("--monitor", is_flag=True, help="Follow a drain that somebody else runs; start none.")
@event_command
def drain(
    fleet: FleetContext,
    names: tuple[str, ...],
    reason: str,
    deadline: str,
    on_deadline: str | None,
    budget: int | None,
    force: bool,
    once: bool,
    detach: bool,
    monitor: bool,
) -> int:
    """Take nodes out of service: no new requests, those in flight finish, then the containers stop.

    Refused (exit 7) where the pool would keep fewer nodes than its min_ready, or more than --budget would be
    out; --force overrides both and is recorded with its reason. A drain that fails leaves its node cordoned.
    Run it again to go on with one that broke off.

    Example: macfleet drain mac-03 --reason "fan noise, ticket 4711"
    """
    from macfleet.cli.left_engines import end_left_engines
    from macfleet.rollout.drain import drain as drain_node
    from macfleet.rollout.drain_admit import Wish
    from macfleet.rollout.drain_state import OnDeadline
    from macfleet.views.drain import drained_document, drained_line
    from macfleet.views.terminal import show

    policy = OnDeadline(on_deadline) if on_deadline else None
    if force and not reason:
        raise MacfleetError(_unreasoned())
    wish = Wish(reason, _deadline(deadline), policy, once, force=force, budget=budget)
    nodes = named(fleet, names)
    if monitor:
        return follow(fleet, nodes, until_settled=True)
    _leave_to_their_run(fleet, nodes)
    if detach:
        return _detached(fleet, nodes)
    ports = _ports(fleet, nodes)
    stopped = threading.Event()
    ports = replace(ports, clock=_StoppingClock(stopped))
    stay = end_left_engines(fleet, nodes, "drain")
    try:
        done, failed = each(fleet, nodes, lambda node: drain_node(node, wish, ports))
    except KeyboardInterrupt:
        stopped.set()
        say(f"Not drained yet. Go on with: macfleet drain {' '.join(n.name for n in nodes)}")
        say("Give it up with: macfleet uncordon --cancel and the node's name")
        raise
    failed += stay
    if fleet.output == "json":
        return finish(failed, drained_document(done))
    show(drained_line(name, result) for name, result in done.items())
    if done:
        say(f"Back with: macfleet undrain {' '.join(done)}")
    return finish(failed)


@click.command()
@_names
@fleet_command
def undrain(fleet: FleetContext, names: tuple[str, ...]) -> int:
    """Bring nodes back: start, warm up, open, prove the promised routes.

    A node that does not keep its promises is closed again and stays drained (exit 7).

    Example: macfleet undrain mac-03
    """
    from macfleet.rollout.drain_back import undrain as undrain_node

    _leave_to_their_run(fleet, named(fleet, names))
    return _moved(fleet, names, undrain_node, proves=True)


@click.command()
@_names
@click.option("--reason", default="", help="Why, kept with the node and shown to everybody.")
@fleet_command
def cordon(fleet: FleetContext, names: tuple[str, ...], reason: str) -> int:
    """Mark nodes as leaving; they go on serving.

    Example: macfleet cordon mac-03 --reason "to be re-imaged on Monday"
    """
    from macfleet.rollout.drain_back import cordon as cordon_node

    return _moved(fleet, names, lambda node, ports: cordon_node(node, reason, ports))


@click.command()
@_names
@click.option("--cancel", is_flag=True, help="Give a running drain up, whoever runs it.")
@fleet_command
def uncordon(fleet: FleetContext, names: tuple[str, ...], cancel: bool) -> int:
    """Take a cordon back; a drained node is brought back with undrain.

    Example: macfleet uncordon mac-03
    """
    from macfleet.rollout.drain_back import uncordon as uncordon_node

    return _moved(fleet, names, lambda node, ports: uncordon_node(node, ports, cancel=cancel))


class _InterruptedError(Exception):
    """Ends a drain's thread where it waits; the node stays as it is."""


class _StoppingClock:
    """A clock whose pauses end when the person at the terminal has had enough."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _InterruptedError


def _moved(
    fleet: FleetContext,
    names: tuple[str, ...],
    move: Callable[[Node, DrainPorts], object],
    *,
    proves: bool = False,
) -> int:
    """Carry one move out on every node and show where each stands then."""
    from macfleet.rollout.drain_state import Service
    from macfleet.views.drain import service_line, service_row
    from macfleet.views.terminal import show

    nodes = named(fleet, names)
    ports = _ports(fleet, nodes, proves=proves)
    done, failed = each(fleet, nodes, lambda node: move(node, ports))
    services = [service for service in done.values() if isinstance(service, Service)]
    if fleet.output == "json":
        rows = [service_row(each) for each in services]
        return finish(failed, {"schema": 1, "kind": "services", "nodes": rows})
    show(service_line(each) for each in services)
    return finish(failed)


def _ports(fleet: FleetContext, nodes: Sequence[Node], *, proves: bool = False) -> DrainPorts:
    from macfleet.cli.drain_ports import drain_ports
    from macfleet.sources.clock import SystemClock
    from macfleet.views.drain_events import DrainLines
    from macfleet.views.progress import EventLines

    events: Events = EventLines(as_json=True, on_stdout=fleet.stream)
    if fleet.output != "json":
        events = DrainLines([node.name for node in nodes], SystemClock().monotonic)
    return drain_ports(fleet, events, proves=proves)


def _leave_to_their_run(fleet: FleetContext, nodes: Sequence[Node]) -> None:
    """Refuse nodes that a run is at work on (E0590, exit 6): what it proves must not change under it."""
    from macfleet.rollout.run_lock import held_by

    others = fleet.locks.others([node.name for node in nodes])
    if others:
        raise MacfleetError(held_by(other, waits=False) for other in others)


def _detached(fleet: FleetContext, nodes: Sequence[Node]) -> int:
    """Start the same command as a process of its own that outlives this one; its lines go to a file."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    log = fleet.root / ".macfleet" / f"drain-{secrets.token_hex(3)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "macfleet", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=lines,
            start_new_session=True,
            env={**os.environ, "MACFLEET_FLEET": str(fleet.root)},
        )
    names = " ".join(node.name for node in nodes)
    # A refusal comes before the wait, and is worth staying for.
    until = time.monotonic() + _ADMITTED
    services = fleet.state.services
    while process.poll() is None and time.monotonic() < until:
        if all(services.service(node.name).closed for node in nodes):
            break
        time.sleep(0.2)
    if process.poll():
        say(log.read_text(encoding="utf-8", errors="replace").rstrip())
        return int(process.returncode)
    say(f"⌛ process {process.pid} drains {names}; its lines: {log}")
    say(f"Follow it with: macfleet drain {names} --monitor")
    return int(ExitCode.DONE)


def _unreasoned() -> Diagnostic:
    return Diagnostic(
        "E0881",
        "--force needs a --reason",
        why="It overrides the guard of a pool, and everybody who finds the pool short wants to know why.",
        mend='Such as --reason "fan noise, ticket 4711".',
    )


def _deadline(text: str) -> float | None:
    """Return the seconds of --deadline; a drain without one would hang silently, so there is no "none"."""
    if not text:
        return None
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise MacfleetError(
            Diagnostic(
                "E0115",
                f"--deadline: {error}",
                why="A drain always has a deadline; what happens then is said with --on-deadline.",
                mend="Such as 30m; 0s means now.",
            )
        ) from error
