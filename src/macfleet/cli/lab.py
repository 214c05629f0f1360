"""`macfleet lab`: simulated Mac nodes with real OpenSSH, Docker Engine and Compose."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from macfleet.cli.lab_fault import fault_kinds

if TYPE_CHECKING:
    from macfleet.lab import LabConfig, LabState, LabStatus

R = TypeVar("R")


def _lab_options(command: Callable[..., R]) -> Callable[..., R]:
    options = (
        click.option(
            "--state-dir", metavar="DIR", type=click.Path(path_type=Path), help="Key, known_hosts, lab.json."
        ),
        click.option(
            "--name", help="Two names are two labs. As before where there is one, else macfleet-lab."
        ),
        click.option("--subnet", help="The lab's own network. As before, else 172.28.90.0/24."),
        click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(epilog="Example: macfleet lab up --nodes 2 && macfleet lab status")
def lab() -> None:
    """Simulated Macs on this Linux machine: real SSH, real Docker Engine, real inference, a Mac's face."""


@lab.command(epilog="Example: macfleet lab up --nodes 3 --write-inventory inventory/lab.yml")
@click.option("--nodes", default=2, show_default=True, metavar="N", help="How many Macs, 1 to 40.")
@click.option("--thin", metavar="N", type=int, help="Instead: N SSH servers without an engine, for scale.")
@click.option(
    "--write-inventory",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Write the nodes as an inventory.",
)
@_lab_options
def up(
    nodes: int,
    thin: int | None,
    write_inventory: Path | None,
    state_dir: Path | None,
    name: str | None,
    subnet: str | None,
    output: str,
) -> int:
    """Bring the lab up, or back: what runs already is left as it is.

    Without a Docker Engine, as root on Debian, installs and starts one. Exits 0 when every node answers.
    """
    from macfleet.lab import up as lab_up

    config = _config(state_dir, name, subnet, nodes)
    if thin is not None:
        return _thin_up(config.state_dir, thin, write_inventory, output)
    state = lab_up(config, _progress)
    if write_inventory is not None:
        _write_inventory(write_inventory, state)
        _progress(f"wrote {write_inventory}")
    if output == "json":
        _print_json("lab-up", dataclasses.asdict(state))
    else:
        click.echo(_describe(state))
    return 0


def _thin_up(state_dir: Path, count: int, write_inventory: Path | None, output: str) -> int:
    from macfleet.lab.thin import thin_inventory, thin_up

    state = thin_up(state_dir, count, _progress)
    if write_inventory is not None:
        write_inventory.parent.mkdir(parents=True, exist_ok=True)
        write_inventory.write_text(thin_inventory(state), encoding="utf-8")
        _progress(f"wrote {write_inventory}")
    if output == "json":
        _print_json("lab-thin-up", dataclasses.asdict(state))
    else:
        first, last = state.nodes[0], state.nodes[-1]
        click.echo(f"✓ {first.name} to {last.name}   {state.user}@127.0.0.1:{first.port} to {last.port}")
    return 0


@lab.command(epilog="Example: macfleet lab fleet demo && cd demo && macfleet inventory list")
@click.argument("folder", type=click.Path(path_type=Path))
@_lab_options
def fleet(folder: Path, state_dir: Path | None, name: str | None, subnet: str | None, output: str) -> int:
    """Make a fleet folder for the running lab, or refresh the files that speak of it."""
    from macfleet.cli.init import make_fleet
    from macfleet.lab import up as lab_up
    from macfleet.lab.fleet_folder import INVENTORY, fleet_files
    from macfleet.lab.fleetfile import machine_memory

    config = _config(state_dir or folder / ".macfleet" / "lab", name, subnet)
    if not (config.state_dir / "lab.json").is_file():
        raise click.UsageError(f"no lab in {config.state_dir}; first: macfleet lab up --state-dir …")
    state = lab_up(_config(config.state_dir, name, subnet, recorded_nodes(config.state_dir)), _progress)
    make_fleet(folder, folder.resolve().name)
    settings = folder / "macfleet.yml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("[inventory/hosts.yml]", f"[{INVENTORY}]"), encoding="utf-8")
    files = fleet_files(state, machine_memory(), Path(state.known_hosts).read_text(encoding="utf-8"))
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    if output == "json":
        _print_json("lab-fleet", {"folder": str(folder), "files": sorted(files)})
    else:
        click.echo(f"✓ {folder} speaks of the lab: {', '.join(sorted(files))}")
    return 0


def recorded_nodes(state_dir: Path) -> int:
    """How many nodes the lab of this state folder has."""
    return len(json.loads((state_dir / "lab.json").read_text(encoding="utf-8"))["nodes"])


