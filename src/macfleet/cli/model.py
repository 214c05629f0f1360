"""`macfleet model`: what model files are by their content, here and on nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.drain_each import finish
from macfleet.cli.fleet import FleetContext, fleet_command, limit_option
from macfleet.cli.model_place import place
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.facts.model_bytes import ModelSource
    from macfleet.facts.model_file import ModelFile
    from macfleet.gates import WeightsFile
    from macfleet.model.json import Json


@click.group()
def model() -> None:
    """Model files: what weights.lock pins, and whether an engine may open them.

    Example: macfleet model list
    """


@model.command("list")
@fleet_command
def list_(fleet: FleetContext) -> int:
    """The files weights.lock pins: path on the nodes, size, SHA-256, origin.

    Example: macfleet model list --output json
    """
    from macfleet.cli.lock_files import weights_lock
    from macfleet.model.quantity import show_bytes
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show, show_json

    files = weights_lock(fleet)
    if fleet.output == "json":
        rows: list[Json] = [dict(asdict(f)) for f in files]
        show_json({"schema": 1, "kind": "model.list", "files": rows})
    elif files:
        show(clean(f"{f.sha256[:12]}  {show_bytes(f.size):>9}  {f.path}{_origin(f)}") for f in files)
    else:
        show(["weights.lock pins no file yet."])
    return int(ExitCode.DONE)


def _origin(file: WeightsFile) -> str:
    """Return where a file came from as an end of its line; empty when weights.lock does not say."""
    said = [file.provenance] if file.provenance else []
    said += [f"commit {file.revision[:12]}"] if file.revision else []
    return f"  ({', '.join(said)})" if said else ""


@model.command()
@click.argument("files", metavar="[FILE]...", nargs=-1)
@click.option("--node", "on_nodes", is_flag=True, help="FILEs lie on the nodes; none means weights.lock's.")
@limit_option
@fleet_command
def verify(fleet: FleetContext, files: tuple[str, ...], on_nodes: bool, limit: str) -> int:
    """Whether model files are what they say: GGUF and safetensors headers that hold, no pickles.

    Only headers are read, a piece at a time. Exits 7 when a file is refused.

    Examples: macfleet model verify small-chat.gguf · macfleet model verify --node -l mac-01
    """
    if not on_nodes and (limit or not files):
        raise click.UsageError("Name a FILE of this machine, or say --node to look at the nodes'.")
    problems: list[Diagnostic] = []
    found = _on_nodes(fleet, files, limit, problems) if on_nodes else {"": _here(files, problems)}
    if fleet.output == "json":
        return finish([MacfleetError(problems)] if problems else [], _document(found))
    _say(found)
    return finish([MacfleetError(problems)] if problems else [])


def _here(files: Sequence[str], problems: list[Diagnostic]) -> dict[str, ModelFile]:
    from macfleet.cli.model_source import DiskModel

    with ExitStack() as opened:
        return _judged(files, lambda path: opened.enter_context(DiskModel(Path(path))), "", problems)


def _on_nodes(
    fleet: FleetContext, files: Sequence[str], limit: str, problems: list[Diagnostic]
) -> dict[str, dict[str, ModelFile]]:
    from macfleet.cli.lock_files import weights_lock
    from macfleet.cli.model_source import NodeModel
    from macfleet.executors.threads import ThreadExecutor

    paths = files or tuple(file.path for file in weights_lock(fleet))
    if not paths:
        why = Diagnostic("E0663", "weights.lock names no file", mend="Name FILEs, or write weights.lock.")
        raise MacfleetError(why)
    by_name = {node.name: node for node in fleet.nodes(limit)}
    _ = fleet.transports  # made before the threads start; they share it

    def look(name: str) -> tuple[dict[str, ModelFile], list[Diagnostic]]:
        faults: list[Diagnostic] = []
        transport = fleet.transports.to(by_name[name])
        return _judged(paths, lambda path: NodeModel(transport, path), name, faults), faults

    found: dict[str, dict[str, ModelFile]] = {}
    for name, answer in (
        ThreadExecutor(fleet.forks or fleet.settings.forks).each(tuple(by_name), look).items()
    ):
        if isinstance(answer, MacfleetError):
            problems += answer.diagnostics
        elif isinstance(answer, Exception):
            raise answer
        else:
            found[name] = answer[0]
            problems += answer[1]
    return found


def _judged(
    paths: Sequence[str], source: Callable[[str], ModelSource], node: str, problems: list[Diagnostic]
) -> dict[str, ModelFile]:
    """Return what each file is; files that are refused or unreadable become diagnostics instead."""
    from macfleet.facts.model_bytes import ModelFileRefused
    from macfleet.facts.model_files import inspect

    found: dict[str, ModelFile] = {}
    for path in paths:
        try:
            found[path] = inspect(source(path))
        except ModelFileRefused as error:
            problems.append(_refused(path, str(error), node))
        except OSError as error:
            problems.append(_unreadable(path, error.strerror or str(error), node))
    return found


def _refused(path: str, why: str, node: str) -> Diagnostic:
    return Diagnostic(
        "E0661",
        f"{path} must not be given to an engine: {why}",
        why="Engines have run code out of pickles and out of headers that lie about counts and offsets.",
        mend="Take the model as GGUF or safetensors from whoever made it, and compare its SHA-256.",
        where=None if node else Location(path),
        node=node,
        exit_code=ExitCode.HELD,
    )


def _unreadable(path: str, why: str, node: str) -> Diagnostic:
    return Diagnostic(
        "E0662",
        f"{path} cannot be read: {why}",
        mend="Name a file that is there: macfleet model list" if node else "Name a file that is there.",
        node=node,
        exit_code=ExitCode.HELD if node else ExitCode.USAGE,
    )


def _document(found: Mapping[str, Mapping[str, ModelFile]]) -> dict[str, Json]:
    rows: list[Json] = [
        {
            "node": node or None,
            "path": path,
            "format": each.kind,
            "version": each.version,
            "architecture": each.architecture,
            "tensors": each.tensors,
            "header": each.header,
        }
        for node, files in found.items()
        for path, each in files.items()
    ]
    return {"schema": 1, "kind": "model.verify", "files": rows}


def _say(found: Mapping[str, Mapping[str, ModelFile]]) -> None:
    from macfleet.model.quantity import show_bytes
    from macfleet.views.diagnostics import clean
    from macfleet.views.terminal import show

    for node, files in found.items():
        place = f"{node}: " if node else ""
        for path, each in files.items():
            show([clean(f"✓ {place}{path}: {each}, header of {show_bytes(each.header)}")])


model.add_command(place)
