"""The node's half of a drain, for pools without an edge: the node itself refuses new connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from macfleet.gateway import node_scripts as scripts
from macfleet.gateway.closing import NO_ENTRY, REFUSED_BY_SUDO, STILL_OPEN
from macfleet.gateway.node_answers import read_sight, read_stop
from macfleet.model.contract import Contract
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm, Node
from macfleet.model.ports import Completed, LoadGenerator, Transports
from macfleet.rollout.arms import (
    ENVIRONMENT,
    base_url,
    entry_to,
    front_of,
    port_of,
    project_of,
    wait_until_healthy,
)
from macfleet.rollout.drain_ports import Sight
from macfleet.rollout.drain_state import InFlight, Service

_LOOK = 40.0
_START = 180.0
_FORWARDED = 30.0
_STOP = 150.0


@dataclass(frozen=True, slots=True)
class NodeScripts:
    """A `NodeHalf` over SSH; `model` is what the contract calls the model, to warm it up."""

    transports: Transports
    model: str = ""

    def look(self, node: Node) -> Sight:
        """See the node (raises NodeUnreachable)."""
        return read_sight(node.name, self._run(node, scripts.look(self._target(node)), _LOOK, "be seen"))

    def enter(self, node: Node, service: Service) -> None:
        """Write the state on the node and close or open its ports.

        Raises:
            MacfleetError: E0873 a newer lease wrote the node (exit 6), E0876 a port could not be
                closed or opened (exit 4).
        """
        self._run(node, scripts.enter(self._target(node), service), _LOOK, f"become {service.state}")

    def stop(self, node: Node) -> tuple[InFlight, Mapping[str, bool]]:
        """Stop the containers; return what was in flight then, and by id which containers still run."""
        return read_stop(node.name, self._run(node, scripts.stop(self._target(node)), _STOP, "stop"))

    def start(self, node: Node) -> tuple[Arm, ...]:
        """Start the containers, wait until they are healthy and warm up; return the arms that are there."""
        said = self._run(node, scripts.start(self._target(node), _START - 30), _START, "start")
        return tuple(arm for arm in Arm if f"started {arm}" in said.splitlines())

    def entry(self, node: Node) -> int:
        """Return the port of the node's loopback that leads to its engine while its own port is closed."""
        return entry_to(port_of(node, Arm.CONTAINER))

    def _target(self, node: Node) -> scripts.Target:
        ways = [scripts.Way(Arm.CONTAINER, project_of(node), port_of(node, Arm.CONTAINER))]
        if Arm.HOST_ENGINE in node.arms:
            # Most traffic comes by the front where there is one: it is refused, counted and stopped first.
            port, engine = port_of(node, Arm.HOST_ENGINE), port_of(node, Arm.BARE)
            ways.insert(0, scripts.Way(Arm.HOST_ENGINE, front_of(node), port, engine))
        service = str(node.variables.get("compose_service") or "engine")
        return scripts.Target(tuple(ways), service, self.model)

    def _run(self, node: Node, script: str, deadline: float, verb: str) -> str:
        done = self.transports.to(node).run(script, deadline=deadline)
        if done.exit == scripts.STALE:
            raise MacfleetError(_taken_over(node))
        if done.exit != 0:
            raise MacfleetError(_failed(node, done, verb))
        return done.stdout.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class RouteProof:
    """Asks each arm of a node for every promised route, once the VM forwards its port again."""

    transports: Transports
    load: LoadGenerator
    contract: Contract

    def __call__(self, node: Node) -> tuple[str, ...]:
        """Return what is broken at any of its arms (raises MacfleetError where one cannot be asked)."""
        return tuple(problem for arm in node.arms for problem in self._broken(node, arm))

    def _broken(self, node: Node, arm: Arm) -> Sequence[str]:
        url = base_url(node, arm)
        waits = f"{ENVIRONMENT}\n{wait_until_healthy(url, _FORWARDED)}"
        if self.transports.to(node).run(waits, deadline=_FORWARDED * 2 + 30).exit != 0:
            return [f"nothing answers at {url}"]
        report = self.load.probe(node, arm, url, self.contract)
        return [f"{route.route} of {arm}: {problem}" for route in report.routes for problem in route.problems]


def _taken_over(node: Node) -> Diagnostic:
    return Diagnostic(
        "E0873",
        "another controller took this node over",
        why="The node's own file carries a newer lease than this command holds; nothing was changed.",
        mend=f"See where it stands: macfleet status -l {node.name}\n"
        "If nobody works on it and a clock was wrong, begin anew: "
        f"macfleet exec -l {node.name} -- rm .macfleet/service.json",
        node=node.name,
        exit_code=ExitCode.LOCKED,
    )


def _failed(node: Node, done: Completed, verb: str) -> Diagnostic:
    said = done.stderr.decode("utf-8", "replace").strip()[-400:]
    mend = f"Look at it: macfleet status -l {node.name}"
    if done.exit == REFUSED_BY_SUDO:
        mend = f"Let the login user run pfctl: macfleet exec -l {node.name} -- sudo -n pfctl -s info"
    elif done.exit == NO_ENTRY:
        mend = (
            'pf.conf must keep the line: rdr-anchor "com.apple/*"\n'
            f"See: macfleet exec -l {node.name} -- sudo -n pfctl -s nat"
        )
    elif done.exit == STILL_OPEN:
        mend = (
            'pf.conf must keep the line: anchor "com.apple/*"\n'
            f"See: macfleet exec -l {node.name} -- sudo -n pfctl -s rules"
        )
    return Diagnostic(
        "E0876",
        f"the node did not {verb}",
        why=f"exit status {done.exit}: {said}" if said else f"exit status {done.exit}",
        mend=mend,
        node=node.name,
        exit_code=ExitCode.NODE_FAILED,
    )
