"""The inventory a lab writes is one the fleet can read."""

from __future__ import annotations

import dataclasses

import yaml

from macfleet.lab.fleetfile import fingerprints, machine_memory, render_inventory
from macfleet.lab.state import LabImages, LabNode, LabState, LabWeights

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIGk+9Y5hQ0E3m0RzqJz6kq0N3bTn9bVXxq6m4m8Wl0wS"
NODES = tuple(LabNode(f"mac-0{i}", f"172.28.90.1{i}", 22, "ops", f"lab-mac-0{i}") for i in (1, 2))
STATE = LabState(
    "lab",
    "172.28.90.0/24",
    "linux/amd64",
    NODES,
    "/k",
    "/kh",
    "172.28.90.5:5000",
    LabImages("e", "p", "f", "m"),
    LabWeights("/Users/ops/models/small-chat.gguf", 5, "ab"),
)


def test_nodes_stand_in_the_serving_group_with_their_addresses_and_pins():
    text = render_inventory(STATE, 24 * 2**30 - 5, f"172.28.90.11 ssh-ed25519 {KEY}\n")
    serving = yaml.safe_load(text)["all"]["children"]["serving"]
    assert serving["hosts"]["mac-01"]["ansible_host"] == "172.28.90.11"
    assert serving["hosts"]["mac-01"]["host_key"].startswith("SHA256:")
    assert "host_key" not in serving["hosts"]["mac-02"]
    assert [host["ownership"] for host in serving["hosts"].values()] == ["owned", "rented"]
    assert serving["vars"]["memory"] == "24GiB"
    assert serving["vars"]["platform"] == "linux/amd64"
    assert serving["vars"]["min_ready"] == 0


def test_the_platform_is_what_the_lab_says_it_is():
    other = dataclasses.replace(STATE, platform="linux/arm64")
    document = yaml.safe_load(render_inventory(other, 8 * 2**30, ""))
    assert document["all"]["children"]["serving"]["vars"]["platform"] == "linux/arm64"


def test_fingerprints_are_what_openssh_prints():
    # ssh-keygen -lf of this key
    (found,) = fingerprints(f"host ssh-ed25519 {KEY} a comment\n").values()
    assert len(found) == len("SHA256:") + 43
    assert "=" not in found


def test_the_machine_has_memory():
    assert machine_memory() > 2**28
