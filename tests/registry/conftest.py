"""A real registry on loopback, and a clock that does not wait."""

import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import httpx
import pytest
from hostile_registry import HostileRegistry
from image_pusher import Pusher, sha256

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
    with serving(tmp_path_factory.mktemp("registry")) as host:
        yield host


@contextmanager
def serving(folder, *, users=None):
    """Serve what lies in a folder, to these users (name → password) alone where they are given."""
    if not Path(REGISTRY).exists():
        pytest.skip("docker-registry is missing: apt-get install docker-registry")
    host = f"127.0.0.1:{_free_port()}"
    config = folder / f"{host}.yml"
    auth = ""
    if users is not None:
        logins = folder / "logins"
        rows = [
            f"{name}:{bcrypt.hashpw(each.encode(), bcrypt.gensalt(4)).decode()}"
            for name, each in users.items()
        ]
        logins.write_text("\n".join(rows))
        auth = f"auth: {{htpasswd: {{realm: test, path: {logins}}}}}\n"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: {host}}}\n{auth}"
    )
    with (folder / f"{host}.log").open("wb") as log:
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


@pytest.fixture(scope="session")
def closed(tmp_path_factory):
    """One image in a registry that wants a password: its host, the image's reference, and who may log in."""
    folder = tmp_path_factory.mktemp("closed")
    users = {"builder": "builders' own/1", "reader": "readers:own=2"}
    with serving(folder) as opened, Pusher(opened) as pusher:
        digest = sha256(pusher.image("kept"))
    with serving(folder, users=users) as host:
        yield host, f"{host}/kept@{digest}", users


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
                if client.get(f"http://{host}/v2/").status_code in (200, 401):
                    return
            except httpx.TransportError:
                continue
        pytest.fail("docker-registry did not come up")
