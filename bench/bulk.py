"""A large file to several nodes: macfleet's delivery beside as many `scp`, and one that is broken off."""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from macfleet.engine.transfer import Delivered, deliver
from macfleet.lab.thin import ThinLab
from macfleet.lab.thin_servers import ThinNode
from macfleet.model.node import Endpoint, Node
from macfleet.ssh import SshTransports
from macfleet.ssh.parcels import file_parcel

_DEADLINE = 600.0
_ROUNDS = 3


class _BrokenOffError(Exception):
    """What the benchmark raises in the middle of a transfer."""


@dataclass(frozen=True, slots=True)
class Found:
    """Seconds of `scp`, of `scp` and a digest of what arrived, of macfleet's delivery, which proves it too.

    Attributes:
        stream: seconds of the same bytes over the kept connection without a proof.
        kept: bytes, at least, that were on each node after its transfer had been broken off at half.
        resumed: bytes, at most, that were sent to go on with one.
        rest_alone: whether each was sent what was missing and no byte more.
    """

    scp: float
    proven_scp: float
    delivery: float
    stream: float
    kept: int
    resumed: int
    rest_alone: bool


def measure(lab: ThinLab, scratch: Path, size: int) -> Found:
    """Measure in turn, connections included, medians of the rounds, and prove what arrived each time."""
    source = scratch / "source"
    with source.open("wb") as file:
        for _ in range(size // 2**20):
            file.write(os.urandom(2**20))
    with_kept = _Kept(lab, scratch, source)
    rounds: list[tuple[float, ...]] = []
    for _ in range(_ROUNDS):
        scp = _together(lab, lambda node: _scp(lab, node, source, scratch))
        proven = scp + _together(lab, _digest)
        _prove(lab, source)
        stream = with_kept.seconds(with_kept.stream)
        _prove(lab, source)
        rounds.append((scp, proven, stream, with_kept.seconds(with_kept.deliver)))
        _prove(lab, source)
    with_kept.seconds(with_kept.break_off)
    resumed: list[Delivered] = []
    with_kept.seconds(lambda transports, node: resumed.append(with_kept.deliver(transports, node)))
    _prove(lab, source)
    kept, sent = min(each.found for each in resumed), max(each.sent for each in resumed)
    alone = all(each.sent + each.found == size for each in resumed) and kept > 0
    scp, proven, stream, delivery = (statistics.median(column) for column in zip(*rounds, strict=True))
    return Found(scp, proven, delivery, stream, kept, sent, alone)


class _Kept:
    """Sends over connections of its own, opened anew for each turn."""

    def __init__(self, lab: ThinLab, scratch: Path, source: Path) -> None:
        self._lab = lab
        self._known = scratch / "known_hosts"
        self._parcel = file_parcel(source)

    def seconds(self, send: Callable[[SshTransports, ThinNode], object]) -> float:
        """Return how long it takes to send to all nodes at once."""
        transports = SshTransports(self._known)
        try:
            return _together(self._lab, lambda node: send(transports, node))
        finally:
            transports.close()

    def deliver(self, transports: SshTransports, node: ThinNode) -> Delivered:
        """Send the file as a rollout does."""
        transport = transports.to(self._node(node))
        return deliver(transport, self._parcel, _large(node), node=node.name, deadline=_DEADLINE)

    def stream(self, transports: SshTransports, node: ThinNode) -> None:
        """Send the bytes and nothing else."""
        pieces = self._parcel.open(0)
        done = transports.to(self._node(node)).run(f"cat >{_large(node)}", stdin=pieces, deadline=_DEADLINE)
        if done.exit != 0:
            raise SystemExit(f"{node.name}: {done.stderr.decode()}")

    def break_off(self, transports: SshTransports, node: ThinNode) -> None:
        """Send half of the bytes, then end."""

        def half(offset: int) -> Iterator[bytes]:
            sent = 0
            for piece in self._parcel.open(offset):
                if sent >= self._parcel.size // 2:
                    raise _BrokenOffError
                sent += len(piece)
                yield piece

        parcel = replace(self._parcel, open=half)
        try:
            deliver(transports.to(self._node(node)), parcel, _large(node), node=node.name, deadline=_DEADLINE)
        except _BrokenOffError:
            return
        raise SystemExit(f"{node.name}: the transfer was not broken off")

    def _node(self, node: ThinNode) -> Node:
        key, user = self._lab.key, self._lab.user
        endpoint = Endpoint("127.0.0.1", node.port, user, identity_file=key, host_key=node.host_key)
        return Node(name=node.name, endpoint=endpoint)


def _together(lab: ThinLab, send: Callable[[ThinNode], object]) -> float:
    failed: list[BaseException] = []

    def work(node: ThinNode) -> None:
        try:
            send(node)
        except BaseException as error:  # noqa: BLE001 (raised again below)
            failed.append(error)

    threads = [threading.Thread(target=work, args=(node,)) for node in lab.nodes]
    # What the one before left to be written is no load of this one: it made the last in turn the slowest.
    os.sync()
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.perf_counter() - began


def _scp(lab: ThinLab, node: ThinNode, source: Path, scratch: Path) -> None:
    options = ["-o", f"UserKnownHostsFile={scratch}/scp_hosts", "-o", "StrictHostKeyChecking=accept-new"]
    target = f"{lab.user}@127.0.0.1:{_large(node)}"
    _run(["scp", "-q", "-i", lab.key, "-P", str(node.port), *options, str(source), target])


def _digest(node: ThinNode) -> None:
    _run(["sha256sum", _large(node)])


def _run(argv: Sequence[str]) -> None:
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _large(node: ThinNode) -> str:
    return f"{node.home}/large"


def _prove(lab: ThinLab, source: Path) -> None:
    with source.open("rb") as file:
        wanted = hashlib.file_digest(file, "sha256").digest()
    for node in lab.nodes:
        with Path(_large(node)).open("rb") as file:
            if hashlib.file_digest(file, "sha256").digest() != wanted:
                raise SystemExit(f"{node.name} did not receive the file whole")
        Path(_large(node)).unlink()
