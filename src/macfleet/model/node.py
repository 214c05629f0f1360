"""A Mac of the inventory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from macfleet.model.json import Json


class Arm(StrEnum):
    """Where the engine under test runs."""

    BARE = "bare"
    BARE_CPU = "bare-cpu"
    CONTAINER = "container"
    HOST_ENGINE = "host-engine"


class Ownership(StrEnum):
    """Whose Mac it is."""

    OWNED = "owned"
    RENTED = "rented"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How a node is reached over SSH.

    Attributes:
        host: name or address to connect to.
        port: TCP port.
        user: login name; empty means what ssh_config says.
        identity_file: path of the private key; empty means agent and ssh_config.
        jump: ProxyJump specification; empty means none.
        host_key: pinned ``SHA256:…`` fingerprint; empty means known_hosts alone decides.
    """

    host: str
    port: int = 22
    user: str = ""
    identity_file: str = ""
    jump: str = ""
    host_key: str = ""


@dataclass(frozen=True, slots=True)
class Roots:
    """Absolute directories on the node for weights, caches and logs."""

    weights: str
    cache: str
    logs: str


@dataclass(frozen=True, slots=True)
class VmSize:
    """What Colima gives its VM: CPU count, memory and disk in bytes."""

    cpus: int
    memory: int
    disk: int


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How a node speaks to one registry.

    Attributes:
        host: registry, with port when it has one.
        user: login name; empty means that it is asked without a login.
        password: secret reference such as ``env:NAME``, never the password.
        mirrors: asked before the registry itself, in order: ``host[:port]`` or ``host[:port]/folder``.
    """

    host: str
    user: str = ""
    password: str = ""
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A Mac of the inventory with its typed settings and every variable a template may use.

    Attributes:
        name: inventory name, unique.
        groups: every group the node is in, explicit and implicit (``rented``, ``m4``…), sorted.
        platform: what the node's containers must be, such as ``linux/arm64``.
        memory: unified memory in bytes; 0 when the inventory does not say.
        arms: arms the inventory declares.
        hardware: nodes with one value share one machine and are never measured together.
        delivery: ``pull`` from a registry or ``push`` over SSH.
        registries: logins and mirrors of the registries it pulls from, sorted by host.
        relay: whether pushed layers go from node to node within its site.
        site_address: name or address on its site's network; empty means that of the endpoint.
        client_processes: processes of the load client, where one cannot keep up.
        variables: all merged variables by name, as JSON values, secrets excluded.
    """

    name: str
    endpoint: Endpoint
    groups: tuple[str, ...] = ()
    platform: str = "linux/arm64"
    chip: str = ""
    hardware_model: str = ""
    memory: int = 0
    ownership: Ownership = Ownership.OWNED
    offer: str = ""
    provider: str = ""
    site: str = ""
    environment: str = ""
    pool: str = ""
    role: str = ""
    arms: tuple[Arm, ...] = ()
    hardware: str = ""
    min_ready: int = 1
    trust: str = "trusted"
    delivery: str = "pull"
    registries: tuple[RegistryAccess, ...] = ()
    relay: bool = False
    site_address: str = ""
    client_processes: int = 1
    roots: Roots | None = None
    colima: VmSize | None = None
    variables: Mapping[str, Json] = field(default_factory=dict)

    @property
    def measured_arms(self) -> tuple[Arm, ...]:
        """The declared arms, and after bare `bare-cpu` where bare has an accelerator the container lacks.

        Without it nobody could tell what the GPU is worth from what virtualisation costs.
        """
        apart = {Arm.BARE, Arm.CONTAINER} <= set(self.arms)
        if not apart or Arm.BARE_CPU in self.arms or self.accelerator(Arm.BARE) == "cpu":
            return self.arms
        place = self.arms.index(Arm.BARE) + 1
        return (*self.arms[:place], Arm.BARE_CPU, *self.arms[place:])

    def accelerator(self, arm: str) -> str:
        """Return ``metal``, ``vulkan`` or ``cpu`` as the inventory says; a Linux container has no Metal."""
        if arm in (Arm.CONTAINER, Arm.BARE_CPU):
            return "cpu"
        return str(self.variables.get("accelerator") or "metal")
