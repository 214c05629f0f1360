"""The storage proof: weights read on the node and through the container's bind mount, before the arms run.

I/O through virtiofs hardly shows as iowait inside the VM, so what a bind mount costs is measured by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from macfleet.facts.storage_reader import (
    NO_PYTHON,
    Reading,
    best_of,
    bind_script,
    native_script,
    parse_reading,
)
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.json import Json
from macfleet.model.node import Arm, Node
from macfleet.model.ports import Transport
from macfleet.rollout.arms import ENVIRONMENT
from macfleet.rollout.desired import Desired

PYTHONS = ("/opt/homebrew/bin/python3", "/usr/local/bin/python3")
SECONDS = 1.5
"""Of each way of reading, in each round; `SHORT` in a run too short to be signed."""
SHORT = 0.4
ROUNDS = ("native", "bind", "bind", "native")
"""Turned round, so that a trend touches both alike."""


def prove_storage(
    node: Node, desired: Desired, transport: Transport, *, short: bool
) -> dict[str, Json] | None:
    """Read the largest weights file both ways; None where the node has no container arm.

    Returns:
        ``file``, ``native`` and ``bind`` with ``sequential`` and ``random`` in bytes a second, ``drops`` of
        either way and ``drop``, the larger one, as shares of native; or ``problem`` in words instead.
    """
    if Arm.CONTAINER not in node.arms:
        return None
    if not desired.weights:
        return _problem("weights.lock names no file to read")
    image = node.variables.get("loadgen_image")
    if not isinstance(image, str) or not image:
        return _problem("loadgen_image is not set: there is no Python to read with in a container")
    path = max(desired.weights, key=lambda file: file.size).path
    seconds = SHORT if short else SECONDS
    own = node.variables.get("python")
    scripts = {
        "native": native_script(path, seconds, (own,) if isinstance(own, str) and own else PYTHONS),
        "bind": bind_script(path, seconds, image),
    }
    found: dict[str, list[Reading]] = {"native": [], "bind": []}
    for way in ROUNDS:
        reading = _read(scripts[way], transport)
        if isinstance(reading, str):
            return _problem(f"{way}: {reading}")
        found[way].append(reading)
    return _proof(path, best_of(tuple(found["native"])), best_of(tuple(found["bind"])))


def storage_drop(proof: object) -> float | None:
    """Return the loss of bind against native that a proof found, as a share; None when it found none."""
    drop = proof.get("drop") if isinstance(proof, Mapping) else None
    return float(drop) if isinstance(drop, int | float) else None


def _proof(path: str, native: Mapping[str, float], bind: Mapping[str, float]) -> dict[str, Json]:
    drops = {way: max(0.0, 1 - bind[way] / native[way]) for way in native}
    return {
        "schema": 1,
        "file": path,
        "native": dict(native),
        "bind": dict(bind),
        "drops": dict(drops),
        "drop": max(drops.values()),
    }


def _problem(text: str) -> dict[str, Json]:
    return {"schema": 1, "problem": text}


def _read(script: str, transport: Transport) -> Reading | str:
    """Return what the reader found, or why it found nothing."""
    try:
        done = transport.run(f"{ENVIRONMENT}\n{script}", deadline=120)
    except MacfleetError as error:
        return error.diagnostics[0].summary
    if done.exit == NO_PYTHON:
        return "there is no Python on the node"
    if done.exit != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return said[-1][-300:] if said else f"exit status {done.exit}"
    return parse_reading(done.stdout.decode("utf-8", "replace")) or "the reader's answer was not understood"
