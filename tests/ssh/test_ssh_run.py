"""Scripts over a real OpenSSH server."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sshd_server import Server, living_members, wait_until

from macfleet.model.diagnostic import DeadlineExceeded, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.ssh import Connection, SshTransports

pytestmark = pytest.mark.sshd
MIB = 2**20


@pytest.fixture
def pool(server: Server, tmp_path: Path, no_config: Path) -> Iterator[SshTransports]:
    transports = SshTransports(server.known_hosts(tmp_path / "known_hosts"), ssh_config=no_config)
    yield transports
    transports.close()


@pytest.fixture
def node(server: Server, pool: SshTransports) -> Connection:
    return pool.connection(server.node())


@pytest.mark.parametrize(
    ("script", "exit_status", "stdout", "stderr"),
    [
        ("echo out; echo err >&2; exit 7", 7, b"out\n", b"err\n"),
        ("true", 0, b"", b""),
        ("false", 1, b"", b""),
        ("", 0, b"", b""),
        ("# only a comment", 0, b"", b""),
        ("echo a\n# a comment at the end", 0, b"a\n", b""),
        ("cat <<'END'\nno $HOME here\nEND", 0, b"no $HOME here\n", b""),
        ("cat; echo after", 0, b"after\n", b""),
        ("set -e; false; echo unreached", 1, b"", b""),
        ("printf '\\377\\000x'", 0, b"\xff\x00x", b""),
        ("printf 'grün' >&2", 0, b"", "grün".encode()),
    ],
)
def test_a_script_returns_its_streams_and_its_exit_status(node, script, exit_status, stdout, stderr) -> None:
    done = node.run(script, deadline=20)
    assert (done.exit, done.stdout, done.stderr) == (exit_status, stdout, stderr)


def test_a_script_with_a_syntax_error_runs_nothing(node: Connection, tmp_path: Path) -> None:
    done = node.run(f"touch {tmp_path}/mark; if", deadline=20)
    assert done.exit == 2
    assert b"yntax error" in done.stderr
    assert not (tmp_path / "mark").exists()


def test_a_script_ended_by_a_signal_reports_255(node: Connection) -> None:
    assert node.run("kill -KILL $$", deadline=20).exit == 255


def test_each_script_costs_one_exec_on_one_connection(
    server: Server, pool: SshTransports, node: Connection
) -> None:
    for _ in range(3):
        pool.to(server.node()).run("true", deadline=20)
    assert pool.connection(server.node()) is node
    assert node.execs == 3
    assert (server.folder / "sshd.log").read_text().count("Accepted publickey") == 1


def test_eight_mebibytes_on_both_streams_arrive_whole(node: Connection) -> None:
    size = 8 * MIB
    done = node.run(f"head -c {size} /dev/zero >&2 & head -c {size} /dev/zero; wait", deadline=60)
    assert (len(done.stdout), len(done.stderr)) == (size, size)


def test_more_output_than_the_controller_keeps_is_refused(node: Connection) -> None:
    tight = Connection("mac-01", node._client, node._transport, output_limit=MIB)
    with pytest.raises(MacfleetError) as caught:
        tight.run("cat /dev/zero", deadline=60)
    assert caught.value.diagnostics[0].code == "E0411"


def test_the_sink_takes_stdout_in_order_and_nothing_is_kept(node: Connection) -> None:
    pieces: list[bytes] = []
    done = node.run("seq 1 200000; echo err >&2", deadline=60, sink=pieces.append)
    assert b"".join(pieces).split() == [str(number).encode() for number in range(1, 200001)]
    assert (done.stdout, done.stderr) == (b"", b"err\n")


def test_the_sink_gets_a_line_while_the_script_still_runs(node: Connection, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    done = node.run(
        f"echo ready; until [ -e {go_on} ]; do sleep 0.05; done; echo done",
        deadline=30,
        sink=lambda _: go_on.touch(),
    )
    assert done.exit == 0


def test_a_sink_that_raises_ends_the_remote_script(node: Connection, tmp_path: Path) -> None:
    def refuse(_: bytes) -> None:
        raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        node.run(f"echo $$ > {tmp_path}/pid; echo x; sleep 600", deadline=60, sink=refuse)
    assert_gone(tmp_path / "pid")


def test_a_deadline_ends_the_remote_process_group(node: Connection, tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded) as caught:
        node.run(f"sleep 600 & echo $! > {tmp_path}/pid; wait", deadline=1)
    found = caught.value.diagnostics[0]
    assert (found.code, found.node, found.exit_code) == ("E0410", "mac-01", ExitCode.NODE_FAILED)
    assert "was ended" in found.why
    assert_gone(tmp_path / "pid")
    assert node.run("echo still here", deadline=20).stdout == b"still here\n"


def test_a_deadline_ends_a_process_that_ignores_term(node: Connection, tmp_path: Path) -> None:
    with pytest.raises(DeadlineExceeded):
        node.run(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 1; done", deadline=1)
    assert_gone(tmp_path / "pid")


def test_closing_the_pool_ends_what_still_runs(server: Server, pool: SshTransports, tmp_path: Path) -> None:
    transport = pool.to(server.node())
    trouble: list[MacfleetError] = []

    def wait_for_ever() -> None:
        try:
            transport.run(f"echo $$ > {tmp_path}/pid; sleep 600", deadline=300)
        except MacfleetError as error:
            trouble.append(error)

    runner = threading.Thread(target=wait_for_ever)
    runner.start()
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
    pool.close()
    runner.join(20)
    assert_gone(tmp_path / "pid")
    assert not runner.is_alive()


def test_a_broken_connection_is_an_unreachable_node_and_the_next_use_opens_another(
    server: Server, pool: SshTransports, node: Connection
) -> None:
    with pytest.raises(NodeUnreachable) as caught:
        # The grandparent of the script's shell is the sshd that serves this connection.
        node.run("kill -KILL $(ps -o ppid= -p $$)", deadline=30)
    assert caught.value.diagnostics[0].code == "E0409"
    with pytest.raises(NodeUnreachable):
        node.run("true", deadline=30)
    assert pool.to(server.node()).run("echo again", deadline=20).stdout == b"again\n"


def test_a_script_is_not_visible_in_any_process_list(node: Connection) -> None:
    planted = secrets.token_hex(16)
    done = node.run(f"word={planted}; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null", deadline=20)
    assert b"/bin/sh\0-s" in done.stdout
    assert planted.encode() not in done.stdout


def test_thirty_two_mebibytes_of_stdin_arrive_whole_from_pieces_of_any_size(node: Connection) -> None:
    block = bytes(range(256)) * 4096
    digest = hashlib.sha256(block * 32).hexdigest()
    pieces = (piece for _ in range(32) for piece in (block[:1], b"", block[1:700_000], block[700_000:]))
    done = node.run("shasum -a 256 || sha256sum", deadline=120, stdin=pieces)
    assert done.stdout.split()[0].decode() == digest


def test_what_comes_back_while_stdin_is_still_sent_blocks_neither(node: Connection) -> None:
    done = node.run("cat", deadline=120, stdin=[b"x" * MIB] * 16)
    assert len(done.stdout) == 16 * MIB


def test_a_script_that_stops_reading_its_stdin_ends_the_sending(node: Connection) -> None:
    done = node.run("head -c 5; exit 3", deadline=60, stdin=(b"x" * MIB for _ in range(64)))
    assert (done.exit, done.stdout) == (3, b"xxxxx")


def test_a_source_of_stdin_that_fails_is_raised_and_ends_the_script(node: Connection, tmp_path: Path) -> None:
    def source() -> Iterator[bytes]:
        yield b"one"
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
        raise ValueError("the source is damaged")

    with pytest.raises(ValueError, match="damaged"):
        node.run(f"echo $$ > {tmp_path}/pid; sleep 600", deadline=60, stdin=source())
    assert_gone(tmp_path / "pid")


def test_threads_share_a_connection_beyond_the_servers_session_limit(
    server: Server, pool: SshTransports
) -> None:
    answers: dict[int, bytes] = {}

    def ask(number: int) -> None:
        answers[number] = pool.to(server.node()).run(f"sleep 0.2; echo {number}", deadline=60).stdout

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"{number}\n".encode() for number in range(20)}
    assert (server.folder / "sshd.log").read_text().count("Accepted publickey") == 1


def test_a_large_script_travels_whole(node: Connection) -> None:
    text = "x" * 3 * MIB
    done = node.run(f"cat <<'END' | wc -c\n{text}\nEND", deadline=120)
    assert int(done.stdout) == len(text) + 1


def test_small_packets_are_sent_at_once(node: Connection) -> None:
    wire = node._transport.sock
    assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0


def test_fast_ciphers_are_asked_for_and_no_group_exchange_is_offered(node: Connection) -> None:
    assert node._transport.local_cipher == "aes128-gcm@openssh.com"
    offered = node._transport.get_security_options()
    assert not [name for name in offered.kex if name.startswith("diffie-hellman")]
    assert not [name for name in offered.digests if "md5" in name or "sha1" in name]


def test_a_tunnel_carries_bytes_to_the_nodes_loopback_and_back(node: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service, node.tunnel(service.getsockname()[1]) as port:
        echo = threading.Thread(target=_echo_once, args=(service,))
        echo.start()
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"hello " * 50_000)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: client.recv(65536), b"")) == b"hello " * 50_000
        echo.join()


def test_a_tunnel_to_a_closed_port_closes_the_connection(node: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        closed = service.getsockname()[1]
    with node.tunnel(closed) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        assert client.recv(1) == b""


def _echo_once(service: socket.socket) -> None:
    connection, _ = service.accept()
    with connection:
        while data := connection.recv(65536):
            connection.sendall(data)


def assert_gone(pid_file: Path) -> None:
    """Wait until the process is gone; one that awaits its parent's wait counts as gone."""
    stat = Path(f"/proc/{pid_file.read_text().strip()}/stat")

    def gone() -> bool:
        try:
            return stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_until(gone)


