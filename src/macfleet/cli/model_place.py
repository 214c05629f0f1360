"""`macfleet model place`: the files weights.lock pins, onto nodes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import finish
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError, NodeUnreachable

if TYPE_CHECKING:
    from macfleet.engine.transfer import Delivered, Parcel
    from macfleet.gates import WeightsFile
    from macfleet.model.json import Json
    from macfleet.model.node import Node

_SLOWEST = 2**20
"""Bytes a second below which a transfer is given up; what arrived stays for the next one."""
_SETTLE = 60.0
_ATTEMPTS = 4


@click.command()
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option(
    "--from",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of this machine with the files under their own names.",
)
@limit_option
@fleet_command
def place(fleet: FleetContext, files: tuple[str, ...], folder: Path, limit: str) -> int:
    """Send the files of weights.lock to nodes over SSH; FILEs are their names, none means all.

    A file that is there already is not sent; one whose transfer broke off is gone on with. It takes its
    place on the node when its SHA-256 there is the one weights.lock pins.

    Example: macfleet model place --from models -l rented
    """
    parcels = _parcels(fleet, folder, files)
    nodes = fleet.nodes(limit)
    placed, failed = _on_nodes(fleet, nodes, parcels)
    if fleet.output == "json":
        return finish(failed, {"schema": 1, "kind": "model.place", "files": _rows(placed)})
    _say(placed)
    return finish(failed)


def _parcels(fleet: FleetContext, folder: Path, files: Sequence[str]) -> dict[str, Parcel]:
    """Return the chosen files; raises MacfleetError with everything that is missing or not as pinned."""
    from macfleet.cli.lock_files import weights_lock

    pinned = {Path(file.path).name: file for file in weights_lock(fleet)}
    unknown = [name for name in files if Path(name).name not in pinned]
    chosen = [pinned[Path(name).name] for name in files] if files and not unknown else list(pinned.values())
    problems = [_not_pinned(name) for name in unknown]
    parcels: dict[str, Parcel] = {}
    for file in [] if unknown else chosen:
        try:
            parcels[file.path] = _parcel(file, folder)
        except MacfleetError as error:
            problems += error.diagnostics
    if not parcels and not problems:
        problems = [Diagnostic("E0663", "weights.lock names no file", mend="Write weights.lock.")]
    if problems:
        raise MacfleetError(problems)
    return parcels


def _parcel(file: WeightsFile, folder: Path) -> Parcel:
    """Return a file of this machine; its content is looked at once, before any node is asked."""
    from macfleet.ssh import file_parcel

    path = folder / Path(file.path).name
    try:
        parcel = file_parcel(path)
    except OSError as error:
        raise MacfleetError(_unreadable(path, error.strerror or str(error))) from error
    if (parcel.size, parcel.sha256) != (file.size, file.sha256):
        raise MacfleetError(_not_as_pinned(path, parcel.sha256, file.sha256))
    return parcel


def _on_nodes(
    fleet: FleetContext, nodes: Sequence[Node], parcels: dict[str, Parcel]
) -> tuple[dict[tuple[str, str], Delivered], list[MacfleetError]]:
    """Return what became of each file on each node, and what went wrong."""
    from macfleet.executors.threads import ThreadExecutor

    by_name = {node.name: node for node in nodes}
    _ = fleet.transports  # made before the threads start; they share it
    placed: dict[tuple[str, str], Delivered] = {}
    failed: list[MacfleetError] = []

    def send(name: str) -> list[tuple[str, Delivered]]:
        return [(path, _placed(fleet, by_name[name], path, parcel)) for path, parcel in parcels.items()]

    executor = ThreadExecutor(fleet.forks or fleet.settings.forks)
    for name, answer in executor.each(tuple(by_name), send).items():
        if isinstance(answer, MacfleetError):
            failed.append(answer)
        elif isinstance(answer, Exception):
            raise answer
        else:
            placed |= {(name, path): delivered for path, delivered in answer}
    return placed, failed


def _placed(fleet: FleetContext, node: Node, path: str, parcel: Parcel) -> Delivered:
    """Send one file, going on over a new connection when one breaks."""
    from macfleet.engine.transfer import deliver

    deadline = _SETTLE + parcel.size / _SLOWEST
    for attempt in range(1, _ATTEMPTS):
        transport = fleet.transports.to(node)
        try:
            return deliver(transport, parcel, path, node=node.name, deadline=deadline)
        except NodeUnreachable:
            fleet.clock.sleep(2.0**attempt * random.uniform(0.5, 1))  # noqa: S311  (waits, no secret)
    return deliver(fleet.transports.to(node), parcel, path, node=node.name, deadline=deadline)


def _rows(placed: dict[tuple[str, str], Delivered]) -> list[Json]:
    return [
        {"node": node, "path": path, "sent": each.sent, "found": each.found}
        for (node, path), each in placed.items()
    ]


def _say(placed: dict[tuple[str, str], Delivered]) -> None:
    from macfleet.model.quantity import show_bytes
    from macfleet.views.terminal import show

    for (node, path), each in placed.items():
        how = f"sent {show_bytes(each.sent)}" if each.sent else "there already"
        rest = f", {show_bytes(each.found)} of it before" if each.sent and each.found else ""
        show([f"✓ {node}: {path}, {how}{rest}"])


def _not_pinned(name: str) -> Diagnostic:
    return Diagnostic(
        "E0424",
        f"weights.lock pins no file called {name}",
        why="Only what is pinned is placed: its SHA-256 is the proof that it arrived.",
        mend="See what is pinned: macfleet model list",
    )


def _unreadable(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        "E0425",
        f"{path} cannot be read: {why}",
        mend="Name the folder with --from; the files have the names that weights.lock ends them with.",
        where=Location(str(path)),
    )


def _not_as_pinned(path: Path, found: str, pinned: str) -> Diagnostic:
    return Diagnostic(
        "E0426",
        f"{path} is not the file weights.lock pins",
        why=f"SHA-256: {found}, pinned: {pinned}.",
        mend="Take the file that is pinned, or pin this one on purpose in weights.lock.",
        where=Location(str(path)),
    )
