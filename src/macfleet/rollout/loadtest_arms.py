"""Which arms of a node a load test measures, how it changes between them, and what each is recorded as."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from macfleet.model.diagnostic import MacfleetError
from macfleet.model.event import Event
from macfleet.model.json import Json, JsonObject
from macfleet.model.node import Arm, Node
from macfleet.model.ports import RunWriter, Transport
from macfleet.rollout import arms, vm
from macfleet.rollout.desired import Desired
from macfleet.rollout.load_profile import LoadProfile, judged_concurrency
from macfleet.rollout.ports import Ports

ATTEMPTS = 3
"""How often one segment is measured at most when the client itself is late."""
_SLACK = 90.0  # what a segment takes besides its load: records brought home, the engine's own counters
_BEGINNING = 300.0  # the client is brought to the node, the engine warms up


@dataclass(frozen=True, slots=True)
class Chosen:
    """The arms of one node.

    Attributes:
        names: arms that are measured, in the order of a block.
        gpu_off: what the bare-cpu arm does otherwise than bare, empty where it is not measured.
        not_measured: why an arm that belongs to the comparison is not measured, by arm.
    """

    names: tuple[str, ...]
    gpu_off: str = ""
    not_measured: Mapping[str, str] = field(default_factory=dict)


def choose(node: Node, ports: Ports) -> Chosen:
    """Return the arms to measure: every one but bare-cpu where its engine cannot be kept off the GPU.

    Raises:
        MacfleetError: E0978 the inventory declares bare-cpu and it cannot be measured (exit 4).
    """
    names = tuple(str(arm) for arm in node.measured_arms)
    if Arm.BARE_CPU not in names:
        return Chosen(names)
    found = arms.gpu_off(node, ports.transports.to(node))
    if not isinstance(found, str):
        return Chosen(names, gpu_off=found.told)
    if Arm.BARE_CPU in node.arms:
        raise MacfleetError(arms.cannot_be_measured(node, found))
    ports.events.emit(Event("loadtest.omitted", node.name, {"arm": str(Arm.BARE_CPU), "why": found}))
    left = tuple(name for name in names if name != Arm.BARE_CPU)
    return Chosen(left, not_measured={str(Arm.BARE_CPU): found})


@dataclass(slots=True)
class Changing:
    """One node's engines on their way through the arms: at most one runs at a time.

    Attributes:
        engines: what is recorded of each arm's engine, by arm; those of a run that is gone on with are there
            from the start.
        lasts: seconds after which an engine with the GPU off ends by itself.
    """

    node: Node
    chosen: Chosen
    profile: LoadProfile
    transport: Transport
    writer: RunWriter
    engines: dict[str, JsonObject]
    lasts: float
    _running: str = ""

    def clear(self) -> None:
        """Stop every engine, one that a run left with the GPU off too; the VM is up afterwards."""
        prepare_vm("", self.node, self.profile, self.transport)
        if Arm.BARE in self.node.arms:
            arms.unload_bare_cpu(self.node, self.transport)
        for arm in self.chosen.names:
            if arm != Arm.BARE_CPU:
                arms.stop(self.node, arm, self.transport)

    def to(self, arm: str) -> None:
        """Have the arm's engine run, and no other."""
        if arm == self._running:
            return
        if self._running:
            arms.stop(self.node, self._running, self.transport)
        prepare_vm(arm, self.node, self.profile, self.transport)
        arms.start(self.node, arm, self.transport, lasts=self.lasts)
        self._running = arm
        if arm not in self.engines:
            self.engines[arm] = self._recorded(arm)
            self.writer.json(f"nodes/{self.node.name}/{engine_file(arm)}", self.engines[arm])

    def bring_back(self) -> None:
        """Start every engine again; one that will not start does not keep the others down."""
        node, transport = self.node, self.transport
        steps: list[Callable[[], None]] = [lambda: prepare_vm("", node, self.profile, transport)]
        if Arm.BARE_CPU in self.chosen.names:
            steps.append(lambda: arms.unload_bare_cpu(node, transport))
        serving = (arm for arm in self.chosen.names if arm != Arm.BARE_CPU)
        steps += [functools.partial(arms.start, node, arm, transport) for arm in serving]
        problems: list[MacfleetError] = []
        for step in steps:
            try:
                step()
            except MacfleetError as error:
                problems.append(error)
        if problems:
            raise problems[0]

    def _recorded(self, arm: str) -> dict[str, Json]:
        return {
            "schema": 1,
            "arm": arm,
            "accelerator": self.node.accelerator(arm),
            "blas": arms.blas_of(self.node, arm, self.transport),
            "gpu_off": self.chosen.gpu_off if arm == Arm.BARE_CPU else "",
        }


def engine_file(arm: str) -> str:
    """Return the name of the file that says what an arm's engine is, below the node's folder."""
    return f"engine-{arm}.json"


def turn_seconds(desired: Desired, profile: LoadProfile) -> float:
    """Return how long an arm's engine is needed at most before the next arm's turn.

    Every judged cell, each attempt at its segment until the client would have given up on a silent engine.
    """
    one = profile.warmup + max(profile.window, profile.pilot) + desired.contract.client.stall_timeout + _SLACK
    return _BEGINNING + len(judged_concurrency(desired)) * ATTEMPTS * one


def prepare_vm(arm: str, node: Node, profile: LoadProfile, transport: Transport) -> None:
    """Have the VM down for a bare arm and up for any other, as a run that was cut may have left it down.

    A VM that idles takes memory from the bare arm. A short run, which nobody can sign, leaves it up: a stop
    and a start would take longer than its segments; the run records that it was up.
    """
    if not {Arm.CONTAINER, Arm.HOST_ENGINE} & set(node.arms):
        return
    if arm in vm.NEEDS_NO_VM:
        if not profile.short:
            vm.stop(node, transport)
    elif vm.is_up(transport) is False:
        vm.start(node, transport)