@pytest.mark.parametrize("sessions", [1, 2, 3])
def test_scripts_wait_for_one_another_where_the_server_opens_few_sessions(
    launch: Callable[..., Server], tmp_path: Path, no_config: Path, sessions: int
) -> None:
    server = launch(f"MaxSessions {sessions}")
    pool = SshTransports(server.known_hosts(tmp_path / "known_hosts"), ssh_config=no_config)
    answers: dict[int, bytes] = {}

    def ask(number: int) -> None:
        answers[number] = pool.to(server.node()).run(f"sleep 0.1; echo {number}", deadline=60).stdout

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.close()
    assert answers == {number: f"{number}\n".encode() for number in range(10)}


def test_a_script_is_ended_even_where_the_server_opens_no_session_for_it(
    launch: Callable[..., Server], tmp_path: Path, no_config: Path
) -> None:
    """The server is asked to signal it; that of OpenSSH does so for everybody but root."""
    users = [each for each in pwd.getpwall() if each.pw_uid and each.pw_shell.endswith("/bash")]
    if os.geteuid() != 0 or not users:
        pytest.skip("wants root here and another user with a shell")
    server = launch("MaxSessions 1")
    keys = server.folder / "authorized_keys"
    # With PAM an account without a password may log in by key.
    server.restart_with(
        "UsePAM yes", f"AuthorizedKeysCommand /bin/cat {keys}", "AuthorizedKeysCommandUser root"
    )
    pool = SshTransports(server.known_hosts(tmp_path / "known_hosts"), ssh_config=no_config)
    node = pool.to(server.node(user=users[0].pw_name))
    said: list[bytes] = []
    with pytest.raises(DeadlineExceeded) as caught:
        node.run("echo $$; sleep 600", deadline=3, sink=said.append)
    assert "was killed" in caught.value.diagnostics[0].why
    wait_until(lambda: not living_members(int(b"".join(said))))
    assert node.run("echo well", deadline=20).stdout == b"well\n"
    pool.close()
