"""What a reader must know of a node whose bare engine has an accelerator that its container lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from macfleet.model.json import Json, JsonObject
from macfleet.model.node import Arm

_PLANTED = "accelerator"


def accelerator_notices(facts: Mapping[str, JsonObject]) -> tuple[str, ...]:
    """Return a sentence for whatever splits or spoils the gap of a column, its facts given by title."""
    return tuple(notice for title, each in facts.items() for notice in _of(title, each))


def _of(title: str, facts: JsonObject) -> Iterator[str]:
    known = _mapping(facts.get("accelerators"))
    bare, container = known.get(Arm.BARE), known.get(Arm.CONTAINER)
    if bare is None or container is None or bare == container:
        return
    if _PLANTED in _planted(facts):
        yield f"{title}: the accelerator is planted, simulated: no GPU computed anything"
    apart = f"{title}: bare computes on {bare}, the container on {container}"
    if why := _mapping(facts.get("not_measured")).get(Arm.BARE_CPU):
        yield f"{apart}; bare-cpu was not measured, so the gap cannot be split: {why}"
        return
    off = facts.get("gpu_off")
    how = f"; bare-cpu is the bare engine with {off}" if off else ""
    yield (
        f"{apart}{how}; GPU worth is bare over bare-cpu, mounts and the VM are judged against bare-cpu alone"
    )
    blas = _mapping(facts.get("blas"))
    ours, theirs = blas.get(Arm.BARE_CPU), blas.get(Arm.CONTAINER)
    if ours and theirs and ours != theirs:
        yield (
            f"{title}: BLAS is {ours} in bare-cpu, {theirs} in the container: "
            "some of what virtualisation seems to cost may be the library's"
        )


def _planted(facts: JsonObject) -> tuple[str, ...]:
    """Return the names of what a lab node made up."""
    system = _mapping(_mapping(facts.get("facts")).get("system"))
    return tuple(str(system.get("planted") or "").split())


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
