"""Whether a node takes requests: four states, the moves between them, and what keeps a drain from ending.

active → cordoned → draining → drained → active. A drain that fails goes back to cordoned and says why. The
port is closed to new connections exactly while a node is draining or drained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

POLL = 1.0
"""Seconds between polls, and the least time two polls without anything in flight lie apart."""
IDLE = 10.0
"""Seconds after which a connection without a request no longer holds a drain up."""


class ServiceState(StrEnum):
    """Whether a node takes requests."""

    ACTIVE = "active"
    CORDONED = "cordoned"
    DRAINING = "draining"
    DRAINED = "drained"


class OnDeadline(StrEnum):
    """What a drain does when its deadline comes with requests in flight."""

    WAIT = "wait"
    CANCEL = "cancel"
    FAIL = "fail"


_MOVES: Mapping[ServiceState, tuple[ServiceState, ...]] = {
    ServiceState.ACTIVE: (ServiceState.CORDONED,),
    ServiceState.CORDONED: (ServiceState.DRAINING, ServiceState.ACTIVE),
    ServiceState.DRAINING: (ServiceState.DRAINED, ServiceState.CORDONED),
    ServiceState.DRAINED: (ServiceState.ACTIVE,),
}


@dataclass(frozen=True, slots=True)
class Service:
    """A node's place in the machine, as the store and the node keep it.

    Attributes:
        reason: why somebody took it out; who: who did.
        since: when it came to this state, seconds since the epoch.
        deadline: when a drain must have ended, seconds since the epoch; 0 outside `draining`, but in the file
            of a node that is about to be.
        failure: why the last drain did not end well, empty when none failed.
        token: of the lease it was written under; what carries a lower one is refused.
        run: the rollout that took it out, empty for a person.
    """

    node: str
    state: ServiceState = ServiceState.ACTIVE
    reason: str = ""
    who: str = ""
    since: float = 0.0
    deadline: float = 0.0
    on_deadline: OnDeadline = OnDeadline.FAIL
    failure: str = ""
    token: int = 0
    run: str = ""

    @property
    def resumable(self) -> bool:
        """Whether a rollout may go on with the node: one left it out, or it was to come back and did not."""
        return bool(self.run) or (self.state is ServiceState.DRAINED and bool(self.failure))

    @property
    def closed(self) -> bool:
        """Whether the node refuses new connections."""
        return self.state in (ServiceState.DRAINING, ServiceState.DRAINED)

    def announced(self, now: float) -> bool:
        """Whether a drain that was admitted is about to close the node, as its own file says."""
        return self.state is ServiceState.CORDONED and self.deadline > now

    def moved(self, state: ServiceState, now: float, token: int, *, failure: str = "") -> Service:
        """Return the service after a move.

        Raises:
            MacfleetError: E0870 (exit 7) the machine has no such move.
        """
        if state is self.state:
            return replace(self, token=token)
        if state not in _MOVES[self.state]:
            raise MacfleetError(no_such_move(self, state))
        if state is ServiceState.ACTIVE:
            return Service(self.node, since=now, token=token)
        deadline = self.deadline if state is ServiceState.DRAINING else 0.0
        return replace(self, state=state, since=now, deadline=deadline, failure=failure, token=token)

    @property
    def words(self) -> str:
        """Who took it out, and why."""
        who = f"{self.who}: {self.reason}" if self.who and self.reason else self.who or self.reason
        return " · ".join(part for part in (str(self.state), who, self.failure) if part)


def no_such_move(service: Service, state: ServiceState) -> Diagnostic:
    """Return the diagnostic for a move the machine does not have, with the one that leads on."""
    mends = {
        ServiceState.DRAINING: f"Give the drain up with: macfleet uncordon {service.node} --cancel",
        ServiceState.DRAINED: f"Bring it back with: macfleet undrain {service.node}",
        ServiceState.CORDONED: f"Bring it back with: macfleet uncordon {service.node}",
    }
    return Diagnostic(
        "E0870",
        f"a node that is {service.state} does not become {state}",
        why=f"{service.who or 'Somebody'}: {service.reason}" if service.reason else "",
        mend=mends.get(service.state, f"Take it out first: macfleet cordon {service.node}"),
        node=service.node,
        exit_code=ExitCode.HELD,
    )


@dataclass(frozen=True, slots=True)
class InFlight:
    """What one poll found on a node.

    Attributes:
        requests: requests the engine works on or has queued; None when the engine did not say.
        connections: peers connected to the ports where requests enter, each with its port.
        running: whether a container runs; without one nothing can be in flight.
        counts: whether the engine has anything to count requests with; without it the connections decide.
        heard: whether the node answered at all.
    """

    requests: int | None
    connections: tuple[str, ...] = ()
    running: bool = True
    counts: bool = True
    heard: bool = True

    @property
    def count(self) -> int:
        """Requests in flight: a request the engine does not show yet has a connection all the same."""
        return max(self.requests or 0, 0 if self.requests is not None else len(self.connections))

    @property
    def busy(self) -> bool:
        """Whether the engine works, or may."""
        if self.requests is None:
            return self.running and (self.counts or bool(self.connections))
        return self.running and self.requests > 0


@dataclass(frozen=True, slots=True)
class Progress:
    """What the polls of one drain add up to.

    Attributes:
        last: the newest poll.
        zeros: polls in a row without anything in flight; zero_since: when the first of them was.
        seen: when each connection that is still there was first seen.
        idle_since: since when the engine has had nothing to do.
        busy_since: since when it has had something to do without a pause, None while it has nothing.
    """

    last: InFlight = field(default_factory=lambda: InFlight(None))
    at: float = 0.0
    zeros: int = 0
    zero_since: float = 0.0
    seen: Mapping[str, float] = field(default_factory=dict)
    idle_since: float | None = None
    busy_since: float | None = None

    def after(self, poll: InFlight, at: float) -> Progress:
        """Return the progress after one more poll at `at` seconds of a clock that never goes back."""
        seen = {peer: self.seen.get(peer, at) for peer in poll.connections}
        idle_since = None if poll.busy else at if self.idle_since is None else self.idle_since
        idle = idle_since is not None and at - idle_since >= IDLE
        clear = not poll.busy and (idle or not poll.connections)
        zeros = self.zeros + 1 if clear else 0
        zero_since = self.zero_since if clear and self.zeros else at
        busy_since = (self.busy_since if self.busy_since is not None else at) if poll.busy else None
        return Progress(poll, at, zeros, zero_since, seen, idle_since, busy_since)

    @property
    def quiet(self) -> bool:
        """Whether nothing is in flight: two polls in a row say so, at least a second apart."""
        return self.zeros >= 2 and self.at - self.zero_since >= POLL

    @property
    def oldest(self) -> float:
        """Seconds since the oldest of what is in flight was first seen: its age is that or more."""
        first = min(self.seen.values(), default=self.busy_since)
        return 0.0 if first is None else self.at - first

    @property
    def idle_connections(self) -> int:
        """Connections more than there are requests."""
        known = self.last.requests or 0
        return max(len(self.last.connections) - known, 0) if self.last.requests is not None else 0

    @property
    def words(self) -> str:
        """What keeps the drain from ending, for people."""
        if not self.last.heard:
            return "the node does not answer"
        if self.last.requests is None and self.last.busy and not self.last.connections:
            return "the engine does not say what is in flight"
        parts = [f"{self.last.count} in flight"]
        if self.idle_connections:
            plural = "" if self.idle_connections == 1 else "s"
            parts.append(f"{self.idle_connections} connection{plural} without a request")
        if self.last.count or self.idle_connections:
            parts.append(f"oldest at least {self.oldest:.0f} s")
        return ", ".join(parts)
