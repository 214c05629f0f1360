"""The running lab as files of a fleet folder: inventory, images, weights."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from macfleet.lab.fleetfile import render_inventory
from macfleet.lab.state import LabState

# A folder of its own: the example's group_vars/ and host_vars/ must not speak for lab nodes.
INVENTORY = "inventory/lab/hosts.yml"


def fleet_files(state: LabState, memory: int, known_hosts: str) -> Mapping[str, str]:
    """Return the text of every file that makes a fleet folder speak of this lab, by path.

    Args:
        state: a lab that is up.
        memory: memory of the machine in bytes.
        known_hosts: text of the lab's known_hosts.
    """
    return {
        INVENTORY: render_inventory(state, memory, known_hosts),
        "images.yml": _images(state),
        "weights.lock": _weights(state),
    }


def _images(state: LabState) -> str:
    document = {
        "images": {
            "engine": {"reference": state.images.engine},
            "loadgen": {"reference": state.images.python},
        },
        "registries": {state.registry: {"plain_http": True}},
    }
    return "# Images of the lab's own registry.\n" + yaml.safe_dump(document, sort_keys=False)


def _weights(state: LabState) -> str:
    weights = state.weights
    row = {"path": weights.path, "size": weights.size, "sha256": weights.sha256}
    head = "# A tiny model of random weights that every lab node holds.\n"
    return head + yaml.safe_dump({"files": [row]}, sort_keys=False)
