from __future__ import annotations

import shutil
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from macfleet.cli.main import main
from macfleet.contract.images import render_images_lock
from macfleet.model.image import Blob, LockedImage, ResolvedImage
from macfleet.store import SqlState
from macfleet.store.run_locks import StoreLocks, this_process


def pin(folder):
    """Pin the example's images as `image pin` would, without a registry."""
    names = {"engine": "registry.example/llama-server:b10434", "loadgen": "registry.example/python:3.13"}
    lock = render_images_lock([_locked(name, reference) for name, reference in names.items()])
    (folder / "images.lock").write_text(lock)


def _locked(name, reference):
    digests = [f"sha256:{digit * 64}" for digit in "1234"]
    repository = reference.rpartition(":")[0]
    platforms = {
        platform: ResolvedImage(reference, repository, *digests[:3], platform, (Blob(digests[3], 10),))
        for platform in ("linux/amd64", "linux/arm64")
    }
    return LockedImage(name, reference, digests[0], platforms)


@pytest.fixture
def run(capsys):
    """Run macfleet in process; return its exit code, stdout and stderr."""

    def runner(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return runner


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A fleet folder as `init` makes it, its contract frozen; copy it before changing it."""
    folder = tmp_path_factory.mktemp("fleets") / "my-fleet"
    for arguments in (["init", str(folder)], ["contract", "freeze", "--fleet", str(folder)]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    return folder


@pytest.fixture
def fleet(made, tmp_path, monkeypatch):
    """A fleet folder of our own whose two nodes listen nowhere, entered."""
    folder = tmp_path / "my-fleet"
    shutil.copytree(made, folder)
    pin(folder)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        first, second = one.getsockname()[1], other.getsockname()[1]
    (folder / "inventory/hosts.yml").write_text(
        "all:\n"
        "  vars: {ansible_user: ops, chip: m4, memory: 24GiB, ownership: owned}\n"
        "  children:\n"
        "    serving:\n"
        "      hosts:\n"
        f"        mac-01: {{ansible_host: 127.0.0.1, ansible_port: {first}}}\n"
        f"        mac-02: {{ansible_host: 127.0.0.1, ansible_port: {second}}}\n"
    )
    for host in ("mac-01", "mac-02"):
        (folder / f"inventory/host_vars/{host}.yml").unlink(missing_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("FLEET", "INVENTORY", "STATE", "FORKS"):
        monkeypatch.delenv(f"MACFLEET_{name}", raising=False)
    return folder


@pytest.fixture
def between():
    """Do something to a fleet folder after another command read it and before it writes a lock."""
    return _between


@contextmanager
def _between(folder, path, node, act):
    """Hold a lock file's name until another command has its node, and do something to the folder just then."""
    state = SqlState(f"sqlite:///{folder}/.macfleet/state.db")
    other = StoreLocks(state.locks, this_process("eve@other"))
    other.take((path,), "", "promote")

    def wait():
        until = time.monotonic() + 60
        while time.monotonic() < until and not state.locks.holders((node,)):
            time.sleep(0.02)
        act()
        other.close()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()
    state.close()
