"""`image smoke` on a fleet folder: what is said of nodes, and of one that does not answer."""

from __future__ import annotations

import json

import pytest

from macfleet.model.ports import Completed
from macfleet.sources.starts import ColdStarts


class Printed:
    """Transports of nodes that print one answer to every script, and keep the script."""

    def __init__(self, stdout, status=0):
        self._done = Completed(status, stdout.encode(), b"the engine is gone")
        self.scripts = []

    def to(self, _node):
        return self

    def run(self, script, **_):
        self.scripts.append(script)
        return self._done

    def close(self):
        pass


@pytest.fixture
def answer(monkeypatch):
    def answering(stdout, status=0):
        nodes = Printed(stdout, status)
        monkeypatch.setattr("macfleet.cli.fleet.FleetContext.transports", nodes)
        return nodes

    return answering


def test_a_service_that_starts_alone_is_a_tick(run, fleet, answer):
    nodes = answer("state running 0 healthy\n")
    code, out, _ = run("image", "smoke", "-l", "mac-01", "--wait", "5")
    assert (code, out) == (0, "✓ mac-01: starts without a network (running, health healthy)\n")
    assert "/Users/ops/macfleet/compose.yaml" in nodes.scripts[0]
    assert "macfleet-smoke-" in nodes.scripts[0]


@pytest.mark.parametrize("called", ["registry.example/e@sha256:{}", "registry.example/e:sha256-{}"])
def test_a_cold_start_is_kept_by_the_digest_of_its_image(run, fleet, answer, called):
    digest = "ab" * 32
    answer(f"state running 0 healthy\ncold 12 {called.format(digest)}\n")
    code, out, _ = run("image", "smoke", "-l", "mac-01")
    assert (code, "health healthy, ready after 12 s" in out) == (0, True)
    answer(f"state running 0 healthy\ncold 14 {called.format(digest)}\n")
    assert run("image", "smoke", "-l", "mac-02")[0] == 0
    starts = ColdStarts(fleet / ".macfleet" / "starts").of(f"sha256:{digest}")
    assert {name: start.seconds for name, start in starts.items()} == {"mac-01": 12, "mac-02": 14}


@pytest.mark.parametrize("image", ["", "registry.example/e:latest", "../../etc/passwd"])
def test_a_start_of_an_image_without_a_digest_is_not_kept(run, fleet, answer, image):
    answer(f"state running 0 healthy\ncold 12 {image}\n")
    assert run("image", "smoke", "-l", "mac-01")[0] == 0
    assert not (fleet / ".macfleet" / "starts").exists()


def test_what_is_fetched_is_exit_7_and_named(run, fleet, answer):
    answer("state exited 1 -\nfetch curl: (6) Could not resolve host: hub.example\nlast bye\n")
    code, out, err = run("image", "smoke", "-l", "mac-01", "--output", "json")
    assert code == 7
    assert json.loads(out.splitlines()[0])["nodes"]["mac-01"]["faults"][0].startswith(
        "it fetches at run time from hub.example: "
    )
    assert "E0673" in out + err


def test_a_trial_that_did_not_end_is_exit_4(run, fleet, answer):
    answer("", status=1)
    code, out, err = run("image", "smoke", "-l", "mac-01")
    assert code == 4
    assert "the trial did not end: the engine is gone" in out + err


def test_a_node_that_does_not_answer_is_exit_5(run, fleet):
    assert run("image", "smoke", "-l", "mac-01")[0] == 5
