"""Peers that fall silent, and waits of every kind: each one ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from relay import relay
from sshd_server import Server, wait_until

from macfleet.model.diagnostic import DeadlineExceeded, Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.node import Endpoint, Node
from macfleet.ssh import SshTransports
from macfleet.ssh import handshake as limits

pytestmark = pytest.mark.sshd
# The step's own deadline, far beyond what a test may take: whatever ends earlier was ended by the timer.
FAR = 600.0


def config(folder: Path, text: str) -> Path:
    path = folder / "ssh_config"
    path.write_text(text)
    return path


QUICK = "ServerAliveInterval 1\nServerAliveCountMax 1\n"


@contextmanager
def pool(folder: Path, text: str) -> Iterator[SshTransports]:
    transports = SshTransports(folder / "known_hosts", ssh_config=config(folder, text))
    try:
        yield transports
    finally:
        transports.close()


def failure(work) -> Diagnostic:
    with pytest.raises(MacfleetError) as caught:
        work()
    return caught.value.diagnostics[0]


def test_a_node_that_falls_silent_during_a_step_is_unreachable_long_before_the_deadline(
    server: Server, tmp_path: Path
) -> None:
    with relay(server.port) as line, pool(tmp_path, QUICK) as transports:
        node = transports.to(server.node(port=line.port, host_key=server.fingerprint()))
        begun = time.monotonic()
        found = failure(
            lambda: node.run("echo x; sleep 600", deadline=FAR, sink=lambda _: line.fall_silent())
        )
        assert time.monotonic() - begun < FAR / 10
    assert (found.code, found.node) == ("E0421", "mac-01")
    assert "no sign of life" in found.summary


def test_a_node_that_falls_silent_while_bytes_are_sent_is_given_up_too(server, tmp_path) -> None:
    def endless() -> Iterator[bytes]:
        yield b"x" * 2**20
        line.fall_silent()
        while True:
            yield b"x" * 2**20

    with relay(server.port) as line, pool(tmp_path, QUICK) as transports:
        node = transports.to(server.node(port=line.port, host_key=server.fingerprint()))
        found = failure(lambda: node.run("cat >/dev/null", deadline=FAR, stdin=endless()))
    assert found.code == "E0421"


def test_an_idle_connection_that_fell_silent_is_replaced_on_the_next_use(server, tmp_path) -> None:
    with relay(server.port) as line, pool(tmp_path, QUICK) as transports:
        node = server.node(port=line.port, host_key=server.fingerprint())
        first = transports.connection(node)
        first.run("true", deadline=20)
        line.fall_silent()
        wait_until(lambda: not first.alive)
        line.speak_again()
        assert transports.to(node).run("echo again", deadline=20).stdout == b"again\n"
        assert line.connections == 2


def test_a_node_that_is_quiet_but_answers_is_left_alone(server, tmp_path) -> None:
    with relay(server.port) as line, pool(tmp_path, QUICK) as transports:
        node = transports.to(server.node(port=line.port, host_key=server.fingerprint()))
        before = line.up
        assert node.run("sleep 5; echo done", deadline=30).stdout == b"done\n"
        # The questions were asked, so it was the answers that kept it.
        assert line.up > before + 3 * 40
        assert line.connections == 1


def test_a_trickle_of_input_does_not_keep_a_quiet_node_from_being_asked(server, tmp_path) -> None:
    quiet = threading.Event()

    def trickle() -> Iterator[bytes]:
        for _ in range(12):
            quiet.wait(0.4)
            yield b"x"

    with relay(server.port) as line, pool(tmp_path, QUICK) as transports:
        node = transports.to(server.node(port=line.port, host_key=server.fingerprint()))
        assert node.run("cat | wc -c", deadline=30, stdin=trickle()).stdout.strip() == b"12"


def test_a_node_behind_a_jump_host_that_falls_silent_is_given_up_alone(launch, tmp_path) -> None:
    gate, inner = launch(), launch()
    text = (
        f"Host gate\n  HostName 127.0.0.1\n  Port {gate.port}\n  IdentityFile {gate.identity}\n"
        f"Host *\n  {QUICK}"
    )
    gate.known_hosts(tmp_path / "known_hosts")
    with relay(inner.port) as line, pool(tmp_path, text) as transports:
        silent = inner.node("silent", port=line.port, jump="gate", host_key=inner.fingerprint())
        well = inner.node("well", jump="gate", host_key=inner.fingerprint())
        first = transports.to(silent)
        found = failure(
            lambda: first.run("echo x; sleep 600", deadline=FAR, sink=lambda _: line.fall_silent())
        )
        assert (found.code, found.node) == ("E0421", "silent")
        assert transports.to(well).run("echo well", deadline=20).stdout == b"well\n"
    assert gate.log.count("Accepted publickey") == 1


@contextmanager
def mute() -> Iterator[int]:
    """A door that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield int(door.getsockname()[1])


