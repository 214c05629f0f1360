"""What a command that asks nodes has imported when it begins to log in, and what it never imports."""

import json
import subprocess
import sys

import pytest

_WATCHED = """
import json, sys
from macfleet.ssh.pool import SshTransports
told = []
def begin(self, nodes):
    told.append([sorted(node.name for node in nodes), sorted(sys.modules)])
SshTransports.begin = begin
from macfleet.__main__ import main
try: main()
except SystemExit: pass
told.append(sorted(sys.modules))
json.dump(told, sys.stderr)
"""

NEVER = {
    "macfleet.executors.vantage",
    "macfleet.facts.model_probe",
    "macfleet.gateway.node_gateway",
    "macfleet.rollout.arms",
    "macfleet.rollout.carrying",
    "macfleet.rollout.drain_state",
    "macfleet.rollout.loadtest",
    "macfleet.rollout.loadtest_wake",
    "macfleet.rollout.record",
    "macfleet.rollout.strangers",
}
"""What a command that only looks does without."""


def watched(folder, *arguments):
    """Nodes and modules at each beginning of connections, and the modules at the end."""
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, *arguments, "--fleet", str(folder)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    *begun, at_last = json.loads(done.stderr[done.stderr.index("[[") :])
    return begun, set(at_last)


@pytest.mark.parametrize(
    "arguments", [("plan", "playbooks/site.yml"), ("rollout", "stage3", "--check")], ids=lambda each: each[0]
)
def test_logins_begin_before_playbooks_gates_and_the_store_are_imported(fleet, arguments):
    (first, second), at_last = watched(fleet, *arguments)
    assert first[0] == second[0] == ["mac-01", "mac-02"]
    late = {"macfleet.rollout.run", "macfleet.playbooks.load", "macfleet.gates", "macfleet.contract.load"}
    assert not (late | {"jinja2", "paramiko", "importlib.metadata", "macfleet.model.run"}) & set(first[1])
    assert late <= at_last
    assert not {"sqlalchemy", "fabric", "invoke", "asyncio", "httpx", "rich"} & at_last
    assert not NEVER & at_last


def test_a_limit_holds_for_the_first_login_too(fleet):
    begun, _ = watched(fleet, "plan", "playbooks/site.yml", "-l", "mac-02")
    assert [names for names, _ in begun] == [["mac-02"], ["mac-02"]]


def test_an_apply_imports_neither_the_library_for_servers_nor_what_measures(fleet):
    # The first one makes the store's tables, with that library.
    watched(fleet, "apply", "playbooks/site.yml")
    _, at_last = watched(fleet, "apply", "playbooks/site.yml")
    assert {"macfleet.rollout.carrying", "macfleet.store.sqlite_file", "sqlite3"} <= at_last
    measures = {"macfleet.rollout.loadtest", "macfleet.rollout.loadtest_left", "macfleet.rollout.network"}
    measures |= {"macfleet.rollout.bare_cpu", "macfleet.analysis.cells"}
    assert {"sqlalchemy", "asyncio", "numpy", "polars", *measures} & at_last == set()