@lab.command(epilog="Example: macfleet lab down --purge")
@click.option("--purge", is_flag=True, help="Remove the built images and the cache too.")
@_lab_options
def down(purge: bool, state_dir: Path | None, name: str | None, subnet: str | None, output: str) -> int:
    """Remove the lab: nodes, registry, volumes, network; and stop the engine if the lab started it.

    A state folder that holds thin nodes alone loses those, and no engine is touched.
    """
    from macfleet.lab import down as lab_down
    from macfleet.lab.thin import thin_down

    config = _config(state_dir, name, subnet)
    if not thin_down(config.state_dir, _progress) or (config.state_dir / "lab.json").exists():
        lab_down(config, _progress, purge=purge)
    if output == "json":
        _print_json("lab-down", {"name": config.name})
    else:
        click.echo("The lab is down.")
    return 0


@lab.command(epilog="Example: macfleet lab status --output json")
@_lab_options
def status(state_dir: Path | None, name: str | None, subnet: str | None, output: str) -> int:
    """Show what of the lab is there. Exits 0 when all of it answers, 5 when something does not."""
    from macfleet.lab import status as lab_status
    from macfleet.lab.thin import answering, read_thin

    config = _config(state_dir, name, subnet)
    thin = read_thin(config.state_dir)
    if thin is not None and not (config.state_dir / "lab.json").exists():
        up = answering(thin)
        if output == "json":
            _print_json("lab-thin-status", {"nodes": [node.name for node in thin.nodes], "answering": up})
        else:
            click.echo(f"{len(up)} of {len(thin.nodes)} thin nodes answer")
        return 0 if len(up) == len(thin.nodes) else 5
    found = lab_status(config)
    if output == "json":
        _print_json("lab-status", {**dataclasses.asdict(found), "up": found.up})
    else:
        click.echo(_show_status(found))
    return 0 if found.up else 5


@lab.command(
    epilog="Examples: macfleet lab fault · macfleet lab fault mac-01 disk-slow · "
    "macfleet lab fault mac-01 disk-slow --off"
)
@click.argument("node", required=False)
@click.argument("kind", required=False, shell_complete=fault_kinds)
@click.option("--off", is_flag=True, help="End it.")
@_lab_options
def fault(
    node: str | None,
    kind: str | None,
    off: bool,
    state_dir: Path | None,
    name: str | None,
    subnet: str | None,
    output: str,
) -> int:
    """Break one thing of a node, or mend it; both may be asked for twice.

    Without KIND: what can be broken, and what is at the moment.
    """
    from macfleet.cli.lab_fault import change, overview

    config = _config(state_dir, name, subnet)
    if node is None or kind is None:
        if off:
            raise click.UsageError("--off needs a node and a fault")
        return overview(config, node, output)
    return change(config, node, kind, off=off, output=output)


def default_state_dir(start: Path) -> Path:
    """`.macfleet/lab` of the fleet folder found upwards from `start`, else of `start` itself."""
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / "macfleet.yml").is_file():
            return folder / ".macfleet" / "lab"
    return here / ".macfleet" / "lab"


def _config(state_dir: Path | None, name: str | None, subnet: str | None, nodes: int = 2) -> LabConfig:
    """Return how the lab is made: as the one of the state folder, unless it is said anew."""
    from macfleet.lab import LabConfig
    from macfleet.lab.state import read_state

    folder = state_dir.resolve() if state_dir else default_state_dir(Path.cwd())
    config = LabConfig(state_dir=folder, nodes=nodes)
    if there := read_state(config):
        config = dataclasses.replace(config, name=there.name, subnet=there.subnet)
    return dataclasses.replace(config, name=name or config.name, subnet=subnet or config.subnet)


def _progress(line: str) -> None:
    click.echo(f"⌛ {line}", err=True)


def _print_json(kind: str, data: dict[str, Any]) -> None:
    click.echo(json.dumps({"schema": 1, "kind": kind, **data}, indent=2))


def _write_inventory(path: Path, state: LabState) -> None:
    from macfleet.lab.fleetfile import machine_memory, render_inventory

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render_inventory(state, machine_memory(), Path(state.known_hosts).read_text()))


def _describe(state: LabState) -> str:
    lines = [f"✓ {node.name}   {node.user}@{node.address}:{node.port}" for node in state.nodes]
    lines += [
        f"✓ registry {state.registry}",
        f"Log in: ssh -i {state.key} -o UserKnownHostsFile={state.known_hosts}",
    ]
    lines[-1] += f" {state.nodes[0].user}@{state.nodes[0].address}"
    return "\n".join(lines)


def _show_status(found: LabStatus) -> str:
    if not found.nodes and not found.registry:
        return "· no lab here: macfleet lab up"
    lines = [
        f"{'✓' if node.running and node.ssh else '✗'} {node.name}   {node.address}"
        f"   {'running' if node.running else 'stopped'}{'' if node.ssh else ', SSH does not answer'}"
        f"{'   planted: ' if node.faults else ''}{', '.join(node.faults)}"
        for node in found.nodes
    ]
    lines.append(f"{'✓' if found.registry else '✗'} registry")
    return "\n".join(lines)
