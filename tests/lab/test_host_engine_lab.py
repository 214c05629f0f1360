"""host-engine on a lab node: the front in the VM reaches the engine outside of it, and goes when it is not wanted."""

from __future__ import annotations

import json

import pytest

pytestmark = pytest.mark.lab

NAME = "mac-01"
PROJECT, FOLDER = "compose_project.chat-front", "directory./Users/ops/macfleet/front"
# Only the engine outside the VM knows its weights by the node's own path.
ASKED = "curl -fsS --max-time 5 http://127.0.0.1:8090/props"
BODY = {"messages": [{"role": "user", "content": "Count."}], "max_tokens": 100_000, "ignore_eos": True}
STREAM = f"""
curl -sN --max-time 300 -H 'Content-Type: application/json' -d '{json.dumps({**BODY, "stream": True})}' \\
  http://127.0.0.1:8090/v1/chat/completions >stream 2>&1 </dev/null & echo $!
"""


@pytest.fixture
def declared(serving, nodes, tmp_path):
    """A twin of the serving fleet whose first node has a front, its image pinned and on the node."""
    twin = serving.twin(tmp_path / "fleet")
    reference = nodes.state["images"]["front"]
    twin.edit("images.yml", "images:\n", f"images:\n  front: {{reference: '{reference}'}}\n")
    twin.for_node(NAME, arms=[*twin.shared()["arms"], "host-engine"])
    twin("image", "pin")
    twin.commit("A front before the node's own engine")
    twin("rollout", "stage2", "--yes", "-l", NAME)
    yield twin
    if nodes.brewed(NAME, "docker ps -q --filter name=chat-front"):
        serving("rollout", "stage3", "--yes", "-l", NAME)


def layout(fleet):
    return fleet("rollout", "stage3", "--yes", "-l", NAME, "--output", "json").nodes()[NAME]


def row(fleet):
    """What status says of the node."""
    return next(each for each in fleet("status", "-l", NAME, "--output", "json").document["nodes"])


def leaves_and_comes_back(fleet, nodes):
    """Drain the node while somebody streams at the front, and bring it back."""
    asks = int(nodes.brewed(NAME, STREAM))
    nodes.until(NAME, "grep -q data: stream")
    found = row(fleet)
    assert (found["in_flight"], [way["connections"] for way in found["ports"]]) == (1, [1, 0])
    said = fleet("drain", NAME, "--force", "--reason", "a fan's noise")
    assert "1 in flight" in said.text
    assert "2 containers proven stopped" in said.text
    assert "0 requests cut" in said.text
    nodes.until(NAME, f"! kill -0 {asks} 2>/dev/null")
    assert "data: [DONE]" in nodes.login(NAME, "tail -c 100 stream; rm stream").stdout
    found = row(fleet)
    assert [(way["port"], way["closed"]) for way in found["ports"]] == [(8090, True), (8080, True)]
    assert (found["state"], found["serving"], found["disagrees"]) == ("drained", False, "")
    assert nodes.login(NAME, ASKED).returncode == 7
    assert "front" not in nodes.brewed(NAME, "docker ps --format '{{.Names}}'")
    fleet("undrain", NAME)
    assert "/Users/ops/models/" in nodes.brewed(NAME, ASKED)
    found = row(fleet)
    assert ([way["closed"] for way in found["ports"]], found["serving"]) == ([False, False], True)


def test_a_declared_front_serves_the_nodes_own_engine_leaves_service_with_it_and_is_gone_when_it_is_not_declared(
    declared, nodes
):
    made = layout(declared)
    assert PROJECT in made["changed"]
    proven = [gate for gate in made["verdicts"] if gate["gate"] == "routes_answer"]
    assert [gate["outcome"] for gate in proven] == ["pass", "pass"]
    assert proven[1]["evidence"] == ["endpoint.host-engine"]
    assert "/Users/ops/models/" in nodes.brewed(NAME, ASKED)
    again = layout(declared)
    assert (again["outcome"], again["changed"]) == ("current", [])
    leaves_and_comes_back(declared, nodes)
    declared.for_node(NAME, arms=declared.shared()["arms"])
    declared.commit("No front any more")
    assert layout(declared)["changed"] == [PROJECT, FOLDER]
    left = nodes.brewed(
        NAME, f"docker ps -aq --filter name=chat-front; ls -d {FOLDER.partition('.')[2]} || :"
    )
    assert not left
    assert nodes.login(NAME, ASKED).returncode != 0
