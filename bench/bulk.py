"""A large file to several nodes: macfleet's stream beside as many `scp`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from macfleet.lab.thin import ThinLab, ThinNode
from macfleet.model.node import Endpoint, Node
from macfleet.ssh import SshTransports

_PIECE = 256 * 1024


def measure(lab: ThinLab, scratch: Path, size: int) -> dict[str, float]:
    """Return the seconds of each tool, connections included, and prove what arrived."""
    source = scratch / "source"
    with source.open("wb") as file:
        for _ in range(size // 2**20):
            file.write(os.urandom(2**20))
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    found = {"scp": _together(lab, lambda node: _scp(lab, node, source, scratch))}
    _prove(lab, digest)
    transports = SshTransports(scratch / "known_hosts")
    try:
        found["macfleet"] = _together(lab, lambda node: _stream(transports, lab, node, source))
    finally:
        transports.close()
    _prove(lab, digest)
    return found


def _together(lab: ThinLab, send: Callable[[ThinNode], None]) -> float:
    threads = [threading.Thread(target=send, args=(node,)) for node in lab.nodes]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def _scp(lab: ThinLab, node: ThinNode, source: Path, scratch: Path) -> None:
    options = ["-o", f"UserKnownHostsFile={scratch}/scp_hosts", "-o", "StrictHostKeyChecking=accept-new"]
    target = f"{lab.user}@127.0.0.1:{node.home}/large"
    subprocess.run(
        ["scp", "-q", "-i", lab.key, "-P", str(node.port), *options, source, target], check=True, stderr=-3
    )


def _stream(transports: SshTransports, lab: ThinLab, node: ThinNode, source: Path) -> None:
    endpoint = Endpoint("127.0.0.1", node.port, lab.user, identity_file=lab.key, host_key=node.host_key)
    done = transports.to(Node(name=node.name, endpoint=endpoint)).run(
        f"cat >{node.home}/large", stdin=_pieces(source), deadline=600.0
    )
    if done.exit != 0:
        raise SystemExit(f"{node.name}: {done.stderr.decode()}")


def _pieces(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _prove(lab: ThinLab, digest: str) -> None:
    for node in lab.nodes:
        large = Path(node.home) / "large"
        with large.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                raise SystemExit(f"{node.name} did not receive the file whole")
        large.unlink()
