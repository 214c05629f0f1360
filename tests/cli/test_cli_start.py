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
    "macfleet.engine.apply",
    "macfleet.engine.batch",
    "macfleet.engine.transfer",
    "macfleet.executors.vantage",
    "macfleet.facts.model_probe",
    "macfleet.gateway.node_gateway",
    "macfleet.rollout.arms",
    "macfleet.rollout.carrying",
    "macfleet.rollout.drain_state",
    "macfleet.rollout.loadtest",
    "macfleet.rollout.loadtest_wake",
    "macfleet.rollout.record",
    "macfleet.rollout.relay",
    "macfleet.rollout.strangers",
    "macfleet.rollout.witness",
    "macfleet.sources.secrets",
    "macfleet.store.folder_runs",
    "macfleet.views.event_kinds",
}
"""What a command that only looks does without."""
LATE = {
    "macfleet.contract.load",
    "macfleet.gates",
    "macfleet.model.load",
    "macfleet.model.resource",
    "macfleet.model.stage",
    "macfleet.playbooks.load",
    "macfleet.rollout.run",
}
"""What it needs only after it began to log in."""
PLAIN = """
- name: A file
  stage: provision
  hosts: serving
  vars: {revision: "1"}
  tasks:
    - file: {path: "/tmp/{{ inventory_hostname }}.conf", content: "revision {{ revision }}"}
  gates:
    - converged: {}
"""


def told(folder, *arguments):
    """What a command says on stderr."""
    argv = [sys.executable, "-m", "macfleet", *arguments, "--fleet", str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stderr


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
    others = {"jinja2", "paramiko", "importlib.metadata", "macfleet.model.run", "macfleet.ssh.known_hosts"}
    assert (LATE | others) & set(first[1]) == set()
    assert at_last >= LATE
    assert not {"sqlalchemy", "fabric", "invoke", "asyncio", "httpx", "rich", "encodings.idna"} & at_last
    assert NEVER & at_last == set()


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


def test_a_plan_of_plain_files_imports_neither_templates_nor_other_kinds_and_gates(fleet):
    (fleet / "playbooks/site.yml").write_text(PLAIN)
    (fleet / "images.yml").write_text("images: {}\n")
    (fleet / "images.lock").unlink()
    _, at_last = watched(fleet, "plan", "playbooks/site.yml")
    assert {"macfleet.resources.file", "macfleet.gates.converged", "macfleet.rollout.run"} <= at_last
    assert (NEVER | {"jinja2", "macfleet.gates.params"}) & at_last == set()
    assert {name for name in at_last if name.startswith("macfleet.resources.")} == {
        f"macfleet.resources.{name}" for name in ("file", "ownership", "params", "regular", "secret_content")
    }


def test_a_plan_is_not_stopped_by_what_is_wrong_in_a_later_stage_but_by_an_earlier_one(fleet):
    (fleet / "playbooks/stage2-images.yml").write_text("- stage: nonsense")
    refused = {
        name: "stage2-images.yml" in told(fleet, "plan", f"playbooks/{name}.yml")
        for name in ("site", "stage1-contract", "stage2-images", "stage3-layout")
    }
    assert refused == {
        "site": False,
        "stage1-contract": False,
        "stage2-images": True,
        "stage3-layout": True,
    }
