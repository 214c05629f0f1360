"""The lab: simulated Mac nodes with real OpenSSH, Docker Engine, Compose, registry and inference."""

from macfleet.lab.lifecycle import down, status, up
from macfleet.lab.state import LabConfig, LabImages, LabNode, LabState, LabStatus, LabWeights, NodeStatus

__all__ = [
    "LabConfig",
    "LabImages",
    "LabNode",
    "LabState",
    "LabStatus",
    "LabWeights",
    "NodeStatus",
    "down",
    "status",
    "up",
]
