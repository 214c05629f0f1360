"""What Colima's VM is made from: our settings, the whole ``colima.yaml``, and Colima's own record of both.

A partial colima.yaml is dangerous: a missing ``runtime`` makes Colima ignore the file, a missing
``mounts`` mounts nothing, missing sizes count as 0. So every key is written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from macfleet.model.resource import State, Value

_GIB = 2**30
FIXED = ("mount_type", "runtime", "vm_type")
"""Fields Colima discards with a warning and exit status 0 once the VM exists."""


@dataclass(frozen=True, slots=True)
class ColimaSettings:
    """Settings of one VM.

    Attributes:
        memory, disk: bytes, whole GiB.
        mounts: ``location[:mount point]:ro`` or ``:rw``, sorted; empty means the home folder, writable.
        docker: the daemon's settings as canonical JSON.
    """

    cpus: int
    memory: int
    disk: int
    mounts: tuple[str, ...]
    docker: str = "{}"
    runtime: str = "docker"
    vm_type: str = "vz"
    mount_type: str = "virtiofs"
    port_forwarder: str = "ssh"
    network_address: bool = False
    rosetta: bool = False
    binfmt: bool = False

    def state(self) -> State:
        """Return the fields that are compared."""
        return {
            "cpus": self.cpus,
            "memory": self.memory,
            "disk": self.disk,
            "mounts": self.mounts,
            "docker": self.docker,
            "runtime": self.runtime,
            "vm_type": self.vm_type,
            "mount_type": self.mount_type,
            "port_forwarder": self.port_forwarder,
            "network_address": self.network_address,
            "rosetta": self.rosetta,
            "binfmt": self.binfmt,
        }

    def render(self) -> str:
        """Return the whole ``colima.yaml``."""
        document = {
            "cpu": self.cpus,
            "disk": self.disk // _GIB,
            "memory": _gib(self.memory),
            "arch": "host",
            "runtime": self.runtime,
            "modelRunner": "docker",
            "hostname": None,
            "kubernetes": {"enabled": False, "version": "", "k3sArgs": [], "port": 0},
            "autoActivate": False,
            "network": {
                "address": self.network_address,
                "mode": "shared",
                "interface": "en0",
                "preferredRoute": False,
                "dns": [],
                "dnsHosts": {"host.docker.internal": "host.lima.internal"},
                "hostAddresses": False,
                "gatewayAddress": "192.168.5.2",
            },
            "forwardAgent": False,
            "docker": json.loads(self.docker),
            "vmType": self.vm_type,
            "portForwarder": self.port_forwarder,
            "rosetta": self.rosetta,
            "binfmt": self.binfmt,
            "nestedVirtualization": False,
            "mountType": self.mount_type,
            "mountInotify": False,
            "cpuType": "",
            "provision": [],
            "sshConfig": False,
            "sshPort": 0,
            "mounts": [_mount_entry(mount) for mount in self.mounts],
            "diskImage": "",
            "rootDisk": 20,
            "env": {},
        }
        return yaml.safe_dump(document, sort_keys=False, default_flow_style=False)


def mount(location: str, mount_point: str, *, writable: bool) -> str:
    """Return one mount in the form that is compared."""
    place = location.rstrip("/") + (f":{mount_point.rstrip('/')}" if mount_point else "")
    return f"{place}:{'rw' if writable else 'ro'}"


def read_applied(text: str) -> dict[str, Value]:
    """Return the compared fields of a ``colima.yaml`` as Colima recorded it.

    Raises:
        ValueError: the text is not a YAML mapping, or a field has an unexpected type.
    """
    try:
        loaded = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"the applied colima.yaml cannot be read: {error}") from error
    if not isinstance(loaded, Mapping):
        raise ValueError("the applied colima.yaml is not a mapping")  # noqa: TRY004  (parsers raise ValueError)
    network = loaded.get("network") or {}
    try:
        return {
            "cpus": int(loaded.get("cpu") or 0),
            "memory": round(float(loaded.get("memory") or 0) * _GIB),
            "disk": int(loaded.get("disk") or 0) * _GIB,
            "mounts": tuple(sorted(_mount(entry) for entry in loaded.get("mounts") or ())),
            "docker": canonical(loaded.get("docker") or {}),
            "runtime": str(loaded.get("runtime") or ""),
            "vm_type": str(loaded.get("vmType") or ""),
            "mount_type": str(loaded.get("mountType") or ""),
            "port_forwarder": str(loaded.get("portForwarder") or "ssh"),
            "network_address": bool(network.get("address")),
            "rosetta": bool(loaded.get("rosetta")),
            "binfmt": bool(loaded.get("binfmt")),
        }
    except (AttributeError, TypeError, KeyError) as error:
        raise ValueError(f"the applied colima.yaml has an unexpected shape: {error}") from error


def canonical(settings: object) -> str:
    """Return JSON with sorted keys, so that equal settings are equal text."""
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))


def _gib(size: int) -> int | float:
    amount = size / _GIB
    return int(amount) if amount == int(amount) else amount


def _mount(entry: Mapping[str, object]) -> str:
    place = str(entry.get("mountPoint") or "")
    return mount(str(entry["location"]), place, writable=bool(entry.get("writable")))


def _mount_entry(text: str) -> dict[str, object]:
    location, *place, access = text.split(":")
    point = {"mountPoint": place[0]} if place else {}
    return {"location": location, **point, "writable": access == "rw"}
