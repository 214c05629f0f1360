"""`macfleet image smoke`: one start without a network, to find what a container would fetch."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import each, finish
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.facts.image_smoke import SmokeStart
    from macfleet.model.json import Json
    from macfleet.model.node import Node

_BESIDES = 120.0
"""Seconds for Compose to create and remove what the trial needs."""
STARTS = Path(".macfleet") / "starts"
"""Where a fleet keeps how long images take to become ready."""
# Pulled images are called by their digest, pushed ones by a tag that names it.
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})$")


@click.command(short_help="Start a service once without a network.")
@limit_option
@click.option(
    "--wait", default=90, show_default=True, type=click.IntRange(1, 900), help="Seconds to become healthy."
)
@fleet_command
def smoke(fleet: FleetContext, limit: str, wait: int) -> int:
    """Start the Compose service of nodes once on a network without a way out, and remove it again.

    How long it takes to become healthy is kept by the image's digest: `image inspect` shows it. What it
    tries to fetch is named from its log (exit 7). An engine that keeps silent about it is found only
    where it does not become healthy; llama-server with -hf is one. A node whose project runs is left alone:
    drain it and stop the project first, since a second engine may take its memory.

    Example: macfleet image smoke -l mac-01
    """
    from macfleet.facts.image_smoke import smoke_faults
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    found, failed = each(fleet, fleet.nodes(limit), lambda node: _started(fleet, node, wait))
    rows: dict[str, Json] = {}
    for name, start in found.items():
        faults = smoke_faults(start)
        rows[name] = {
            "state": start.state,
            "health": start.health,
            "cold_start_s": start.seconds,
            "image": start.image,
            "faults": list(faults),
        }
        if faults:
            failed.append(MacfleetError(_fault(name, fault) for fault in faults))
        elif fleet.output != "json":
            took = "" if start.seconds is None else f", ready after {start.seconds} s"
            words = f"{start.state}, health {start.health}{took}"
            show([clean(f"✓ {name}: starts without a network ({words})")])
    _keep(fleet, found)
    document: dict[str, Json] = {"schema": 1, "kind": "image.smoke", "nodes": rows}
    return finish(failed, document if fleet.output == "json" else None)


def _keep(fleet: FleetContext, found: Mapping[str, SmokeStart]) -> None:
    """Keep how long each node's start took, by the digest its image is called by."""
    from macfleet.sources.starts import ColdStart, ColdStarts

    now = fleet.clock.now()
    by_image: dict[str, dict[str, ColdStart]] = {}
    for name, start in found.items():
        digest = _DIGEST.search(start.image)
        if digest is not None and start.seconds is not None:
            starts = by_image.setdefault(f"sha256:{digest[1]}", {})
            starts[name] = ColdStart(start.seconds, now)
    for manifest, starts in by_image.items():
        ColdStarts(fleet.root / STARTS).keep(manifest, starts)


def _started(fleet: FleetContext, node: Node, wait: int) -> SmokeStart:
    from macfleet.facts.image_smoke import parse_smoke, smoke_script
    from macfleet.model.resource import ProbeOutput
    from macfleet.rollout.arms import ENVIRONMENT

    named = {name: str(node.variables.get(name) or "") for name in ("compose_file", "compose_service")}
    project = str(node.variables.get("compose_project") or node.pool or "macfleet")
    trial = f"macfleet-smoke-{secrets.token_hex(4)}"
    script = smoke_script(named["compose_file"], named["compose_service"], project, trial, wait)
    done = fleet.transports.to(node).run(f"{ENVIRONMENT}\n{script}", deadline=2 * wait + _BESIDES)
    output = ProbeOutput(
        done.exit, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    )
    try:
        return parse_smoke(output)
    except ValueError as error:
        raise MacfleetError(
            Diagnostic(
                "E0674",
                f"the smoke start cannot be judged: {error}",
                mend=f"Look at the engine: macfleet facts -l {node.name}",
                node=node.name,
                exit_code=ExitCode.NODE_FAILED,
            )
        ) from error


def _fault(name: str, fault: str) -> Diagnostic:
    return Diagnostic(
        "E0673",
        f"the service is not complete in its image: {fault}",
        why="What is fetched at run time is pinned by nobody, and is missing on the day the network is.",
        mend="Place it by weights.lock or a download with its checksum, and set HF_HUB_OFFLINE=1. "
        f"A project that serves: macfleet drain {name}, then stop it.",
        node=name,
        exit_code=ExitCode.HELD,
    )
