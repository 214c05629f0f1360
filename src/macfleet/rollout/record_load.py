"""What a load test adds to a run's records: its arms, what was found beside figures, what it went on with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from macfleet.model.json import Json
from macfleet.model.node import Arm, Node
from macfleet.model.stage import StageName
from macfleet.rollout.desired import number
from macfleet.rollout.result import NodeResult


def arms_of(node: Node, result: NodeResult) -> tuple[Arm, ...]:
    """Return the arms of a node's record: of a load test those it should have, of any other the declared."""
    return node.measured_arms if load_of(result) else node.arms


def told_by_load(result: NodeResult) -> dict[str, Json]:
    """Return what a load test found out beside its figures; nothing for any other run."""
    load = load_of(result)
    found: dict[str, Json] = {}
    if (drop := load.get("storage_drop")) is not None:
        found["storage_drop"] = drop
    engines = {arm: each for arm, each in mapping(load, "engines").items() if isinstance(each, Mapping)}
    if blas := {arm: str(each.get("blas") or "not recorded") for arm, each in engines.items()}:
        found["blas"] = dict(sorted(blas.items()))
    if off := next((each.get("gpu_off") for each in engines.values() if each.get("gpu_off")), None):
        found["gpu_off"] = off
    if lacking := mapping(load, "not_measured"):
        found["not_measured"] = dict(lacking)
    return found


def measured_arms(stage: StageName, nodes: Sequence[Node], results: Sequence[NodeResult]) -> tuple[str, ...]:
    """Return the arms a run is about: those of its nodes but what a load test had to leave out."""
    if not number(stage):
        return ()
    left_out = [set(mapping(load_of(result), "not_measured")) for result in results]
    found = {
        str(arm)
        for node, result, without in zip(nodes, results, left_out, strict=True)
        for arm in arms_of(node, result)
        if str(arm) not in without
    }
    return tuple(sorted(found))


def resumed(results: Sequence[NodeResult]) -> dict[str, Json]:
    """Say which runs were gone on with: what was used of them, what was cut and is never judged."""
    told = {result.node: found for result in results if (found := mapping(load_of(result), "resumed"))}
    if not told:
        return {}
    cut: list[Json] = [
        {"node": node, **row}
        for node, found in told.items()
        for row in listed(found, "cut")
        if isinstance(row, Mapping)
    ]
    return {
        "resumed": {
            "runs": sorted({str(run) for found in told.values() for run in listed(found, "runs")}),
            "reused": sum(n for found in told.values() if isinstance(n := found.get("reused"), int)),
            "cut": cut,
            "unlike": sorted({str(part) for found in told.values() for part in listed(found, "unlike")}),
        }
    }


def load_of(result: NodeResult) -> Mapping[str, Json]:
    """Return what the load test of a node left as evidence; empty where it had none."""
    found = result.evidence.get("loadtest")
    return found if isinstance(found, Mapping) else {}


def listed(document: Json, key: str) -> list[Json]:
    """Return a list of a document; anything else is an empty one."""
    found = document.get(key) if isinstance(document, Mapping) else None
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []


def mapping(document: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    """Return a mapping of a document; anything else is an empty one."""
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}
