"""All stages asked in one exec: what a rollout without anything to do costs a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from macfleet.engine import ask
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.node import Node
from macfleet.model.resource import Probe, ProbeOutput
from macfleet.model.stage import Outcome, StageName
from macfleet.rollout.desired import Desired
from macfleet.rollout.planning import probes_of
from macfleet.rollout.ports import Ports

Ahead = Mapping[str, Mapping[str, ProbeOutput]]
"""What nodes answered ahead: by node's name, then by the probe's script."""
NOTHING: Ahead = {}


def look_ahead(wanted: Mapping[StageName, Sequence[Node]], desired: Desired, ports: Ports) -> Ahead:
    """Ask each node the probes of all its stages in one exec; they hold until something is done to a node.

    Only nodes on which every stage has passed are asked: on others the first stage changes what later ones
    would find. What does not compile or does not answer is left to the stage, which says it.
    """
    stages: dict[str, list[StageName]] = {}
    nodes: dict[str, Node] = {}
    for stage, chosen in wanted.items():
        for node in chosen:
            stages.setdefault(node.name, []).append(stage)
            nodes[node.name] = node

    def look(name: str) -> Mapping[str, ProbeOutput]:
        probes = _together(nodes[name], stages[name], desired)
        outputs = ask(probes, ports.transports.to(nodes[name]), nonce=ports.nonce)
        return {probes[script].script: output for script, output in outputs.items()}

    settled = tuple(name for name in nodes if len(stages[name]) > 1 and _passed(name, stages[name], ports))
    answers = ports.executor.each(settled, look)
    wrong = [each for each in answers.values() if isinstance(each, Exception)]
    for error in wrong:
        if not isinstance(error, MacfleetError):
            raise error
    return {name: each for name, each in answers.items() if not isinstance(each, Exception)}


def _together(node: Node, stages: Sequence[StageName], desired: Desired) -> dict[str, Probe]:
    """Return every probe of the stages once, named by its script."""
    probes: dict[str, Probe] = {}
    for stage in stages:
        for probe in probes_of(stage, node, desired).values():
            known = probes.get(probe.script)
            if known is None or known.limit < probe.limit:
                probes[probe.script] = probe
    return probes


def _passed(name: str, stages: Sequence[StageName], ports: Ports) -> bool:
    records = (ports.evidences.latest(name, stage) for stage in stages)
    return all(record is not None and record.outcome is Outcome.PASS for record in records)
