"""What the lab is told and what it tells: its configuration, its state on disk, its status."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError

DEFAULT_NAME = "macfleet-lab"
DEFAULT_SUBNET = "172.28.90.0/24"
MOST_NODES = 40
_REGISTRY_OFFSET = 5
_FIRST_NODE_OFFSET = 11


def default_cache() -> Path:
    """The user's cache folder of the lab (XDG_CACHE_HOME, else ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "macfleet" / "lab"


@dataclass(frozen=True, slots=True)
class LabConfig:
    """How a lab is made.

    Attributes:
        state_dir: folder of this lab's key, known_hosts and `lab.json`.
        nodes: number of nodes, 1 to 40.
        name: prefix of everything the lab makes in the Docker Engine; two names are two labs.
        subnet: IPv4 network of the lab, a /24; addresses in it are fixed.
        cache_dir: built root file systems and layers; kept when the lab goes down.
    """

    state_dir: Path
    nodes: int = 2
    name: str = DEFAULT_NAME
    subnet: str = DEFAULT_SUBNET
    cache_dir: Path = field(default_factory=default_cache)

    def node_names(self) -> tuple[str, ...]:
        """The names of the nodes: mac-01, mac-02 and so on."""
        return tuple(f"mac-{index:02d}" for index in range(1, self.nodes + 1))

    def address(self, offset: int) -> str:
        """The address `offset` places into the lab's network."""
        return str(ipaddress.ip_network(self.subnet)[offset])

    @property
    def registry_address(self) -> str:
        """Address of the registry's container."""
        return self.address(_REGISTRY_OFFSET)

    def node_address(self, index: int) -> str:
        """Address of the node with this index, counted from 0."""
        return self.address(_FIRST_NODE_OFFSET + index)


@dataclass(frozen=True, slots=True)
class LabNode:
    """One simulated Mac: its name in the inventory, its SSH end point, its outer container."""

    name: str
    address: str
    port: int
    user: str
    container: str


@dataclass(frozen=True, slots=True)
class LabImages:
    """References in the lab's registry.

    Attributes:
        engine: the inference engine, pinned by the digest of its index.
        python: the load generator's Python, pinned by the digest of its index.
        foreign: a tag whose only manifest is linux/arm64.
        mutable: a tag of the engine, for what must be refused.
        front: HAProxy for the arm host-engine, pinned by the digest of its index; empty in the record of a
            lab that an earlier version made.
    """

    engine: str
    python: str
    foreign: str
    mutable: str
    front: str = ""


@dataclass(frozen=True, slots=True)
class LabWeights:
    """The weights file every node holds: path on the node, size in bytes, SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class LabState:
    """A lab that is up, as `lab.json` records it; `platform` is what its engines run."""

    name: str
    subnet: str
    platform: str
    nodes: tuple[LabNode, ...]
    key: str
    known_hosts: str
    registry: str
    images: LabImages
    weights: LabWeights


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Whether a node's container runs and whether its sshd answers; the faults that are planted on it."""

    name: str
    address: str
    running: bool
    ssh: bool
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabStatus:
    """What is there: the engine, the registry, the nodes; `up` when all of it answers."""

    engine: bool
    registry: bool
    nodes: tuple[NodeStatus, ...]

    @property
    def up(self) -> bool:
        """True when the engine, the registry and every node answer, and there is a node."""
        answering = all(node.running and node.ssh for node in self.nodes)
        return self.engine and self.registry and bool(self.nodes) and answering


def check_config(config: LabConfig) -> None:
    """Refuse what cannot become a lab.

    Raises:
        MacfleetError: number of nodes out of range or a subnet that is not a /24.
    """
    found = []
    if not 1 <= config.nodes <= MOST_NODES:
        found.append(
            Diagnostic(
                "E0901",
                f"a lab has 1 to {MOST_NODES} nodes, not {config.nodes}",
                mend="macfleet lab up --nodes 2",
            )
        )
    try:
        network = ipaddress.ip_network(config.subnet)
        right = network.version == 4 and network.prefixlen == 24
    except ValueError:
        right = False
    if not right:
        found.append(
            Diagnostic(
                "E0902",
                f"{config.subnet!r} is not an IPv4 network of 256 addresses",
                mend="such as 172.28.90.0/24",
            )
        )
    if found:
        raise MacfleetError(found)


def state_file(config: LabConfig) -> Path:
    """Where the state of this lab is recorded."""
    return config.state_dir / "lab.json"


def write_state(config: LabConfig, state: LabState) -> None:
    """Record the state of a lab that is up, whole or not at all."""
    config.state_dir.mkdir(parents=True, exist_ok=True)
    target = state_file(config)
    fresh = target.with_suffix(".json.new")
    fresh.write_text(json.dumps(dataclasses.asdict(state), indent=2) + "\n")
    fresh.replace(target)


def read_state(config: LabConfig) -> LabState | None:
    """The recorded state, or None where no lab has been up.

    Raises:
        MacfleetError: the file is not what `up` writes.
    """
    target = state_file(config)
    if not target.exists():
        return None
    try:
        return TypeAdapter(LabState).validate_json(target.read_bytes())
    except ValidationError as problem:
        raise MacfleetError(
            Diagnostic(
                "E0903",
                "the record of the lab cannot be read",
                why=str(problem.errors()[0]["msg"]),
                mend="macfleet lab up writes it anew",
                where=Location(str(target)),
            )
        ) from None
