from __future__ import annotations

import os
import time

import pytest

from macfleet.inventory import FleetSettings, explain, load_inventory
from macfleet.model.diagnostic import MacfleetError
from macfleet.sources.disk import DiskFiles
from macfleet.sources.inventory_script import InventoryScripts


@pytest.fixture
def program(tmp_path):
    """Write a shell program into the fleet folder."""

    def writer(body, mode=0o755):
        (tmp_path / "list.sh").write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / "list.sh").chmod(mode)
        return "list.sh"

    return writer


def refusal(scripts, path):
    with pytest.raises(MacfleetError) as caught:
        scripts.list(path)
    return caught.value.diagnostics[0]


def test_a_program_is_asked_for_its_list_in_the_fleet_folder(tmp_path, program):
    path = program('printf "%s %s" "$1" "$PWD"')
    scripts = InventoryScripts(tmp_path)
    assert scripts.runs(path)
    assert scripts.list(path) == f"--list {tmp_path}".encode()


def test_a_file_that_is_not_executable_is_no_program(tmp_path, program):
    scripts = InventoryScripts(tmp_path)
    assert not scripts.runs(program("true", 0o644))
    assert not scripts.runs("missing")
    assert not scripts.runs(".")


def test_a_failure_carries_what_the_program_said(tmp_path, program):
    found = refusal(InventoryScripts(tmp_path), program("echo partial; echo no token >&2; exit 3"))
    assert (found.code, found.summary) == ("E0231", "the inventory program ended with exit code 3")
    assert found.why == "It said: no token"


@pytest.mark.parametrize(
    ("body", "summary"),
    [("kill -TERM $$", "was ended by SIGTERM"), ("true", "prints nothing"), ("echo; echo", "prints nothing")],
)
def test_a_program_that_says_nothing_says_why(tmp_path, program, body, summary):
    found = refusal(InventoryScripts(tmp_path), program(body))
    assert (found.code, found.summary) == ("E0231", f"the inventory program {summary}")
    assert found.mend


def test_a_program_that_cannot_start_is_named(tmp_path):
    (tmp_path / "x").write_text("#!/no/such/interpreter\n")
    (tmp_path / "x").chmod(0o755)
    assert "cannot be started" in refusal(InventoryScripts(tmp_path), "x").summary


def test_a_slow_program_is_ended_with_everything_it_started(tmp_path, program):
    path = program("sleep 600 & echo $! > child; echo waiting >&2; wait")
    found = refusal(InventoryScripts(tmp_path, deadline=0.5), path)
    assert (found.code, found.why) == ("E0232", "It said: waiting")
    child = int((tmp_path / "child").read_text())
    until = time.monotonic() + 30
    while _lives(child):
        assert time.monotonic() < until
        os.sched_yield()


def test_a_program_that_has_said_all_and_does_not_end_is_ended(tmp_path, program):
    path = program("echo $$ > child; echo {}; exec >&- 2>&-; while :; do sleep 600; done")
    assert refusal(InventoryScripts(tmp_path, deadline=0.5), path).code == "E0232"
    child = tmp_path / "child"
    assert not (child.exists() and _lives(int(child.read_text() or 0)))


def test_a_program_that_never_stops_printing_is_ended(tmp_path, program):
    assert "more than 64 MiB" in refusal(InventoryScripts(tmp_path), program("exec cat /dev/zero")).summary


def test_it_reads_no_terminal(tmp_path, program):
    assert InventoryScripts(tmp_path).list(program("cat; echo done")) == b"done\n"


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 (procfs, read once)
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_in_a_folder_of_sources_gives_nodes_with_their_places(tmp_path):
    folder = tmp_path / "inv"
    folder.mkdir()
    (folder / "mine.ini").write_text("[serving]\nmac-01\n")
    (folder / "hosts.yml").write_text("serving: {vars: {pool: chat}}\n")
    (folder / "hosts.yml").chmod(0o755)
    (folder / "cloud").write_text(
        '#!/bin/sh\necho \'{"serving": ["rent-01"], "_meta": {"hostvars": {"rent-01": {"chip": "m4"}}}}\'\n'
    )
    (folder / "cloud").chmod(0o755)
    scripts = InventoryScripts(tmp_path)
    found = load_inventory(DiskFiles(tmp_path), ["inv"], FleetSettings(str(tmp_path), "t"), {}, scripts)
    assert {node.name: (node.pool, node.chip) for node in found.nodes} == {
        "rent-01": ("chat", "m4"),
        "mac-01": ("chat", ""),
    }
    assert str(explain(found, "rent-01", "chip")[-1].where) == "inv/cloud --list:1:61"
