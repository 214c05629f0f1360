"""The outer containers: network, registry, nodes."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from macfleet.lab.docker import Docker
from macfleet.lab.engine import Report
from macfleet.lab.state import LabConfig
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

# The engine here asks for CAP_SYS_RESOURCE under --privileged, which the machine may not have.
_CAPABILITIES = (
    "SYS_ADMIN",
    "NET_ADMIN",
    "SYS_PTRACE",
    "NET_RAW",
    "MKNOD",
    "SYSLOG",
    "SYS_CHROOT",
    "LINUX_IMMUTABLE",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "SYS_NICE",
    "SYS_MODULE",
    "SYS_TIME",
    "AUDIT_CONTROL",
)
_SSH_SECONDS = 30.0
LABEL = "macfleet.lab"


@dataclass(frozen=True, slots=True)
class Container:
    """A container of the lab as the engine sees it."""

    name: str
    running: bool
    image: str


def container_name(config: LabConfig, node: str) -> str:
    """The outer container of a node, or of the registry."""
    return f"{config.name}-{node}"


def containers(docker: Docker, config: LabConfig) -> dict[str, Container]:
    """Every container of this lab by name."""
    rows = docker.run(
        "ps", "-a", "--no-trunc", "--filter", f"label={LABEL}={config.name}", "--format", "{{json .}}"
    ).splitlines()
    found = {}
    for row in rows:
        data = json.loads(row)
        found[data["Names"]] = Container(data["Names"], data["State"] == "running", data["Image"])
    return found


def ensure_network(docker: Docker, config: LabConfig) -> None:
    """Make the lab's network unless it is there.

    Raises:
        MacfleetError: a network of that name has another subnet, or the engine refuses the subnet.
    """
    asked = docker.attempt("network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", config.name)
    if asked.returncode:
        docker.run(
            "network", "create", "--subnet", config.subnet, "--label", f"{LABEL}={config.name}", config.name
        )
        return
    subnet = asked.stdout.decode().strip()
    if subnet != config.subnet:
        raise MacfleetError(
            Diagnostic(
                "E0914",
                f"the network {config.name} is {subnet}, not {config.subnet}",
                why="A lab keeps its addresses for life.",
                mend="macfleet lab down, then macfleet lab up",
            )
        )


def ensure_registry(docker: Docker, config: LabConfig, image: str, present: dict[str, Container]) -> None:
    """Start the registry's container, made unless it is there."""
    name = container_name(config, "registry")
    found = present.get(name)
    if found is None:
        volume = f"{name}:/var/lib/registry"
        docker.run(
            "run",
            "--detach",
            *_identity(config, "registry", config.registry_address),
            "--volume",
            volume,
            "--entrypoint",
            "/opt/lab/registry-entry",
            image,
        )
    elif not found.running:
        docker.run("start", name)


def ensure_nodes(
    docker: Docker,
    config: LabConfig,
    image: str,
    public_key: str,
    present: dict[str, Container],
    report: Report,
) -> None:
    """Start every node, made unless it is there, and wait until each answers on its SSH port."""
    names = config.node_names()
    missing = [name for name in names if container_name(config, name) not in present]
    if missing:
        report(f"starting {len(missing)} nodes" if len(missing) > 1 else f"starting {missing[0]}")

    def ensure(index: int) -> None:
        name = names[index]
        container = container_name(config, name)
        found = present.get(container)
        if found is None:
            _create_node(docker, config, name, config.node_address(index), image)
        elif found.image != image:
            report(f"{name} keeps the image it was made from: macfleet lab down, then up, renews it")
        if found is None or not _has_key(docker, container, public_key):
            docker.run("cp", "-", f"{container}:/", stdin=_key_archive(public_key))
        if found is None or not found.running:
            docker.run("start", container)
        _wait_for_port(name, config.node_address(index), 22)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(ensure, range(len(names))))


def host_keys(docker: Docker, config: LabConfig) -> list[str]:
    """The known_hosts lines of the nodes, read out of their containers, not off the network."""
    lines = []
    for index, name in enumerate(config.node_names()):
        text = docker.run(
            "exec",
            container_name(config, name),
            "/opt/linux-real/bin/cat",
            "/etc/ssh/ssh_host_ed25519_key.pub",
        )
        kind, key = text.split()[:2]
        lines.append(f"{config.node_address(index)} {kind} {key}")
    return lines


def remove_containers(docker: Docker, config: LabConfig, names: Iterable[str], report: Report) -> None:
    """Remove containers with their volumes, and the network and volumes of the lab."""
    listed = list(names)
    if listed:
        report(f"removing {len(listed)} containers")
        docker.run("rm", "--force", "--volumes", *listed)
    label = f"label={LABEL}={config.name}"
    volumes = set(docker.run("volume", "ls", "-q", "--filter", f"name={config.name}-").split())
    if volumes:
        docker.run("volume", "rm", "--force", *sorted(volumes))
    networks = docker.run("network", "ls", "-q", "--filter", label).split()
    if networks:
        docker.run("network", "rm", *networks)


def port_answers(address: str, port: int, timeout: float = 1.0) -> bool:
    """Whether an SSH server greets on this port."""
    try:
        with socket.create_connection((address, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _identity(config: LabConfig, name: str, address: str) -> list[str]:
    return [
        *("--name", container_name(config, name), "--hostname", name, "--label", f"{LABEL}={config.name}"),
        *("--network", config.name, "--ip", address, "--log-opt", "max-size=10m"),
    ]


def _create_node(docker: Docker, config: LabConfig, name: str, address: str, image: str) -> None:
    options = [option for capability in _CAPABILITIES for option in ("--cap-add", capability)]
    for kind in ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"):
        options += ["--security-opt", kind]
    container = container_name(config, name)
    docker.run(
        "create",
        *_identity(config, name, address),
        *options,
        *("--device-cgroup-rule", "a *:* rwm", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
        *("--volume", f"{container}:/var/lib/docker", "--tmpfs", "/run:exec,mode=755", "--stop-timeout", "5"),
        *("--env", f"LAB_CGROUP={container}"),
        image,
    )


def _has_key(docker: Docker, container: str, public_key: str) -> bool:
    archive = docker.attempt("cp", f"{container}:/Users/ops/.ssh/authorized_keys", "-")
    return archive.returncode == 0 and public_key.encode() in archive.stdout


def _key_archive(public_key: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo("Users/ops/.ssh")
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o700, 501, 20
        archive.addfile(folder)
        content = f"{public_key}\n".encode()
        file = tarfile.TarInfo("Users/ops/.ssh/authorized_keys")
        file.size, file.mode, file.uid, file.gid = len(content), 0o600, 501, 20
        archive.addfile(file, io.BytesIO(content))
    return buffer.getvalue()


def _wait_for_port(name: str, address: str, port: int) -> None:
    deadline = time.monotonic() + _SSH_SECONDS
    while not port_answers(address, port):
        if time.monotonic() > deadline:
            raise MacfleetError(
                Diagnostic(
                    "E0915",
                    f"{name} does not answer on {address}:{port}",
                    mend=f"docker logs the container of {name}; macfleet lab down, then macfleet lab up",
                    node=name,
                    exit_code=ExitCode.UNREACHABLE,
                )
            )
        time.sleep(0.05)
