"""Asking ansible-core, in an environment of its own, what it makes of a case; and macfleet the same."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from macfleet.inventory.merge import Merger
from macfleet.inventory.sources import read_tree

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".oracle" / "bin" / "python"
DRIVER = Path(__file__).with_name("oracle_driver.py")
NO_VARIABLE = ("ansible_group_priority",)
NOT_HERE = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="no ansible-core here: run scripts/oracle.sh"),
]


class Oracle:
    """One Ansible process that answers case after case."""

    def __init__(self, process):
        self.process = process
        self.seen = Counter()

    def ask(self, case):
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the oracle ended"
        return json.loads(answer)


class Texts:
    """The `Files` and `Scripts` ports over a case."""

    def __init__(self, case):
        self.texts = case["files"]
        self.printed = case.get("printed", {})

    def read(self, path):
        return self.texts[path].encode()

    def exists(self, path):
        return path in self.texts

    def list(self, folder):
        if folder in self.printed:
            return self.printed[folder].encode()
        return tuple(sorted(path for path in self.texts if path.startswith(f"{folder}/")))

    def runs(self, path):
        return path in self.printed


def ours(case):
    """Return what macfleet makes of a case: merged variables as written, groups, and problems' codes."""
    texts = Texts(case)
    tree = read_tree(texts, case["sources"], texts)
    merger = Merger(tree)
    hosts = {}
    if not tree.problems:
        for node in tree.nodes.values():
            groups = merger.groups_of(node)
            merged = merger.merge(node)
            hosts[node.name] = {
                "groups": sorted({*groups, *(("ungrouped",) if groups == ("all",) else ())}),
                "vars": {name: each.winner.value for name, each in merged.items() if name not in NO_VARIABLE},
            }
    groups = {name: list(group.nodes) for name, group in tree.groups.items()}
    return hosts, groups, {each.code for each in (*tree.problems, *merger.problems)}
