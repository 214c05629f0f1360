"""What a load test that was killed left stopped on a node is started again before the node is planned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from macfleet.engine.lock import Holder
from macfleet.model.node import Arm, Node
from macfleet.model.quantity import iso
from macfleet.model.stage import StageName
from macfleet.rollout.node_lock import to_itself
from macfleet.rollout.ports import Ports

if TYPE_CHECKING:
    from macfleet.rollout.run import Options

_SECONDS = 900.0
"""What starting a VM and an engine takes at most."""


def wake(stage: StageName, nodes: Sequence[Node], ports: Ports, options: Options) -> None:
    """Start what a load test stopped and could not start again, on nodes it is gone on with.

    Otherwise the node would be held for having drifted. What does not start is left to the plan to tell.
    """
    if stage is not StageName.LOADTEST or not options.resume:
        return
    by_name = {node.name: node for node in nodes}
    ports.executor.each(tuple(by_name), lambda name: _wake(by_name[name], ports, options))


def _wake(node: Node, ports: Ports, options: Options) -> None:
    from macfleet.rollout import arms, vm  # noqa: PLC0415  (a load test that is gone on with needs them)

    holder = Holder(
        options.resume,
        options.who,
        iso(ports.clock.now()),
        options.fence.token,
        options.fence.store,
        f"rollout {StageName.LOADTEST}",
    )
    with to_itself(node, holder, ports, _SECONDS):
        transport = ports.transports.to(node)
        if {Arm.CONTAINER, Arm.HOST_ENGINE} & set(node.arms) and vm.is_up(transport) is False:
            vm.start(node, transport)
        if Arm.BARE_CPU in node.measured_arms:
            arms.unload_bare_cpu(node, transport)
        # The container's engine starts with its turn; its port may still be closed to everybody.
        for arm in node.arms:
            if arm not in (Arm.CONTAINER, Arm.BARE_CPU):
                arms.start(node, str(arm), transport)
