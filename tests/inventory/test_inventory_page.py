"""The sources that docs/reference/inventory.md shows are read."""

from __future__ import annotations

import re
from pathlib import Path

from macfleet.inventory import load_inventory
from macfleet.inventory.settings import FleetSettings

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "inventory.md"


class Shown:
    """The `Files` and `Scripts` ports over the blocks of the page."""

    def __init__(self):
        self.blocks = dict(re.findall(r"```(ini|json)\n(.*?)```", PAGE.read_text(), re.DOTALL))

    def read(self, path):
        return self.blocks[path].encode()

    def exists(self, path):
        return path in self.blocks

    def runs(self, path):
        return path == "json"

    def list(self, path):
        return self.read(path) if path == "json" else ()


def loaded(path):
    files = Shown()
    found = load_inventory(files, [path], FleetSettings("/fleet", "t"), {}, files)
    return {node.name: (node.pool, node.chip, node.endpoint.port) for node in found.nodes}


def test_the_hosts_file_in_ini():
    assert loaded("ini") == {
        "mac-01": ("chat", "m4", 22),
        "mac-02": ("chat", "m4", 22),
        "mac-03": ("chat", "", 2222),
    }


def test_what_a_program_prints():
    assert loaded("json") == {
        "mac-01": ("chat", "", 22),
        "mac-02": ("chat", "", 22),
        "rent-01": ("chat", "m4-pro", 22),
    }
