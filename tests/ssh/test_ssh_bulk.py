"""Big files over a real OpenSSH server: whole, resumed, proven, in parallel."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from relay import relay
from sshd_server import Server

from macfleet.engine.transfer import Delivered, Parcel, deliver
from macfleet.model.diagnostic import MacfleetError, NodeUnreachable
from macfleet.ssh import SshTransports
from macfleet.ssh.parcels import file_parcel
from macfleet.testing.transport import LocalTransport

MIB = 2**20


def parcel_of(content: bytes, opened: list[int] | None = None) -> Parcel:
    """Return bytes as a parcel that notes the offsets it was opened at."""

    def rest(offset: int) -> Iterator[bytes]:
        if opened is not None:
            opened.append(offset)
        for start in range(offset, len(content), 256 * 1024):
            yield content[start : start + 256 * 1024]

    return Parcel(len(content), hashlib.sha256(content).hexdigest(), rest)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)  # noqa: S311  (the same bytes each time)


@pytest.fixture
def local(tmp_path: Path) -> LocalTransport:
    return LocalTransport(tmp_path)


def send(local: LocalTransport, parcel: Parcel, path: Path, **more: object) -> Delivered:
    return deliver(local, parcel, str(path), node="mac-01", deadline=60, **more)


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("content", [b"", b"x", noise(700_001)])
def test_a_file_arrives_whole_with_its_mode_and_leaves_nothing_beside_it(local, tmp_path, content) -> None:
    target = tmp_path / "it's here.gguf"
    told: list[int] = []
    assert send(local, parcel_of(content), target, mode="0640", report=told.append).sent == len(content)
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (content, 0o640)
    assert leftovers(tmp_path) == []
    assert told[-1:] == ([len(content)] if content else [])


def test_a_file_that_is_there_already_costs_one_exec_and_no_byte(local, tmp_path) -> None:
    content, opened = noise(100_000), []
    send(local, parcel_of(content), tmp_path / "model")
    before = len(local.scripts)
    assert send(local, parcel_of(content, opened), tmp_path / "model") == Delivered(0, 100_000)
    assert (len(local.scripts) - before, opened) == (1, [])


def test_an_old_file_stays_until_the_new_one_is_proven(local, tmp_path) -> None:
    target = tmp_path / "model"
    target.write_bytes(b"old")
    lying = Parcel(5, hashlib.sha256(b"right").hexdigest(), lambda _: [b"wrong"])
    with pytest.raises(MacfleetError) as caught:
        send(local, lying, target)
    assert caught.value.diagnostics[0].code == "E0418"
    assert hashlib.sha256(b"wrong").hexdigest() in caught.value.diagnostics[0].why
    assert target.read_bytes() == b"old"
    assert leftovers(tmp_path) == []
    assert send(local, parcel_of(b"right"), target) == Delivered(5, 0)


def test_a_damaged_part_file_is_noticed_and_not_resumed_twice(local, tmp_path) -> None:
    content, target = noise(500_000), tmp_path / "model"
    parcel = parcel_of(content)
    part = tmp_path / f".model.{parcel.sha256[:16]}.part"
    part.write_bytes(b"damaged" * 100)
    with pytest.raises(MacfleetError):
        send(local, parcel, target)
    assert send(local, parcel, target) == Delivered(500_000, 0)


def test_a_part_file_that_is_too_long_is_thrown_away(local, tmp_path) -> None:
    parcel = parcel_of(b"short")
    (tmp_path / f".model.{parcel.sha256[:16]}.part").write_bytes(b"longer than that")
    assert send(local, parcel, tmp_path / "model") == Delivered(5, 0)


def test_a_source_that_ends_early_is_kept_for_the_next_time(local, tmp_path) -> None:
    content, target = noise(900_000), tmp_path / "model"
    whole = parcel_of(content)
    short = Parcel(whole.size, whole.sha256, lambda offset: [content[offset:600_000]])
    with pytest.raises(MacfleetError) as caught:
        send(local, short, target)
    assert caught.value.diagnostics[0].code == "E0417"
    assert "600000 of 900000" in caught.value.diagnostics[0].why
    assert send(local, whole, target) == Delivered(300_000, 600_000)
    assert target.read_bytes() == content


def test_a_missing_folder_is_said(local, tmp_path) -> None:
    with pytest.raises(MacfleetError) as caught:
        send(local, parcel_of(b"x"), tmp_path / "nowhere" / "model")
    assert caught.value.diagnostics[0].code == "E0417"
    assert "nowhere" in caught.value.diagnostics[0].why


def test_two_contents_for_one_path_do_not_mix(local, tmp_path) -> None:
    one, two = parcel_of(noise(400_000)), parcel_of(noise(400_001))
    broken = Parcel(one.size, one.sha256, lambda _: [noise(400_000)[:1000]])
    with pytest.raises(MacfleetError):
        send(local, broken, tmp_path / "model")
    assert send(local, two, tmp_path / "model") == Delivered(400_001, 0)
    assert send(local, one, tmp_path / "model") == Delivered(399_000, 1000)


@pytest.fixture
def pool(server: Server, tmp_path: Path, no_config: Path) -> Iterator[SshTransports]:
    transports = SshTransports(tmp_path / "known_hosts", ssh_config=no_config)
    yield transports
    transports.close()


def interrupted(server: Server, pool: SshTransports, folder: Path, size: int) -> tuple[Delivered, int, int]:
    """Send a file, cut the connection at half, send again; return the second delivery and the bytes that went up each time."""
    source, target = folder / "source", folder / "arrived"
    source.write_bytes(noise(size))
    parcel = file_parcel(source)
    with relay(server.port) as before:
        node = server.node(port=before.port, host_key=server.fingerprint())
        before.cut_after(size // 2)
        with pytest.raises(NodeUnreachable):
            deliver(pool.to(node), parcel, str(target), node=node.name, deadline=120)
        first = before.up
        assert not target.exists()
        again = deliver(pool.to(node), parcel, str(target), node=node.name, deadline=120)
        second = before.up - first
    assert hashlib.sha256(target.read_bytes()).hexdigest() == parcel.sha256
    assert leftovers(folder) == []
    return again, first, second


@pytest.mark.sshd
def test_an_interrupted_transfer_sends_only_the_rest(server, pool, tmp_path) -> None:
    size = 24 * MIB
    again, first, second = interrupted(server, pool, tmp_path, size)
    assert again.sent + again.found == size
    # What was in flight when the connection broke is lost: at most sshd's window and the relay's buffers.
    assert size // 2 - 8 * MIB < again.found <= size // 2
    # Counted on the wire: packets and the two handshakes add less than 3 %.
    assert first + second < size + (first - again.found) + size * 0.03


@pytest.mark.sshd
@pytest.mark.slow
def test_two_hundred_mebibytes_interrupted_at_half_send_only_the_rest(server, pool, tmp_path) -> None:
    size = 200 * MIB
    again, _, second = interrupted(server, pool, tmp_path, size)
    assert again.found > 90 * MIB
    assert second < (size - again.found) * 1.02


@pytest.mark.sshd
def test_a_writer_left_over_from_a_silent_connection_is_ended_before_the_rest_is_sent(
    server, pool, tmp_path
) -> None:
    size = 6 * MIB
    content = noise(size)
    parcel, target = parcel_of(content), tmp_path / "arrived"
    started, go_on = threading.Event(), threading.Event()

    def stuck(offset: int) -> Iterator[bytes]:
        yield content[offset : offset + MIB]
        started.set()
        go_on.wait(60)

    first = server.node("first", host_key=server.fingerprint())
    second = server.node("second", host_key=server.fingerprint())
    waiting = Parcel(parcel.size, parcel.sha256, stuck)

    def hang() -> None:
        with pytest.raises(MacfleetError):
            deliver(pool.to(first), waiting, str(target), node="first", deadline=120)

    sender = threading.Thread(target=hang)
    sender.start()
    assert started.wait(30)
    done = deliver(pool.to(second), parcel, str(target), node="second", deadline=60)
    go_on.set()
    sender.join(30)
    assert not sender.is_alive()
    assert done.sent + done.found == size
    assert target.read_bytes() == content


@pytest.mark.sshd
def test_eight_transfers_at_once_arrive_whole(server, pool, tmp_path) -> None:
    source = tmp_path / "source"
    source.write_bytes(noise(4 * MIB))
    parcel = file_parcel(source)
    nodes = [server.node(f"mac-{number}", host_key=server.fingerprint()) for number in range(8)]
    results: dict[str, Delivered] = {}

    def place(name: str) -> None:
        node = next(node for node in nodes if node.name == name)
        target = str(tmp_path / name)
        results[name] = deliver(pool.to(node), parcel, target, node=name, deadline=120)

    threads = [threading.Thread(target=place, args=(node.name,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results.values()) == {Delivered(4 * MIB, 0)}
    assert {(tmp_path / node.name).read_bytes() for node in nodes} == {source.read_bytes()}
