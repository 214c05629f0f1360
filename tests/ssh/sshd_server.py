"""A real OpenSSH server on loopback, with keys of its own."""

from __future__ import annotations

import dataclasses
import getpass
import random
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from macfleet.model.node import Endpoint, Node

SSHD = "/usr/sbin/sshd"


@dataclasses.dataclass
class Server:
    """A running sshd and what a client needs to know about it."""

    folder: Path
    port: int
    settings: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    @property
    def identity(self) -> Path:
        return self.folder / "identity"

    @property
    def name(self) -> str:
        return f"[127.0.0.1]:{self.port}"

    def node(self, name: str = "mac-01", **endpoint: object) -> Node:
        known = Endpoint(
            host="127.0.0.1", port=self.port, user=getpass.getuser(), identity_file=str(self.identity)
        )
        return Node(name=name, endpoint=dataclasses.replace(known, **endpoint))

    def fingerprint(self, kind: str = "ed25519") -> str:
        shown = subprocess.run(
            ["ssh-keygen", "-lf", self.folder / f"host_{kind}.pub"],
            check=True,
            capture_output=True,
            text=True,
        )
        return shown.stdout.split()[1]

    def known_hosts(self, path: Path) -> Path:
        kind, blob = (self.folder / "host_ed25519.pub").read_text().split()[:2]
        path.write_text(f"{self.name} {kind} {blob}\n")
        return path

    def start(self) -> None:
        config = self.folder / "sshd_config"
        lines = [
            *self.settings,  # the first value of a keyword wins
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self.folder}/host_ed25519",
            f"HostKey {self.folder}/host_rsa",
            f"PidFile {self.folder}/sshd.pid",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "StrictModes no",
            "PasswordAuthentication no",
            "UsePAM no",
            "PermitRootLogin yes",
        ]
        config.write_text("\n".join(lines) + "\n")
        log = (self.folder / "sshd.log").open("ab")
        before = log.tell()
        self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=log, start_new_session=True)
        log.close()
        process = self.process
        # Whoever else listens there is not this server, so it is asked itself.
        wait_until(lambda: process.poll() is not None or f" port {self.port}." in self.log[before:])
        assert process.poll() is None, self.log

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def restart_with(self, *settings: str) -> None:
        self.stop()
        self.settings = (*self.settings, *settings)
        self.start()

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text()

    def new_host_key(self) -> None:
        self.stop()
        make_key(self.folder / "host_ed25519", "ed25519")
        self.start()


def make_key(path: Path, kind: str) -> None:
    path.unlink(missing_ok=True)
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-f", path], check=True)


def sign(authority: Path, public: Path, *options: str) -> Path:
    """Let an authority sign a public key; return the certificate's path."""
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "a name", *options, public], check=True)
    return public.with_name(public.name.removesuffix(".pub") + "-cert.pub")


def wait_until(holds: Callable[[], bool], seconds: float = 15) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "the condition did not come to hold"
        time.sleep(0.02)


def living_members(group: int) -> list[str]:
    """Return the ids of a process group's members that are no zombies."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rsplit(")", 1)[1].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == group and state != "Z":
            members.append(stat.parent.name)
    return members


def free_port() -> int:
    """Return a port nobody listens on, below those the system gives to outgoing connections.

    One of those may be taken by a connection just when a server restarts.
    """
    for port in random.sample(range(15_000, 32_000), 100):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
