"""Thin nodes for scale: many sshd processes on loopback ports, no engine, no VM.

A thin node is a real OpenSSH server with a host key and a home of its own. All of them share this
machine's file system, seen through a mount namespace in which a Mac's few programs lie in Homebrew's
folder: enough to compare files and facts, nothing to serve with.
"""

from __future__ import annotations

import dataclasses
import getpass
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from macfleet.lab.engine import Report
from macfleet.lab.keys import client_key
from macfleet.lab.thin_servers import (
    PortTakenError,
    ThinNode,
    answers,
    end_servers,
    free_ports,
    make_node,
    missing_programs,
    start_servers,
)
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode

MOST_THIN_NODES = 1000
_ATTEMPTS = 5
"""Times that other ports are tried."""
_HEAD = "# Written by `macfleet lab up --thin`: SSH servers on this machine's loopback, without an engine.\n"


@dataclass(frozen=True, slots=True)
class ThinLab:
    """Thin nodes that are up, as `thin.json` records them; `key` is the client's private key file."""

    user: str
    key: str
    nodes: tuple[ThinNode, ...]


def thin_up(state_dir: Path, count: int, report: Report) -> ThinLab:
    """Start thin nodes, or return those that run; another count replaces them.

    Args:
        state_dir: folder of the lab's key and state.
        count: 1 to 1000.
        report: called with one line of progress at a time.

    Raises:
        MacfleetError: E0560 a wrong count, E0561 this machine cannot have any, E0562 they did not start.
    """
    _refuse(count)
    present = read_thin(state_dir)
    if present is not None and len(present.nodes) == count and all(map(answers, present.nodes)):
        return present
    thin_down(state_dir, lambda _: None)
    private, public_line = client_key(state_dir)
    report(f"starting {count} SSH servers")
    nodes = _started(state_dir / "thin", count, public_line)
    lab = ThinLab(getpass.getuser(), str(private), nodes)
    _state_file(state_dir).write_text(json.dumps(dataclasses.asdict(lab), indent=2) + "\n")
    return lab


def thin_down(state_dir: Path, report: Report) -> bool:
    """End the thin nodes of this state folder and remove their files; False when there were none."""
    folder = state_dir / "thin"
    if not folder.is_dir():
        return False
    report("ending the SSH servers")
    _remove(folder)
    if not (state_dir / "lab.json").exists():
        for name in ("id_ed25519", "id_ed25519.pub"):
            (state_dir / name).unlink(missing_ok=True)
    return True


def read_thin(state_dir: Path) -> ThinLab | None:
    """Return the recorded thin nodes, None where there are none.

    Raises:
        MacfleetError: E0563 when the record is not what `thin_up` writes.
    """
    file = _state_file(state_dir)
    if not file.exists():
        return None
    try:
        return TypeAdapter(ThinLab).validate_json(file.read_bytes())
    except ValidationError as problem:
        raise MacfleetError(
            Diagnostic(
                "E0563",
                "the record of the thin nodes cannot be read",
                why=str(problem.errors()[0]["msg"]),
                mend="End them with: macfleet lab down",
                where=Location(str(file)),
            )
        ) from None


def thin_inventory(lab: ThinLab) -> str:
    """Return the nodes in Ansible's YAML layout, group ``serving``."""
    hosts = {
        node.name: {
            "ansible_port": node.port,
            "host_key": node.host_key,
            "roots": {name: f"{node.home}/{name}" for name in ("weights", "cache", "logs")},
        }
        for node in lab.nodes
    }
    shared = {
        "ansible_host": "127.0.0.1",
        "ansible_user": lab.user,
        "ansible_ssh_private_key_file": lab.key,
        "hardware": "lab",
        "min_ready": 0,
    }
    document = {"all": {"children": {"serving": {"vars": shared, "hosts": hosts}}}}
    return _HEAD + yaml.safe_dump(document, sort_keys=False)


def answering(lab: ThinLab) -> tuple[str, ...]:
    """Return the names of the thin nodes whose SSH port answers."""
    return tuple(node.name for node in lab.nodes if answers(node))


def _started(folder: Path, count: int, public_line: str) -> tuple[ThinNode, ...]:
    """Make and start nodes, on other ports when somebody was faster; leave nothing behind on an error."""
    width = max(2, len(str(count)))
    names = [f"thin-{index:0{width}d}" for index in range(1, count + 1)]
    for _ in range(_ATTEMPTS):
        ports = free_ports(count)
        nodes = tuple(
            make_node(folder / "nodes" / name, port, public_line)
            for name, port in zip(names, ports, strict=True)
        )
        try:
            start_servers(folder, nodes)
        except PortTakenError:
            _remove(folder)
        except BaseException:
            _remove(folder)
            raise
        else:
            return nodes
    raise MacfleetError(
        Diagnostic(
            "E0562",
            f"the thin nodes did not start: their ports were taken {_ATTEMPTS} times",
            mend="See what takes them: ss -ltnp; then run it again.",
            exit_code=ExitCode.INTERNAL,
        )
    )


def _remove(folder: Path) -> None:
    end_servers(folder)
    shutil.rmtree(folder)


def _state_file(state_dir: Path) -> Path:
    return state_dir / "thin" / "thin.json"


def _refuse(count: int) -> None:
    if not 1 <= count <= MOST_THIN_NODES:
        raise MacfleetError(
            Diagnostic(
                "E0560",
                f"a lab has 1 to {MOST_THIN_NODES} thin nodes, not {count}",
                mend="macfleet lab up --thin 20",
            )
        )
    missing = missing_programs()
    if missing or os.geteuid() != 0:
        why = f"Missing: {', '.join(missing)}." if missing else "A mount namespace needs root."
        raise MacfleetError(
            Diagnostic(
                "E0561",
                "this machine cannot have thin nodes",
                why=why,
                mend="As root on Linux: apt-get install openssh-server util-linux",
                exit_code=ExitCode.INTERNAL,
            )
        )
