"""Up, down and status: each may be repeated, and each finds out what is there before it acts."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from macfleet.lab.docker import Docker, find_docker
from macfleet.lab.engine import Report, ensure_engine, stop_engine
from macfleet.lab.engines import base_layer, machine_architecture, push_images
from macfleet.lab.faults import planted
from macfleet.lab.keys import client_key
from macfleet.lab.nodeimage import WEIGHTS_PATH, node_image
from macfleet.lab.nodes import (
    container_name,
    containers,
    ensure_network,
    ensure_nodes,
    ensure_registry,
    host_keys,
    port_answers,
    remove_containers,
)
from macfleet.lab.oci import Registry
from macfleet.lab.state import (
    LabConfig,
    LabNode,
    LabState,
    LabStatus,
    LabWeights,
    NodeStatus,
    check_config,
    read_state,
    state_file,
    write_state,
)
from macfleet.lab.weights import write_weights
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

_REGISTRY_SECONDS = 20.0
_CGROUPS = Path("/sys/fs/cgroup")
SSH_USER = "ops"


def up(config: LabConfig, report: Report) -> LabState:
    """Bring the lab up, or back, and return its state; what runs already is left as it is.

    Args:
        config: what the lab shall be.
        report: called with one line of progress at a time.

    Raises:
        MacfleetError: no engine can be had, an image cannot be built, or a node does not answer.
    """
    check_config(config)
    docker = ensure_engine(report)
    weights = write_weights(config.cache_dir)
    # Two root file systems take a core each; built one after the other they take twice the time.
    with ThreadPoolExecutor(max_workers=1) as pool:
        base = pool.submit(base_layer, config.cache_dir, report)
        image = node_image(docker, config.cache_dir, weights, report)
        base.result()
    private, public_line = client_key(config.state_dir)
    ensure_network(docker, config)
    present = containers(docker, config)
    ensure_registry(docker, config, image, present)
    ensure_nodes(docker, config, image, public_line, present, report)
    registry = Registry(f"{config.registry_address}:5000")
    _wait_for_registry(registry)
    images = push_images(registry, config.cache_dir, report)
    known_hosts = config.state_dir / "known_hosts"
    known_hosts.write_text("".join(f"{line}\n" for line in host_keys(docker, config)))
    state = LabState(
        name=config.name,
        subnet=config.subnet,
        platform=f"linux/{machine_architecture()}",
        nodes=tuple(
            LabNode(name, config.node_address(index), 22, SSH_USER, container_name(config, name))
            for index, name in enumerate(config.node_names())
        ),
        key=str(private),
        known_hosts=str(known_hosts),
        registry=registry.address,
        images=images,
        weights=LabWeights(WEIGHTS_PATH, weights.size, weights.sha256),
    )
    write_state(config, state)
    return state


def down(config: LabConfig, report: Report, *, purge: bool = False) -> None:
    """Remove everything the lab made; `purge` removes its images and cache too.

    The Docker Engine is stopped when the lab started it and nothing else runs in it.
    """
    docker = find_docker()
    if docker is not None and docker.answers():
        remove_containers(docker, config, containers(docker, config), report)
        if purge:
            _remove_images(docker, report)
        _remove_cgroups(f"vm-{config.name}-")
        stop_engine(docker, report)
    for name in ("lab.json", "known_hosts", "id_ed25519", "id_ed25519.pub"):
        (config.state_dir / name).unlink(missing_ok=True)
    if config.state_dir.is_dir() and not any(config.state_dir.iterdir()):
        config.state_dir.rmdir()
    if purge:
        shutil.rmtree(config.cache_dir, ignore_errors=True)


def status(config: LabConfig) -> LabStatus:
    """Look at what is there, changing nothing."""
    docker = find_docker()
    if docker is None or not docker.answers():
        return LabStatus(engine=False, registry=False, nodes=())
    present = containers(docker, config)
    recorded = read_state(config) if state_file(config).exists() else None
    known = {node.name: node.address for node in recorded.nodes} if recorded else {}
    faults = planted(docker, config, recorded) if recorded else {}
    rows = []
    for name, container in sorted(present.items()):
        node = name.removeprefix(f"{config.name}-")
        if node == "registry":
            continue
        address = known.get(node, "")
        answers = bool(address) and container.running and port_answers(address, 22)
        rows.append(NodeStatus(node, address, container.running, answers, faults.get(node, ())))
    registry = Registry(f"{config.registry_address}:5000").answers()
    return LabStatus(engine=True, registry=registry, nodes=tuple(rows))


def _wait_for_registry(registry: Registry) -> None:
    deadline = time.monotonic() + _REGISTRY_SECONDS
    while not registry.answers():
        if time.monotonic() > deadline:
            raise MacfleetError(
                Diagnostic(
                    "E0916",
                    f"the lab's registry does not answer on {registry.address}",
                    mend="macfleet lab down, then macfleet lab up",
                    exit_code=ExitCode.INTERNAL,
                )
            )
        time.sleep(0.05)


def _remove_images(docker: Docker, report: Report) -> None:
    listed = docker.run("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    ours = [reference for reference in listed if reference.startswith("macfleet-lab-node")]
    if ours:
        report(f"removing {len(ours)} images")
        docker.run("image", "rm", "--force", *ours)


def _remove_cgroups(prefix: str) -> None:
    """Remove the empty control groups that killed VMs leave behind."""
    for controller in _CGROUPS.iterdir() if _CGROUPS.is_dir() else ():
        for group in controller.glob(f"{prefix}*") if controller.is_dir() else ():
            for folder, _, _ in os.walk(group, topdown=False):
                try:
                    Path(folder).rmdir()
                except OSError:
                    continue
