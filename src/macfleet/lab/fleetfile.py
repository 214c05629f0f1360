"""The lab's nodes as an inventory."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import yaml

from macfleet.lab.state import LabState

_GIB = 2**30
_HEAD = "# Written by `macfleet lab up --write-inventory`: simulated Macs, all on one machine.\n"
_OFFERS = {"owned": "mini-m4-24", "rented": "scw-m4-xl"}


def render_inventory(state: LabState, memory: int, known_hosts: str) -> str:
    """Return the lab's nodes in Ansible's YAML layout, group ``serving``.

    Args:
        state: a lab that is up.
        memory: memory of the machine in bytes; the nodes report it rounded up to whole GiB.
        known_hosts: text of the lab's known_hosts; its keys are pinned node by node.
    """
    pins = fingerprints(known_hosts)
    hosts: dict[str, dict[str, object]] = {}
    for index, node in enumerate(state.nodes):
        ownership = "rented" if index % 2 else "owned"
        hosts[node.name] = {
            "ansible_host": node.address,
            "ansible_port": node.port,
            "ownership": ownership,
            "offer": _OFFERS[ownership],
            # One node pulls from the registry, the next gets its images over SSH: both ways are exercised.
            "delivery": "push" if index % 2 else "pull",
            **({"host_key": pins[node.address]} if node.address in pins else {}),
        }
    shared = {
        "ansible_user": state.nodes[0].user,
        "ansible_ssh_private_key_file": state.key,
        "platform": state.platform,
        "chip": "m4",
        "memory": f"{-(-memory // _GIB)}GiB",
        "pool": "chat",
        "arms": ["bare", "container"],
        "hardware": "lab",
        "min_ready": 0,
        # There is no GPU here. One engine thread of low priority, the same in both arms, leaves the load
        # client the core it needs to be on time.
        "accelerator": "cpu",
        "engine_threads": 1,
        "bare_arguments": ["--device", "none", "-ngl", "0", "--prio", "-1"],
        "container_arguments": ["--device", "none", "-ngl", "0", "--prio", "-1"],
        "docker_daemon": {"insecure-registries": [state.registry]},
        "roots": {"weights": "/Users/ops/models", "cache": "/Users/ops/hf", "logs": "/Users/ops/logs"},
        "colima": {"cpus": 2, "memory": "2GiB", "disk": "20GiB"},
    }
    document = {"all": {"children": {"serving": {"vars": shared, "hosts": hosts}}}}
    return _HEAD + yaml.safe_dump(document, sort_keys=False)


def fingerprints(known_hosts: str) -> dict[str, str]:
    """Return ``SHA256:…`` by address for the lines of a known_hosts text."""
    found = {}
    for line in known_hosts.splitlines():
        address, _, key = line.split()[:3]
        digest = hashlib.sha256(base64.b64decode(key)).digest()
        found[address] = "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    return found


def machine_memory() -> int:
    """Memory of this machine in bytes, from /proc/meminfo."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
