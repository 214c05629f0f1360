"""The engine with the GPU off that a killed load test left on a node: seen, and ended by whoever comes next.

It ends by itself in time (`macfleet.rollout.bare_cpu`); until then it holds memory and the bare engine's
port.
"""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.engine.lock import Holder, NodeLock, read_lock, release_lock, show_lock, take_lock
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Arm, Node
from macfleet.model.ports import Transport
from macfleet.rollout.arms import ENVIRONMENT, is_loaded, unload_script

_DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class LeftEngine:
    """What a look found.

    Attributes:
        loaded: whether launchd has it.
        lock: who holds the node, None where nobody does; whose engine it is then.
    """

    loaded: bool
    lock: NodeLock | None = None

    def measured_by_other(self, store: str) -> bool:
        """Whether a load test that goes on may be measuring it, as far as the node tells.

        Of a lock that a controller of our own `store` has left, the store says whether that one lives.
        """
        if self.lock is None or self.lock.stale:
            return False
        return self.lock.running or not store or self.lock.holder.store != store


def can_be_left(node: Node) -> bool:
    """Whether a load test ever starts one on this node."""
    return Arm.BARE_CPU in node.measured_arms


def see_left(node: Node, transport: Transport, mark: str) -> LeftEngine:
    """Look, changing nothing (raises what the transport raises)."""
    script = f"{ENVIRONMENT}\n{is_loaded(node)} || exit 0\nprintf '%s found\\n' {mark}\n{show_lock(mark)}"
    return _read(_said(transport, script), mark)


def end_left(node: Node, holder: Holder, transport: Transport, mark: str) -> LeftEngine:
    """End one that nobody holds any more, under the node's own lock, and return what was found.

    Raises:
        MacfleetError: E0980 it could not be ended (exit 4).
        NodeUnreachable, DeadlineExceeded: from the transport.
    """
    script = f"""{ENVIRONMENT}
{is_loaded(node)} || exit 0
printf '%s found\\n' {mark}
{take_lock(holder, mark, _DEADLINE)}
( {unload_script(node)} ) >&2 && printf '%s ended\\n' {mark}
{release_lock(holder)}"""
    said = _said(transport, script)
    found = _read(said, mark)
    if found.loaded and found.lock is None and f"{mark} ended" not in said:
        raise MacfleetError(_stays(node))
    return found


def _said(transport: Transport, script: str) -> str:
    return transport.run(script, deadline=_DEADLINE).stdout.decode("utf-8", "replace")


def _read(said: str, mark: str) -> LeftEngine:
    return LeftEngine(f"{mark} found" in said, read_lock(said, mark))


def _stays(node: Node) -> Diagnostic:
    return Diagnostic(
        "E0980",
        "an engine that a load test left with the GPU off could not be ended",
        why="launchd keeps it; it holds memory and the bare engine's port.",
        mend=f"Look at it: macfleet exec -l {node.name} -- launchctl list",
        node=node.name,
        exit_code=ExitCode.NODE_FAILED,
    )
