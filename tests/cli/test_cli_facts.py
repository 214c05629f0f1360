"""`facts`: what was read stands beside what could not be, and the exit code says so."""

from __future__ import annotations

import json

import pytest

from macfleet.cli.fleet import FleetContext
from macfleet.model.exit_codes import ExitCode
from macfleet.testing import FakeMacs

MINI = "printf '15.5\\n24F74\\narm64\\n25769803776\\n10\\nApple M4\\nMac16,10\\n'"


@pytest.fixture
def macs(fleet, tmp_path, monkeypatch):
    """mac-01 is a mini; mac-02 does not answer."""
    made = FakeMacs(tmp_path / "nodes")
    made.mac("mac-01").programs["sysctl"] = MINI
    made.mac("mac-02").reachable = False
    monkeypatch.setattr(FleetContext, "transports", made)
    return made


def test_facts_are_typed_and_grouped(run, macs):
    code, out, _ = run("facts", "-l", "mac-01", "--output", "json")
    document = json.loads(out)
    assert (code, len(macs.mac("mac-01").scripts)) == (0, 1)
    assert document["nodes"]["mac-01"]["system"] == {
        "macos": "15.5",
        "build": "24F74",
        "arch": "arm64",
        "memory": 25769803776,
        "cpus": 10,
        "chip": "Apple M4",
        "model": "Mac16,10",
        "simulated": "",
    }


def test_what_was_read_is_shown_though_another_node_does_not_answer(run, macs):
    code, out, err = run("facts", "-l", "mac-01,mac-02")
    assert code == ExitCode.UNREACHABLE
    assert "system.chip  Apple M4" in out
    assert "error[E0401]: no answer" in err


def test_a_node_that_is_no_mac_is_an_error_and_not_a_node_without_facts(run, macs):
    macs.mac("mac-01").programs["sysctl"] = "echo unknown oid >&2; return 1"
    code, out, err = run("facts", "-l", "mac-01", "--output", "json")
    assert code == ExitCode.NODE_FAILED
    assert json.loads(out)["nodes"] == {}
    assert "mac-01" in err


@pytest.mark.parametrize(("limit", "code"), [("mac-1", 2), ("drained", 8), ("mac-01,", 2)])
def test_a_limit_that_selects_nothing_asks_no_node(run, macs, limit, code):
    assert run("facts", "-l", limit)[0] == code
    assert macs.mac("mac-01").scripts == []
