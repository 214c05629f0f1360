"""Thin nodes for scale: many sshd processes on loopback ports, no engine, no VM.

A thin node is a real OpenSSH server with a host key and a home of its own. All of them share this
machine's file system, seen through a mount namespace in which a Mac's few programs lie in Homebrew's
folder: enough to compare files and facts, nothing to serve with.
"""

from __future__ import annotations

import base64
import dataclasses
import getpass
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter, ValidationError

from macfleet.lab.engine import Report
from macfleet.lab.keys import client_key
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode

MOST_THIN_NODES = 1000
_SSHD = Path("/usr/sbin/sshd")
_FACE = Path(__file__).parent / "node" / "thin"
_FIRST_PORT = 22000
_LAST_PORT = 32000
"""Below the ports this machine gives to outgoing connections."""
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_HEAD = "# Written by `macfleet lab up --thin`: SSH servers on this machine's loopback, without an engine.\n"

# The namespace keeps what lies in /opt already and adds Homebrew's folder with a Mac's programs.
_NAMESPACE = """set -eu
mkdir -p "$STATE/opt"
mount -t tmpfs -o mode=755 macfleet-thin "$STATE/opt"
for each in /opt/*; do
  if [ -d "$each" ]; then mkdir "$STATE/$each"; mount --rbind "$each" "$STATE/$each"; fi
done
mkdir -p "$STATE/opt/homebrew/bin" "$STATE/opt/lab"
cp "$FACE"/* "$STATE/opt/homebrew/bin/"
chmod 755 "$STATE"/opt/homebrew/bin/*
mount --rbind "$STATE/opt" /opt
mkdir -p /run/sshd
for folder in "$STATE"/nodes/*; do /usr/sbin/sshd -f "$folder/sshd_config" -E "$folder/sshd.log"; done
"""


@dataclass(frozen=True, slots=True)
class ThinNode:
    """One thin node: inventory name, loopback port, ``SHA256:…`` of its host key, home folder."""

    name: str
    port: int
    host_key: str
    home: str


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
    if present is not None and len(present.nodes) == count and all(map(_answers, present.nodes)):
        return present
    thin_down(state_dir, lambda _: None)
    private, public_line = client_key(state_dir)
    report(f"starting {count} SSH servers")
    ports = _free_ports(count)
    width = max(2, len(str(count)))
    nodes = tuple(
        _make_node(state_dir, f"thin-{index:0{width}d}", port, public_line)
        for index, port in enumerate(ports, start=1)
    )
    lab = ThinLab(getpass.getuser(), str(private), nodes)
    _start(state_dir, lab)
    _state_file(state_dir).write_text(json.dumps(dataclasses.asdict(lab), indent=2) + "\n")
    return lab


def thin_down(state_dir: Path, report: Report) -> bool:
    """End the thin nodes of this state folder and remove their files; False when there were none."""
    folder = state_dir / "thin"
    if not folder.is_dir():
        return False
    servers = [pid for pid in map(_server, sorted((folder / "nodes").glob("*"))) if pid]
    if servers:
        report(f"ending {len(servers)} SSH servers")
    for pid in servers:
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in servers) and time.monotonic() < until:
        time.sleep(0.02)
    shutil.rmtree(folder)
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
    return tuple(node.name for node in lab.nodes if _answers(node))


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
    missing = [str(program) for program in (_SSHD,) if not program.exists()]
    missing += [name for name in ("unshare", "mount") if shutil.which(name) is None]
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


def _make_node(state_dir: Path, name: str, port: int, public_line: str) -> ThinNode:
    folder = state_dir / "thin" / "nodes" / name
    home = folder / "home"
    home.mkdir(parents=True)
    (folder / "authorized_keys").write_text(public_line + "\n")
    settings = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host_key",
        "PidFile": folder / "sshd.pid",
        "AuthorizedKeysFile": folder / "authorized_keys",
        "StrictModes": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        "UsePAM": "no",
        "UseDNS": "no",
        "PrintMotd": "no",
        "PrintLastLog": "no",
        "Subsystem": "sftp internal-sftp",
        # A home of its own: locks and jobs are one node's, and no shell reads this machine's rc files.
        "SetEnv": f"HOME={home}",
    }
    (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    return ThinNode(name, port, _host_key(folder / "host_key"), str(home))


def _host_key(path: Path) -> str:
    """Write a fresh private host key and return its fingerprint."""
    key = Ed25519PrivateKey.generate()
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
    )
    line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    digest = hashlib.sha256(base64.b64decode(line.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _start(state_dir: Path, lab: ThinLab) -> None:
    folder = state_dir / "thin"
    environment = {"STATE": str(folder), "FACE": str(_FACE), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-s"],
        input=_NAMESPACE.encode(),
        env=environment,
        capture_output=True,
        timeout=_START_SECONDS,
        check=False,
    )
    silent = [node for node in lab.nodes if not _answers(node)]
    if done.returncode == 0 and not silent:
        return
    said = done.stderr.decode(errors="replace").strip()
    logs = [(folder / "nodes" / node.name / "sshd.log") for node in silent[:1]]
    said = said or " ".join(log.read_text(errors="replace").strip() for log in logs if log.exists())
    thin_down(state_dir, lambda _: None)
    raise MacfleetError(
        Diagnostic(
            "E0562",
            f"{len(silent)} of {len(lab.nodes)} thin nodes did not start",
            why=said[-600:],
            mend="Run it again: another program may have taken a port meanwhile.",
            exit_code=ExitCode.INTERNAL,
        )
    )


def _server(folder: Path) -> int | None:
    """Return the process id of a node's sshd, None when it does not run."""
    try:
        pid = int((folder / "sshd.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    # The id may be another process's by now.
    return pid if str(folder / "sshd_config").encode() in command else None


def _free_ports(count: int) -> list[int]:
    found: list[int] = []
    for port in range(_FIRST_PORT, _LAST_PORT):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise MacfleetError(
        Diagnostic(
            "E0562",
            f"only {len(found)} ports from {_FIRST_PORT} to {_LAST_PORT} are free",
            mend="Another lab may run: macfleet lab status",
            exit_code=ExitCode.INTERNAL,
        )
    )


def _answers(node: ThinNode) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", node.port)) == 0