@contextmanager
def full() -> Iterator[int]:
    """A port whose queue is full: connecting to it hangs, as with a host that drops packets."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(0)
        port = int(door.getsockname()[1])
        crowd = [socket.socket() for _ in range(3)]
        for each in crowd:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        try:
            yield port
        finally:
            for each in crowd:
                each.close()


def node_at(port: int, host: str = "127.0.0.1") -> Node:
    return Node(name="mac-01", endpoint=Endpoint(host=host, port=port, user="ops", host_key="SHA256:x"))


def test_a_connection_that_is_never_answered_ends_by_connect_timeout(tmp_path) -> None:
    with full() as port, pool(tmp_path, "ConnectTimeout 1\n") as transports:
        found = failure(lambda: transports.to(node_at(port)))
    assert (found.code, "timed out" in found.summary) == ("E0401", True)


def test_a_server_without_a_banner_ends_by_the_banner_timeout(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(limits, "_BANNER_TIMEOUT", 1.0)
    with mute() as port, pool(tmp_path, "") as transports:
        found = failure(lambda: transports.to(node_at(port)))
    assert found.code == "E0401"


def test_a_server_that_stops_after_its_banner_ends_by_the_key_exchange_timeout(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(limits, "_KEX_TIMEOUT", 1.0)
    with pool(tmp_path, "ProxyCommand sh -c 'echo SSH-2.0-x; exec sleep 600'\n") as transports:
        found = failure(lambda: transports.to(node_at(22)))
    assert (found.code, "key exchange" in found.summary) == ("E0401", True)


def test_a_server_that_never_answers_the_login_ends_by_the_login_timeout(
    server, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(limits, "_AUTH_TIMEOUT", 1.0)
    with relay(server.port) as line, pool(tmp_path, "") as transports:
        monkeypatch.setattr(limits, "_need_identities", lambda _: None)
        monkeypatch.setattr("macfleet.ssh.private_keys._public_half", lambda _: line.fall_silent())
        found = failure(lambda: transports.to(server.node(port=line.port, host_key=server.fingerprint())))
    assert (found.code, "no answer to the login" in found.summary) == ("E0401", True)


def test_a_step_ends_by_its_deadline(server, tmp_path) -> None:
    with pool(tmp_path, "") as transports:
        node = transports.to(server.node(host_key=server.fingerprint()))
        with pytest.raises(DeadlineExceeded):
            node.run("sleep 600", deadline=1)


def test_a_host_behind_a_jump_host_without_a_banner_ends_by_the_banner_timeout(
    launch, tmp_path, monkeypatch
) -> None:
    gate = launch()
    text = f"Host gate\n  HostName 127.0.0.1\n  Port {gate.port}\n  IdentityFile {gate.identity}\n"
    gate.known_hosts(tmp_path / "known_hosts")
    with mute() as port, pool(tmp_path, text) as transports:
        transports.to(gate.node("gate"))
        monkeypatch.setattr(limits, "_BANNER_TIMEOUT", 1.0)
        behind = Endpoint("127.0.0.1", port, "ops", jump="gate", host_key="SHA256:x")
        found = failure(lambda: transports.to(Node(name="mac-01", endpoint=behind)))
    assert found.code == "E0401"


def test_no_wait_of_ssh_config_is_endless(tmp_path) -> None:
    from macfleet.ssh.route import Routes

    text = "ConnectTimeout 3h\nServerAliveInterval 0\n"
    (hop,) = Routes(config(tmp_path, text)).to(node_at(22))
    assert hop.connect_timeout == 120.0


def test_the_error_of_a_lost_connection_is_that_the_node_cannot_be_reached(server, tmp_path) -> None:
    with relay(server.port) as line, pool(tmp_path, "") as transports:
        node = transports.to(server.node(port=line.port, host_key=server.fingerprint()))
        with pytest.raises(NodeUnreachable):
            node.run("echo x; sleep 600", deadline=FAR, sink=lambda _: line.cut())
