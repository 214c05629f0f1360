"""What is sent before its answer: a login, a session, a script; and what happens where that was wrong."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

import pytest
from paramiko.common import (
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_OPEN_SUCCESS,
    MSG_SERVICE_ACCEPT,
    MSG_SERVICE_REQUEST,
    MSG_USERAUTH_REQUEST,
)
from ssh_peer import Peer
from sshd_server import Server, make_key, wait_until

from macfleet.lab.delay import DelayProxy
from macfleet.model.diagnostic import NodeUnreachable
from macfleet.ssh import SshTransports
from macfleet.ssh.ahead import AHEAD

pytestmark = pytest.mark.sshd
RTT = 1.0
"""Long enough that a client on a busy machine still sends before the answer it need not wait for is there."""


def test_a_login_does_not_wait_for_the_service_to_be_granted(peer: Peer, pool: SshTransports) -> None:
    peer.hold = {MSG_SERVICE_ACCEPT: MSG_USERAUTH_REQUEST}
    assert b"echo in" in pool.to(peer.node()).run("echo in", deadline=60).stdout


def test_a_first_script_waits_neither_for_its_session_nor_its_shell_nor_a_window(
    peer: Peer, pool: SshTransports
) -> None:
    peer.hold = {MSG_CHANNEL_OPEN_SUCCESS: MSG_CHANNEL_EOF}
    script = "x" * (AHEAD - 200)
    assert script.encode() in pool.to(peer.node()).run(script, deadline=60).stdout


def test_a_script_too_large_to_go_ahead_goes_when_the_server_says_how_much_it_takes(
    peer: Peer, pool: SshTransports
) -> None:
    script = "x" * 2 * AHEAD
    assert script.encode() in pool.to(peer.node()).run(script, deadline=60).stdout


def test_another_programs_server_is_waited_for(peer: Peer, pool: SshTransports) -> None:
    peer.version = "SSH-2.0-OpenSSHD_1"
    node = pool.connection(peer.node())
    assert b"echo in" in node.run("echo in", deadline=60).stdout
    assert peer.early == []
    assert not node._transport.known


def test_openssh_gets_both_before_it_answers(peer: Peer, pool: SshTransports) -> None:
    pool.to(peer.node()).run("echo in", deadline=60)
    assert peer.early == [MSG_SERVICE_ACCEPT, MSG_CHANNEL_OPEN_SUCCESS]


def test_nothing_of_a_login_is_sent_to_a_server_that_is_not_trusted(peer: Peer, pool: SshTransports) -> None:
    with pytest.raises(NodeUnreachable) as caught:
        pool.to(peer.node(host_key=f"SHA256:{'a' * 43}"))
    assert caught.value.diagnostics[0].code == "E0404"
    assert not {MSG_SERVICE_REQUEST, MSG_USERAUTH_REQUEST} & set(peer.took[0])


def test_the_service_is_asked_for_once_however_many_keys_are_offered(
    peer: Peer, tmp_path: Path, no_config: Path
) -> None:
    for name in ("one", "two"):
        make_key(tmp_path / name, "ed25519")
    identities = "".join(f"IdentityFile {tmp_path}/{name}\n" for name in ("one", "two", "identity"))
    no_config.write_text(identities)
    pool = SshTransports(tmp_path / "known_hosts", ssh_config=no_config)
    pool.to(peer.node(identity_file="")).run("echo in", deadline=60)
    assert peer.took[0].count(MSG_SERVICE_REQUEST) == 1
    assert peer.took[0].count(MSG_USERAUTH_REQUEST) == 3
    pool.close()


def test_a_server_that_numbers_otherwise_is_called_again_and_runs_the_script_once(
    peer: Peer, pool: SshTransports
) -> None:
    peer.first_channel = 7
    assert b"echo in" in pool.to(peer.node()).run("echo in", deadline=60).stdout
    assert len(peer.stdins) == 1
    assert len(peer.took) == 2
    # From then on it is known of the node.
    peer.hang_up()
    pool.connection(peer.node())._transport.join(60)
    assert b"echo more" in pool.to(peer.node()).run("echo more", deadline=60).stdout
    assert (len(peer.stdins), len(peer.took)) == (2, 3)


def test_scripts_that_start_together_all_survive_a_wrong_guess(peer: Peer, pool: SshTransports) -> None:
    peer.first_channel = 7
    answers: dict[int, bytes] = {}

    def ask(number: int) -> None:
        answers[number] = pool.to(peer.node()).run(f"echo {number}", deadline=60).stdout

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [f"echo {number}".encode() in answers[number] for number in range(4)] == [True] * 4
    assert len(peer.stdins) == 4


def test_a_session_that_is_refused_is_the_same_error_as_ever(peer: Peer, pool: SshTransports) -> None:
    peer.refuses = True
    with pytest.raises(NodeUnreachable) as caught:
        pool.to(peer.node()).run("echo in", deadline=60)
    found = caught.value.diagnostics[0]
    assert (found.code, peer.stdins) == ("E0412", [])
    assert "Administratively prohibited" in found.summary
    assert peer.took[0].count(MSG_CHANNEL_OPEN) == 1


def test_openssh_that_opens_no_session_runs_nothing(launch, tmp_path: Path, pool: SshTransports) -> None:
    server = launch("MaxSessions 0")
    with pytest.raises(NodeUnreachable) as caught:
        pool.to(server.node(host_key=server.fingerprint())).run(f"touch {tmp_path}/mark", deadline=60)
    assert caught.value.diagnostics[0].code == "E0412"
    assert not (tmp_path / "mark").exists()


def test_a_forced_command_takes_the_place_of_the_script(launch, pool: SshTransports) -> None:
    server = launch("ForceCommand cat >/dev/null; echo instead; exit 3")
    done = pool.to(server.node(host_key=server.fingerprint())).run("echo in", deadline=60)
    assert (done.exit, done.stdout) == (3, b"instead\n")


def test_a_server_that_wants_two_keys_gets_one_behind_the_other(launch, tmp_path: Path, no_config) -> None:
    server = launch("AuthenticationMethods publickey,publickey")
    make_key(tmp_path / "second", "ed25519")
    with (server.folder / "authorized_keys").open("a") as keys:
        keys.write((tmp_path / "second.pub").read_text())
    no_config.write_text(f"IdentityFile {server.identity}\nIdentityFile {tmp_path}/second\n")
    pool = SshTransports(tmp_path / "known_hosts", ssh_config=no_config)
    node = pool.to(server.node(host_key=server.fingerprint(), identity_file=""))
    assert node.run("echo in", deadline=60).stdout == b"in\n"
    pool.close()


def test_a_connection_that_ends_before_its_first_script_is_lost_at_once(
    server: Server, pool: SshTransports
) -> None:
    node = pool.connection(server.node(host_key=server.fingerprint()))
    node._transport.close()
    node._transport.join(60)
    with pytest.raises(NodeUnreachable) as caught:
        node.run("echo in", deadline=3600)
    assert caught.value.diagnostics[0].code == "E0409"


def test_a_connection_that_ends_while_its_first_session_is_asked_for_does_not_wait_for_it(
    peer: Peer, pool: SshTransports
) -> None:
    peer.hold = {MSG_CHANNEL_OPEN_SUCCESS: 0}  # never
    node = pool.connection(peer.node())
    lost: list[NodeUnreachable] = []

    def run() -> None:
        try:
            node.run("echo in", deadline=3600)
        except NodeUnreachable as error:
            lost.append(error)

    runner = threading.Thread(target=run, daemon=True)
    runner.start()
    wait_until(lambda: MSG_CHANNEL_EOF in peer.took[0], 60)
    peer.hang_up()
    runner.join(60)
    assert [error.diagnostics[0].code for error in lost] == ["E0409"]
    assert len(peer.took) == 1


@pytest.mark.parametrize("taken", ["rsa-sha2-256", "rsa-sha2-512"])
def test_an_rsa_key_waits_for_the_servers_list_and_signs_as_that_says(
    tmp_path: Path, pool: SshTransports, taken: str
) -> None:
    make_key(tmp_path / "identity", "rsa")
    server = Peer(tmp_path / "identity")
    server.signatures = (taken,)
    node = pool.connection(server.node())
    assert b"echo in" in node.run("echo in", deadline=60).stdout
    assert node._transport._agreed_pubkey_algorithm == taken
    server.close()


@pytest.mark.parametrize("size", [AHEAD - 200, AHEAD, 3 * 2**20])
def test_scripts_of_any_size_arrive_whole_first_and_later(server: Server, pool, size: int) -> None:
    node = pool.to(server.node(host_key=server.fingerprint()))
    for _ in range(2):
        done = node.run(f"cat <<'END' | wc -c\n{'x' * (size - 1)}\nEND", deadline=120)
        assert int(done.stdout) == size


def test_a_first_script_costs_five_round_trips_from_syn_and_a_later_one_two(server: Server, pool) -> None:
    node = server.node(host_key=server.fingerprint())
    with DelayProxy([server.port], RTT) as far:
        there = dataclasses.replace(node, endpoint=dataclasses.replace(node.endpoint, port=far.ports[0]))
        assert pool.to(there).run("echo in", deadline=60).stdout == b"in\n"
        first = far.passages()[0]
        assert pool.to(there).run("echo in", deadline=60).stdout == b"in\n"
        both = far.passages()[0]
    # SYN, first line, keys, login, script.
    assert first.connections == 1
    assert first.round_trips <= 5
    # Counted from SYN on.
    assert both.connections == 0
    assert both.round_trips <= 7
