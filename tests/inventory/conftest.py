"""Fleet folders that exist in memory."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping

import pytest
from asking_ansible import DRIVER, PYTHON, Oracle

from macfleet.inventory import Inventory, load_inventory, load_settings
from macfleet.model.diagnostic import Diagnostic, MacfleetError


class MemoryFiles:
    """The `Files` port over a mapping of paths to text."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)

    def read(self, path: str) -> bytes:
        if path not in self._texts:
            raise FileNotFoundError(path)
        return self._texts[path].encode()

    def exists(self, path: str) -> bool:
        return path in self._texts

    def list(self, folder: str) -> tuple[str, ...]:
        return tuple(sorted(path for path in self._texts if path.startswith(f"{folder}/")))


Load = Callable[..., Inventory]


@pytest.fixture(scope="session")
def memory() -> type[MemoryFiles]:
    return MemoryFiles


@pytest.fixture
def load() -> Load:
    """Load an inventory from texts: the hosts file first, others by path."""

    def loader(
        hosts: str, others: Mapping[str, str] | None = None, *, fleet: str = "name: test", **declared: object
    ) -> Inventory:
        files = MemoryFiles({"macfleet.yml": fleet, "inventory/hosts.yml": hosts, **(others or {})})
        settings = load_settings(files, "/fleet")
        return load_inventory(files, settings.inventory, settings, declared)

    return loader


@pytest.fixture
def problems(load: Load) -> Callable[..., tuple[Diagnostic, ...]]:
    """Load an inventory that is wrong and return what was said about it."""

    def loader(*args: object, **kwargs: object) -> tuple[Diagnostic, ...]:
        with pytest.raises(MacfleetError) as caught:
            load(*args, **kwargs)
        return caught.value.diagnostics

    return loader


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """One Ansible process for all tests; what it was asked must mostly have been answered alike."""
    home = tmp_path_factory.mktemp("oracle")
    environment = {
        **os.environ,
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_HOME": str(home),
        "PYTHONWARNINGS": "ignore",
    }
    with (home / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            ["nice", str(PYTHON), str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=home,
            env=environment,
        )
        with process:
            asked = Oracle(process)
            yield asked
            process.stdin.close()
    assert asked.seen["alike"] >= asked.seen["refused"], asked.seen
