"""The engine's version is asked where there is an engine to ask."""

import os
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from macfleet.facts.versions import parse_docker, probes
from macfleet.model.resource import ProbeOutput


@pytest.fixture
def home():
    """A home whose path is short enough for a socket, with a client that notes that it was called."""
    with tempfile.TemporaryDirectory(prefix="mf-", dir="/tmp") as name:
        folder = Path(name)
        (folder / ".colima/default").mkdir(parents=True)
        client = folder / "docker"
        client.write_text('#!/bin/sh\necho "$DOCKER_HOST" >"$HOME/asked"\necho "27.3.1 linux/arm64"\n')
        client.chmod(0o755)
        yield folder


def asked(home):
    """What the probe's answer means, and what the client was told to ask, if it was run."""
    done = subprocess.run(
        ["/bin/sh", "-c", probes()["facts.docker"].script],
        env={"HOME": str(home), "PATH": f"{home}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    note = home / "asked"
    return parse_docker(ProbeOutput(0, done.stdout)), note.read_text().strip() if note.exists() else None


def test_without_a_socket_no_client_is_started(home):
    assert asked(home) == (None, None)


def test_behind_the_socket_the_engine_is_asked(home):
    path = home / ".colima/default/docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert asked(home) == ({"server": "27.3.1", "platform": "linux/arm64"}, f"unix://{path}")
