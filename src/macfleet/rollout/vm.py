"""The Colima VM beside the bare arm: asked about, stopped, brought back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.node import Arm, Node
from macfleet.model.ports import Transport
from macfleet.rollout.arms import ENVIRONMENT

PROFILE = "default"
NEEDS_NO_VM = (Arm.BARE, Arm.BARE_CPU)
CHANGE_SECONDS = 60.0
"""About what stopping and starting a VM takes, for the printed plan."""
_DEADLINE = 600


def is_up(transport: Transport) -> bool | None:
    """Return whether the VM runs; None when the node does not say."""
    done = transport.run(f"{ENVIRONMENT}\ncolima list --json", deadline=60)
    if done.exit != 0:
        return None
    return parse_list(done.stdout.decode("utf-8", "replace"))


def parse_list(text: str) -> bool | None:
    """Read what ``colima list --json`` printed, one instance a line; one that is not listed is down."""
    rows: list[Json] = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            return None
    own = [row for row in rows if isinstance(row, Mapping) and row.get("name") == PROFILE]
    return any(row.get("status") == "Running" for row in own)


def stop(node: Node, transport: Transport) -> None:
    """Stop the VM; one that is down stays so (raises MacfleetError E0822, exit 4)."""
    _run(node, transport, f"colima stop --profile {PROFILE} </dev/null >&2", "stop")


def start(node: Node, transport: Transport) -> None:
    """Start the VM with the settings it has (raises MacfleetError E0822, exit 4)."""
    _run(node, transport, f"colima start --profile {PROFILE} </dev/null >&2", "start")


def document(states: Iterable[tuple[str, int, bool | None]]) -> dict[str, Json]:
    """Return what ``vm.json`` holds: the VM's state as each segment of an arm began, and the sum of it.

    ``vm_during_bare`` is true when it ran in any bare segment, false when it was down in all, else null.
    """
    rows = [{"arm": arm, "segment": segment, "up": up} for arm, segment, up in states]
    bare = [row["up"] for row in rows if row["arm"] in NEEDS_NO_VM]
    during = True if True in bare else None if None in bare or not bare else False
    return {"schema": 1, "vm_during_bare": during, "segments": rows}


def _run(node: Node, transport: Transport, script: str, verb: str) -> None:
    done = transport.run(f"{ENVIRONMENT}\n{script}", deadline=_DEADLINE)
    if done.exit != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-400:]
        raise MacfleetError(
            Diagnostic(
                "E0822",
                f"the VM did not {verb}",
                why=f"exit status {done.exit}: {said}",
                mend=f"Look at it: macfleet exec -l {node.name} -- colima list",
                node=node.name,
                exit_code=ExitCode.NODE_FAILED,
            )
        )
