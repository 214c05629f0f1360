"""The SSH servers behind thin nodes: their files, their ports, their start and their end."""

from __future__ import annotations

import base64
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

SSHD = Path("/usr/sbin/sshd")
_FACE = Path(__file__).parent / "node" / "thin"
_FIRST_PORT = 22000
_LAST_PORT = 32000
"""Below the ports this machine gives to outgoing connections."""
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0
_TAKEN = "Cannot bind any address"
"""What OpenSSH's server says last when another program has its port."""

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


def make_node(folder: Path, port: int, public_line: str) -> ThinNode:
    """Write the files of one node's server; the folder gives the node its name."""
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
    return ThinNode(folder.name, port, _host_key(folder / "host_key"), str(home))


def start_servers(folder: Path, nodes: Iterable[ThinNode]) -> None:
    """Start the server of every node and return when each of them listens.

    Raises:
        PortTaken: another program took a port meanwhile.
        MacfleetError: E0562 they did not start.
    """
    environment = {"STATE": str(folder), "FACE": str(_FACE), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-s"],
        input=_NAMESPACE.encode(),
        env=environment,
        capture_output=True,
        timeout=_START_SECONDS,
        check=False,
    )
    waiting = [folder / "nodes" / node.name for node in nodes]
    if done.returncode != 0:
        raise MacfleetError(_not_started(done.stderr.decode(errors="replace") + _logs(waiting)))
    until = time.monotonic() + _START_SECONDS
    # sshd leaves its caller before it listens; it writes its process id once it does.
    while waiting := [each for each in waiting if server_of(each) is None]:
        logs = _logs(waiting)
        if _TAKEN in logs:
            raise PortTakenError
        if time.monotonic() > until:
            raise MacfleetError(_not_started(logs, len(waiting)))
        time.sleep(0.02)


class PortTakenError(Exception):
    """Another program listens on a port that was free a moment ago."""


def end_servers(folder: Path) -> int:
    """End the servers below a folder and the sessions they opened; return how many servers there were."""
    servers, sessions = _processes(folder)
    for pid in (*servers, *sessions):
        _end(pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_SECONDS
    while any(_processes(folder)) and time.monotonic() < until:
        time.sleep(0.02)
    for pid in (each for kind in _processes(folder) for each in kind):
        _end(pid, signal.SIGKILL)
    return len(servers)


def server_of(folder: Path) -> int | None:
    """Return the process id of a node's server that listens, None when there is none."""
    try:
        pid = int((folder / "sshd.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    # The id may be another process's by now.
    return pid if str(folder / "sshd_config").encode() in command else None


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on, from a random one on.

    Two labs that start at the same moment would otherwise choose the same ones.
    """
    span = _LAST_PORT - _FIRST_PORT
    first = random.randrange(span)  # noqa: S311  (spreads, no secret)
    found: list[int] = []
    for step in range(span):
        port = _FIRST_PORT + (first + step) % span
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


def missing_programs() -> list[str]:
    """Return what thin nodes need and this machine does not have."""
    missing = [str(SSHD)] if not SSHD.exists() else []
    return missing + [name for name in ("unshare", "mount") if shutil.which(name) is None]


def answers(node: ThinNode) -> bool:
    """Return whether something listens on the node's port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", node.port)) == 0


def _processes(folder: Path) -> tuple[list[int], list[int]]:
    """Return the servers below a folder, and what runs in the homes there."""
    config, home = f"{folder}/nodes/".encode(), f"\0HOME={folder}/nodes/".encode()
    servers: list[int] = []
    sessions: list[int] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            environment = b"\0" + (process / "environ").read_bytes()
        except OSError:
            continue
        if command.startswith(b"sshd: ") and config in command:
            servers.append(int(process.name))
        elif home in environment:
            sessions.append(int(process.name))
    return servers, sessions


def _logs(folders: Iterable[Path]) -> str:
    logs = [folder / "sshd.log" for folder in folders]
    return "".join(log.read_text(errors="replace") for log in logs if log.exists())


def _end(pid: int, how: signal.Signals) -> None:
    try:
        os.kill(pid, how)
    except ProcessLookupError:
        return


def _not_started(said: str, count: int | None = None) -> Diagnostic:
    return Diagnostic(
        "E0562",
        "the thin nodes did not start" if count is None else f"{count} thin nodes did not start",
        why=said.strip()[-600:],
        mend="Run it again; the servers' own words are above.",
        exit_code=ExitCode.INTERNAL,
    )


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
