"""Scripts over a real OpenSSH server."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from macfleet.model.diagnostic import DeadlineExceeded, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.ssh import Connection, SshTransports

from sshd_server import Server, wait_until

pytestmark = pytest.mark.sshd
MIB = 2**20


@pytest.fixture
def pool(server: Server, tmp_path: Path, no_config: Path) -> Iterator[SshTransports]:
    transports = SshTransports(server.known_hosts(tmp_path / "known_hosts"), ssh_config=no_config)
    yield transports
    transports.close()


@pytest.fixture
def node(server: Server, pool: SshTransports) -> Connection:
    return pool.connection(server.node())


def test_a_script_returns_its_streams_and_its_exit_status(node: Connection) -> None:
    done = node.run("echo out; echo err >&2; exit 7", deadline=20)
    assert (done.exit, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
