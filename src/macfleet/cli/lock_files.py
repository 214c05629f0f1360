"""network.lock and weights.lock of the fleet folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from macfleet.model.diagnostic import MacfleetError

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.gates import WeightsFile
    from macfleet.rollout.desired import NetworkChoice


def network_lock(fleet: FleetContext) -> dict[str, NetworkChoice]:
    """Return the network mode of each node that a proof has chosen."""
    if not fleet.files.exists("network.lock"):
        return {}
    from macfleet.documents import Border, parse_yaml, validate
    from macfleet.rollout.desired import NetworkChoice

    class Choice(Border):
        mode: str
        forwarder: str = ""
        run: str = ""

    class Lock(Border):
        nodes: dict[str, Choice]

    document = parse_yaml(fleet.files.read("network.lock"), "network.lock")
    lock = validate(document, Lock, code="E0832", kind="network.lock")
    wrong = [name for name, choice in lock.nodes.items() if choice.mode not in ("bridge", "host")]
    if wrong:
        raise MacfleetError(
            document.diagnose(
                "E0832", f'mode of {name} is neither "bridge" nor "host"', "nodes", name, "mode"
            )
            for name in wrong
        )
    return {name: NetworkChoice(c.mode, c.forwarder, c.run) for name, c in lock.nodes.items()}


def weights_lock(fleet: FleetContext) -> tuple[WeightsFile, ...]:
    """Return the files of weights.lock, sorted by path; empty when there is none."""
    if not fleet.files.exists("weights.lock"):
        return ()
    from macfleet.documents import Border, parse_yaml, validate
    from macfleet.gates import WeightsFile

    class File(Border):
        path: str
        size: int
        sha256: str
        revision: str = ""
        provenance: str = ""

    class Lock(Border):
        files: list[File]

    document = parse_yaml(fleet.files.read("weights.lock"), "weights.lock")
    lock = validate(document, Lock, code="E0833", kind="weights.lock")
    return tuple(
        WeightsFile(f.path, f.size, f.sha256, f.revision, f.provenance)
        for f in sorted(lock.files, key=lambda f: f.path)
    )
