"""Everything the straight line asks of the world, composed once by the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from macfleet.rollout.node_log import NodeLogs
from macfleet.rollout.run_lock import NO_LOCKS, Locks

if TYPE_CHECKING:
    from macfleet.model.gateway import Gateway
    from macfleet.model.ports import (
        Clock,
        Events,
        Evidences,
        Executor,
        ImageResolver,
        Journal,
        LoadGenerator,
        RunStore,
        Sources,
        Transport,
        Transports,
    )
    from macfleet.rollout.relay import SiteRelay


@dataclass(frozen=True, slots=True)
class Ports:
    """Adapters of one command.

    Attributes:
        nonce: a fresh text no node can guess, for markers in scripts.
        locks: what the store lets this controller change; without a store the nodes' own locks decide.
        stop: whether somebody asked the command to stop; nothing new begins then.
        controller: runs scripts on the machine macfleet runs on; without it no task is delegated to it.
        relay: lets nodes of one site hand parts of images on; without it all come from here, untold.
        logs: where `transports` writes what ran on each node; without it the events alone are written.
        write_lock: replaces one lock file of the fleet folder, such as ``network.lock``.
    """

    transports: Transports
    resolver: ImageResolver
    sources: Sources
    gateway: Gateway
    runs: RunStore
    evidences: Evidences
    journal: Journal
    load: LoadGenerator
    executor: Executor
    clock: Clock
    events: Events
    nonce: Callable[[], str]
    write_lock: Callable[[str, str], None]
    stop: Callable[[], bool] = lambda: False
    locks: Locks = NO_LOCKS
    logs: NodeLogs = field(default_factory=NodeLogs)
    controller: Transport | None = None
    relay: SiteRelay | None = None

    def go_on(self, node: str) -> None:
        """Raise MacfleetError E0572 (exit 130) when the command is to stop, where a node is only asked."""
        if self.stop():
            from macfleet.engine.refusals import interrupted  # noqa: PLC0415  (few commands are stopped)

            raise interrupted(node, (), {})
