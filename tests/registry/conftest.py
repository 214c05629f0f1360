"""A real registry on loopback, and a clock that does not wait."""

import socket
import subprocess
from pathlib import Path

import httpx
import pytest
from hostile_registry import HostileRegistry
from image_pusher import Pusher

REGISTRY = "/usr/bin/docker-registry"


class FakeClock:
    """Sleeping moves it on; what was slept is kept."""

    def __init__(self):
        self.time = 1000.0
        self.slept = []

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(scope="session")
def registry(tmp_path_factory):
    """Start Debian's docker-registry; yields ``127.0.0.1:<port>``."""
    if not Path(REGISTRY).exists():
        pytest.skip("docker-registry is missing: apt-get install docker-registry")
    folder = tmp_path_factory.mktemp("registry")
    host = f"127.0.0.1:{_free_port()}"
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: {host}}}\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([REGISTRY, "serve", str(config)], stdout=log, stderr=log)
    try:
        _wait_until_up(host, process)
        yield host
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def pusher(registry):
    with Pusher(registry) as each:
        yield each


@pytest.fixture
def hostile():
    with HostileRegistry() as each:
        yield each


@pytest.fixture
def elsewhere():
    """A second server under another host name: whatever reaches it has left the registry."""
    with HostileRegistry(name="localhost") as each:
        yield each


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_up(host, process):
    with httpx.Client(trust_env=False, timeout=2) as client:
        for _ in range(200):
            try:
                process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                pass
            else:
                pytest.fail("docker-registry ended at once")
            try:
                if client.get(f"http://{host}/v2/").status_code == 200:
                    return
            except httpx.TransportError:
                continue
        pytest.fail("docker-registry did not come up")
