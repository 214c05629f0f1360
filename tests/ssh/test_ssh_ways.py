"""The ways to a node: chains of jump hosts, ProxyCommand, servers that let few in at once."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Self

import pytest
from relay import relay
from sshd_server import Server, free_port, wait_until

from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.node import Node
from macfleet.ssh import SshTransports, enrol

pytestmark = pytest.mark.sshd


def host(name: str, server: Server, more: str = "") -> str:
    return f"Host {name}\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile {server.identity}\n  {more}\n"


def configured(folder: Path, *parts: str) -> Path:
    path = folder / "ssh_config"
    path.write_text("".join(parts))
    return path


def all_at_once(pool: SshTransports, nodes: list[Node]) -> dict[str, bytes | MacfleetError]:
    answers: dict[str, bytes | MacfleetError] = {}

    def ask(node: Node) -> None:
        try:
            answers[node.name] = pool.to(node).run("echo in", deadline=30).stdout
        except MacfleetError as error:
            answers[node.name] = error

    threads = [threading.Thread(target=ask, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def refused(pool: SshTransports, node: Node) -> Diagnostic:
    with pytest.raises(NodeUnreachable) as caught:
        pool.to(node)
    pool.close()
    return caught.value.diagnostics[0]


@pytest.mark.parametrize("spec", ["first,second", "second"])
def test_a_chain_of_two_jump_hosts_is_opened_once_for_many_nodes(launch, tmp_path, spec) -> None:
    first, second, inner = launch(), launch(), launch()
    # Behind `second` alone, ssh_config knows that `first` is on the way.
    way = "ProxyJump first" if spec == "second" else ""
    config = configured(tmp_path, host("first", first), host("second", second, way))
    known = tmp_path / "known_hosts"
    nodes = [inner.node(f"mac-{number}", jump=spec) for number in range(12)]
    rows = enrol(nodes, known, ssh_config=config)
    assert [row.host for row in rows[:3]] == [first.name, second.name, inner.name]
    before = [server.log.count("Accepted publickey") for server in (first, second)]
    pool = SshTransports(known, ssh_config=config)
    assert set(all_at_once(pool, nodes).values()) == {b"in\n"}
    pool.close()
    after = [server.log.count("Accepted publickey") for server in (first, second)]
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 1]
    assert inner.log.count("Accepted publickey") == 12


def test_at_most_eight_nodes_are_connected_to_at_once_through_one_jump_host(launch, tmp_path) -> None:
    gate = launch()
    config = configured(tmp_path, host("gate", gate))
    gate.known_hosts(tmp_path / "known_hosts")
    with Crowded() as door:
        pool = SshTransports(tmp_path / "known_hosts", ssh_config=config, connect_limit=64)
        nodes = [gate.node(f"mac-{number}", port=door.port, jump="gate") for number in range(20)]
        answers = all_at_once(pool, nodes)
        pool.close()
    assert len(answers) == 20
    assert 1 < door.most <= 8


def test_a_jump_host_whose_connection_broke_is_called_again(launch, tmp_path) -> None:
    gate, inner = launch(), launch()
    with relay(gate.port) as line:
        config = configured(tmp_path, host("gate", gate).replace(f"Port {gate.port}", f"Port {line.port}"))
        known = tmp_path / "known_hosts"
        enrol([inner.node(jump="gate")], known, ssh_config=config)
        pool = SshTransports(known, ssh_config=config)
        node = inner.node(jump="gate")
        first = pool.connection(node)
        line.cut()
        wait_until(lambda: not first.alive)
        assert pool.to(node).run("echo again", deadline=20).stdout == b"again\n"
        pool.close()


def test_a_jump_host_that_forbids_forwarding_says_so(launch, tmp_path) -> None:
    gate, inner = launch("AllowTcpForwarding no"), launch()
    config = configured(tmp_path, host("gate", gate))
    pool = SshTransports(gate.known_hosts(tmp_path / "known_hosts"), ssh_config=config)
    found = refused(pool, inner.node(jump="gate", host_key=inner.fingerprint()))
    assert (found.code, "AllowTcpForwarding" in found.why) == ("E0422", True)


def test_the_chain_never_ends_on_this_machines_own_server(launch, tmp_path) -> None:
    """The node's name resolves behind the jump host only; here it is nobody."""
    gate = launch("PermitOpen node.invalid:22")
    config = configured(tmp_path, host("gate", gate))
    pool = SshTransports(gate.known_hosts(tmp_path / "known_hosts"), ssh_config=config)
    node = Node("mac-01", gate.node(host="node.invalid", jump="gate").endpoint)
    assert refused(pool, node).code == "E0422"


def copier(folder: Path) -> str:
    """Return a ProxyCommand that copies bytes; it is a program of its own, so that quotes stay out of it."""
    program = folder / "copier.py"
    program.write_text(
        "import os, socket, sys, threading\n"
        "line = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n"
        "    while data := os.read(0, 65536):\n"
        "        line.sendall(data)\n"
        "    line.shutdown(socket.SHUT_WR)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "open(sys.argv[3], 'w').write(str(os.getpid()))\n"
        "while data := line.recv(65536):\n"
        "    os.write(1, data)\n"
    )
    return f"{sys.executable} {program} %h %p {folder}/pid"


