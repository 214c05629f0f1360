"""Fixtures that start real OpenSSH servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ssh_peer import Peer
from sshd_server import SSHD, Server, free_port, make_key, wait_until

from macfleet.ssh import SshTransports


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with extra sshd settings; all are stopped afterwards."""
    if not Path(SSHD).exists() or shutil.which("ssh-keygen") is None:
        pytest.skip("no OpenSSH server here: apt-get install openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    servers: list[Server] = []

    def start(*settings: str) -> Server:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        for kind in ("ed25519", "rsa"):
            make_key(folder / f"host_{kind}", kind)
        make_key(folder / "identity", "ed25519")
        shutil.copy(folder / "identity.pub", folder / "authorized_keys")
        server = Server(folder, free_port(), settings)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(launch: Callable[..., Server]) -> Server:
    return launch()


@pytest.fixture
def no_config(tmp_path: Path) -> Path:
    """An ssh_config that says nothing, so that this machine's own has no say."""
    empty = tmp_path / "ssh_config"
    empty.touch()
    return empty


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A real ssh-agent without keys; its socket, which SSH_AUTH_SOCK names too."""
    path = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL) as process:
        wait_until(path.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield path
        process.terminate()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    """A server by hand, which lets the key of ``identity`` in."""
    make_key(tmp_path / "identity", "ed25519")
    server = Peer(tmp_path / "identity")
    yield server
    server.close()


@pytest.fixture
def pool(tmp_path: Path, no_config: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshTransports]:
    """Connections of a client without an agent."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    transports = SshTransports(tmp_path / "known_hosts", ssh_config=no_config)
    yield transports
    transports.close()
