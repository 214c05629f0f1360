"""Gather the evidence gates asked for: probes of all gates in one exec, images, endpoints, the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from macfleet.engine import Observation, observe
from macfleet.gates import Gate, GateContext
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.resource import State
from macfleet.model.stage import (
    EndpointRequest,
    Evidence,
    EvidenceRequest,
    ImageRequest,
    PlanRequest,
    ProbeRequest,
)
from macfleet.rollout.desired import Desired
from macfleet.rollout.ports import Ports


def gather(
    gates: Sequence[Gate], context: GateContext, desired: Desired, ports: Ports, *, left: int, changed: int
) -> Evidence:
    """Return evidence by name for the gates that are judged after applying; what failed is left out.

    `left` counts pending changes that applying left, `changed` the changes it made.
    """
    requests = [request for gate in gates if not gate.before for request in gate.needs(context)]
    found: dict[str, Json] = {}
    for request in requests:
        if isinstance(request, PlanRequest):
            found[request.name] = {"left": left, "changed": changed}
        elif isinstance(request, EndpointRequest):
            found |= _endpoint(request, context.node, desired, ports)
    found |= _probed(context.node, requests, ports)
    found |= image_evidence([r for r in requests if isinstance(r, ImageRequest)], ports)
    return found


def image_evidence(requests: Iterable[ImageRequest], ports: Ports) -> dict[str, Json]:
    """Resolve pinned references; a registry's refusal becomes the evidence, in words."""
    found: dict[str, Json] = {}
    for request in requests:
        try:
            image = ports.resolver.resolve(request.reference, request.platform)
        except MacfleetError as error:
            found[request.name] = {"problem": error.diagnostics[0].summary}
            continue
        found[request.name] = {
            "platform": image.platform,
            "manifest": image.manifest,
            "config": image.config,
            "index": image.index,
        }
    return found


def _probed(node: Node, requests: Sequence[EvidenceRequest], ports: Ports) -> Mapping[str, Json]:
    probes = {r.name: r.probe for r in requests if isinstance(r, ProbeRequest)}
    if not probes:
        return {}
    seen: Observation = observe(node.name, (), ports.transports.to(node), nonce=ports.nonce, extra=probes)
    return {name: as_json(state) for name, state in seen.extra.items()}


def as_json(state: State | None) -> Json:
    """Return a parsed state as evidence."""
    if state is None:
        return None
    return {name: list(value) if isinstance(value, tuple) else value for name, value in state.items()}


def _endpoint(request: EndpointRequest, node: Node, desired: Desired, ports: Ports) -> dict[str, Json]:
    from macfleet.rollout.arms import base_url  # noqa: PLC0415 (a plan asks no endpoint)

    report = ports.load.probe(node, request.arm, base_url(node, request.arm), desired.contract)
    return {request.name: report.document()}