def test_a_proxy_command_carries_the_connection_and_ends_with_it(server, tmp_path) -> None:
    config = configured(tmp_path, f"ProxyCommand {copier(tmp_path)}\n")
    pool = SshTransports(server.known_hosts(tmp_path / "known_hosts"), ssh_config=config)
    node = pool.to(server.node())
    done = node.run("cat | wc -c", deadline=60, stdin=[b"x" * 2**20] * 8)
    assert int(done.stdout) == 8 * 2**20
    pid = int((tmp_path / "pid").read_text())
    pool.close()
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_proxy_command_is_read_by_a_shell(server, tmp_path) -> None:
    config = configured(tmp_path, f"ProxyCommand env A=b {copier(tmp_path)} 2>/dev/null\n")
    pool = SshTransports(server.known_hosts(tmp_path / "known_hosts"), ssh_config=config)
    assert pool.to(server.node()).run("echo in", deadline=20).stdout == b"in\n"
    pool.close()


def test_a_proxy_command_that_fails_is_quoted_and_not_tried_again(server, tmp_path) -> None:
    count = tmp_path / "count"
    config = configured(tmp_path, f"ProxyCommand sh -c 'echo x >>{count}; echo no route to it >&2; exit 1'\n")
    pool = SshTransports(server.known_hosts(tmp_path / "known_hosts"), ssh_config=config)
    found = refused(pool, server.node())
    assert (found.code, "no route to it" in found.summary) == ("E0423", True)
    assert count.read_text() == "x\n"


@pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh: apt-get install openssh-client")
def test_openssh_itself_may_be_the_proxy_command(launch, tmp_path) -> None:
    gate, inner = launch(), launch()
    config = configured(
        tmp_path,
        f"ProxyCommand ssh -F none -i {gate.identity} -p {gate.port} -o StrictHostKeyChecking=no "
        "-o UserKnownHostsFile=/dev/null -W %h:%p 127.0.0.1\n",
    )
    pool = SshTransports(inner.known_hosts(tmp_path / "known_hosts"), ssh_config=config)
    assert pool.to(inner.node()).run("echo in", deadline=20).stdout == b"in\n"
    pool.close()


def test_twenty_nodes_on_a_server_that_lets_two_start_at_once_all_get_in(launch, tmp_path, no_config) -> None:
    server = launch("MaxStartups 2:100:3")
    pool = SshTransports(server.known_hosts(tmp_path / "known_hosts"), ssh_config=no_config)
    nodes = [server.node(f"mac-{number}") for number in range(20)]
    answers = all_at_once(pool, nodes)
    pool.close()
    assert set(answers.values()) == {b"in\n"}
    assert "MaxStartups" in server.log


def test_twenty_nodes_behind_a_jump_host_that_lets_two_start_at_once_all_get_in(launch, tmp_path) -> None:
    gate, inner = launch("MaxStartups 2:100:3", "MaxSessions 1"), launch("MaxStartups 2:100:3")
    config = configured(tmp_path, host("gate", gate))
    known = inner.known_hosts(tmp_path / "known_hosts")
    kind, blob = (gate.folder / "host_ed25519.pub").read_text().split()[:2]
    known.write_text(f"{known.read_text()}{gate.name} {kind} {blob}\n")
    pool = SshTransports(known, ssh_config=config)
    answers = all_at_once(pool, [inner.node(f"mac-{number}", jump="gate") for number in range(20)])
    pool.close()
    assert set(answers.values()) == {b"in\n"}
    assert gate.log.count("Accepted publickey") == 1


def test_address_family_and_bind_address_are_followed(server, tmp_path) -> None:
    known = server.known_hosts(tmp_path / "known_hosts")
    pool = SshTransports(known, ssh_config=configured(tmp_path, "BindAddress 127.0.0.2\n"))
    assert b"127.0.0.2" in pool.to(server.node()).run("echo $SSH_CONNECTION", deadline=20).stdout
    pool.close()
    pool = SshTransports(known, ssh_config=configured(tmp_path, "AddressFamily inet6\n"))
    assert refused(pool, server.node()).code == "E0401"


def test_ciphers_of_ssh_config_are_followed_and_weak_ones_never_offered(server, tmp_path) -> None:
    known = server.known_hosts(tmp_path / "known_hosts")
    pool = SshTransports(known, ssh_config=configured(tmp_path, "Ciphers aes256-ctr,3des-cbc\n"))
    assert pool.connection(server.node())._transport.local_cipher == "aes256-ctr"
    pool.close()
    pool = SshTransports(known, ssh_config=configured(tmp_path, "Ciphers 3des-cbc\n"))
    with pytest.raises(MacfleetError) as caught:
        pool.to(server.node())
    pool.close()
    assert (caught.value.diagnostics[0].code, caught.value.exit_code) == ("E0414", 2)


class Crowded:
    """A door that keeps callers waiting and counts how many there are at once."""

    def __init__(self) -> None:
        self.port = free_port()
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._door = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._acceptor = threading.Thread(target=self._accept)
        self._acceptor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._door.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._door.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._keep, args=(caller,))
            self._threads.append(thread)
            thread.start()

    def _keep(self, caller: socket.socket) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        with caller:
            caller.recv(64)
            time.sleep(0.2)  # so that whoever may come beside it comes
            caller.sendall(b"Not allowed at this time\r\n")
        with self._lock:
            self._now -= 1
