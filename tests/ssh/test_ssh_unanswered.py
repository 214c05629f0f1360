"""A connection that is begun ahead is used before its login is answered; and what happens where that is no."""

from __future__ import annotations

import dataclasses
import subprocess
import threading
from pathlib import Path

import pytest
from paramiko.common import (
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_OPEN,
    MSG_USERAUTH_FAILURE,
    MSG_USERAUTH_REQUEST,
    MSG_USERAUTH_SUCCESS,
)
from ssh_peer import Peer
from sshd_server import make_key, wait_until

import macfleet.ssh.handshake as limits
from macfleet.lab.delay import DelayProxy
from macfleet.model.diagnostic import DeadlineExceeded, NodeUnreachable
from macfleet.model.node import Node
from macfleet.ssh import SshTransports
from macfleet.ssh.connection import Connection

pytestmark = pytest.mark.sshd
RTT = 1.0
NEVER = 0


def begun(pool: SshTransports, node: Node) -> Connection:
    """Return a connection that was begun before it was asked for."""
    pool.begin([node])
    wait_until(lambda: pool._opening or pool._open or pool._trouble, 60)
    return pool.connection(node)


def failure_of(connection: Connection, script: str = "echo in") -> str:
    with pytest.raises(NodeUnreachable) as caught:
        connection.run(script, deadline=60)
    return caught.value.diagnostics[0].code


def test_a_script_does_not_wait_for_the_login_to_be_granted(peer: Peer, pool: SshTransports) -> None:
    peer.hold = {MSG_USERAUTH_SUCCESS: MSG_CHANNEL_EOF}
    assert b"echo in" in begun(pool, peer.node()).run("echo in", deadline=60).stdout
    assert len(peer.took) == 1


def test_a_connection_that_was_not_begun_waits_for_its_login(peer: Peer, pool: SshTransports) -> None:
    pool.to(peer.node()).run("echo in", deadline=60)
    assert MSG_USERAUTH_SUCCESS not in peer.early


def test_the_first_script_of_a_begun_connection_costs_four_round_trips_from_syn(server, pool) -> None:
    node = server.node(host_key=server.fingerprint())
    with DelayProxy([server.port], RTT) as far:
        there = dataclasses.replace(node, endpoint=dataclasses.replace(node.endpoint, port=far.ports[0]))
        assert begun(pool, there).run("echo in", deadline=60).stdout == b"in\n"
        seen = far.passages()[0]
    # SYN, first line, keys, login with script.
    assert seen.connections == 1
    assert seen.round_trips <= 4


def test_openssh_takes_scripts_of_any_size_behind_a_login(server, pool) -> None:
    node = begun(pool, server.node(host_key=server.fingerprint()))
    for size in (200_000, 3 * 2**20):
        done = node.run(f"cat <<'END' | wc -c\n{'x' * (size - 1)}\nEND", deadline=120)
        assert int(done.stdout) == size


def test_openssh_that_refuses_the_login_runs_nothing_and_is_told_as_such(
    server, tmp_path: Path, pool: SshTransports
) -> None:
    (server.folder / "authorized_keys").write_text("")
    node = begun(pool, server.node(host_key=server.fingerprint()))
    assert failure_of(node, f"touch {tmp_path}/mark") == "E0405"
    assert not (tmp_path / "mark").exists()
    assert not node.alive
    # Whoever asks for it again is told so at once.
    with pytest.raises(NodeUnreachable) as caught:
        pool.connection(server.node(host_key=server.fingerprint()))
    assert caught.value.diagnostics[0].code == "E0405"


def test_openssh_that_wants_more_than_a_key_runs_nothing(launch, tmp_path: Path, pool) -> None:
    server = launch(
        "AuthenticationMethods publickey,keyboard-interactive", "KbdInteractiveAuthentication yes"
    )
    node = begun(pool, server.node(host_key=server.fingerprint()))
    assert failure_of(node, f"touch {tmp_path}/mark") == "E0405"
    assert not (tmp_path / "mark").exists()


def test_everybody_who_uses_a_refused_connection_is_told_why(server, pool: SshTransports) -> None:
    (server.folder / "authorized_keys").write_text("")
    node = begun(pool, server.node(host_key=server.fingerprint()))
    codes: list[str] = []
    threads = [threading.Thread(target=lambda: codes.append(failure_of(node))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == ["E0405"] * 4


def test_with_a_second_key_to_offer_the_answer_is_waited_for(
    peer: Peer, tmp_path: Path, no_config: Path
) -> None:
    make_key(tmp_path / "other", "ed25519")
    no_config.write_text(f"IdentityFile {tmp_path}/other\nIdentityFile {tmp_path}/identity\n")
    pool = SshTransports(tmp_path / "known_hosts", ssh_config=no_config)
    assert b"echo in" in begun(pool, peer.node(identity_file="")).run("echo in", deadline=60).stdout
    took = peer.took[0]
    last_request = len(took) - 1 - took[::-1].index(MSG_USERAUTH_REQUEST)
    assert took.count(MSG_USERAUTH_REQUEST) == 2
    assert last_request < took.index(MSG_CHANNEL_OPEN)
    assert not {MSG_USERAUTH_FAILURE, MSG_USERAUTH_SUCCESS} & set(peer.early)
    pool.close()


def test_an_rsa_key_may_wait_for_the_servers_list_first(tmp_path: Path, pool: SshTransports) -> None:
    make_key(tmp_path / "identity", "rsa")
    server = Peer(tmp_path / "identity")
    server.signatures = ("rsa-sha2-256",)
    node = begun(pool, server.node())
    assert b"echo in" in node.run("echo in", deadline=60).stdout
    assert node._transport._agreed_pubkey_algorithm == "rsa-sha2-256"
    server.close()


def test_scripts_that_start_together_on_an_unanswered_login_all_run_once(server, pool) -> None:
    node = begun(pool, server.node(host_key=server.fingerprint()))
    answers: dict[int, bytes] = {}

    def ask(number: int) -> None:
        answers[number] = node.run(f"echo {number}", deadline=60).stdout

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {number: f"{number}\n".encode() for number in range(4)}


def test_a_wrong_number_behind_an_unanswered_login_is_a_wrong_guess_only(peer: Peer, pool) -> None:
    peer.first_channel = 7
    assert b"echo in" in begun(pool, peer.node()).run("echo in", deadline=60).stdout
    assert (len(peer.stdins), len(peer.took)) == (1, 2)


def test_a_tunnel_waits_for_the_login(server, pool: SshTransports) -> None:
    (server.folder / "authorized_keys").write_text("")
    node = begun(pool, server.node(host_key=server.fingerprint()))
    with pytest.raises(NodeUnreachable) as caught, node.tunnel(1):
        pass
    assert caught.value.diagnostics[0].code == "E0405"


def test_a_login_that_is_never_answered_ends_by_its_own_timeout(
    peer: Peer, pool: SshTransports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_AUTH_TIMEOUT", 1.0)
    peer.hold = {MSG_USERAUTH_SUCCESS: NEVER}
    node = begun(pool, peer.node())
    with pytest.raises(NodeUnreachable) as caught:
        node.run("echo in", deadline=3600)
    found = caught.value.diagnostics[0]
    assert (found.code, "no answer to the login within 1 s" in found.summary) == ("E0401", True)


def test_a_scripts_deadline_counts_while_its_login_is_unanswered(peer: Peer, pool: SshTransports) -> None:
    peer.hold = {MSG_USERAUTH_SUCCESS: NEVER}
    with pytest.raises(DeadlineExceeded):
        begun(pool, peer.node()).run("echo in", deadline=1)


def test_a_server_that_hangs_up_at_the_login_is_told_as_such(peer: Peer, pool: SshTransports) -> None:
    peer.hold = {MSG_USERAUTH_SUCCESS: NEVER}
    node = begun(pool, peer.node())
    codes: list[str] = []
    asking = threading.Thread(target=lambda: codes.append(failure_of(node)), daemon=True)
    asking.start()
    wait_until(lambda: MSG_CHANNEL_EOF in peer.took[0], 60)
    peer.hang_up()
    asking.join(60)
    assert codes == ["E0405"]
    assert len(peer.took) == 1


def test_closing_wakes_who_waits_for_a_login(peer: Peer, pool: SshTransports) -> None:
    peer.hold = {MSG_USERAUTH_SUCCESS: NEVER}
    node = begun(pool, peer.node())
    ended = threading.Event()

    def ask() -> None:
        with pytest.raises(NodeUnreachable):
            node.run("echo in", deadline=3600)
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    wait_until(lambda: MSG_CHANNEL_EOF in peer.took[0], 60)
    node._client.close()
    assert ended.wait(10), "it went on to the login's own timeout of 20 s"


@pytest.mark.parametrize(
    ("settings", "held", "ahead"),
    [
        ("", (), True),
        ("", ("identity",), True),
        ("", ("identity", "other"), False),
        ("IdentitiesOnly yes", ("identity", "other"), True),
    ],
)
def test_a_login_is_left_unanswered_where_no_other_key_could_follow(
    peer: Peer,
    tmp_path: Path,
    no_config: Path,
    agent: Path,
    settings: str,
    held: tuple[str, ...],
    ahead: bool,
) -> None:
    make_key(tmp_path / "other", "ed25519")
    for name in held:
        subprocess.run(["ssh-add", "-q", tmp_path / name], check=True, env={"SSH_AUTH_SOCK": str(agent)})
    no_config.write_text(f"IdentityFile {tmp_path}/identity\n{settings}\n")
    pool = SshTransports(tmp_path / "known_hosts", ssh_config=no_config)
    node = begun(pool, peer.node(identity_file=""))
    assert (node._transport.unanswered is not None) == ahead
    assert b"echo in" in node.run("echo in", deadline=60).stdout
    pool.close()


def test_a_key_with_a_certificate_beside_it_is_waited_for(peer: Peer, tmp_path: Path, pool) -> None:
    make_key(tmp_path / "ca", "ed25519")
    signing = ["ssh-keygen", "-q", "-s", tmp_path / "ca", "-I", "me", "-n", "ops", tmp_path / "identity.pub"]
    subprocess.run(signing, check=True)
    node = begun(pool, peer.node())
    assert node._transport.unanswered is None
    assert b"echo in" in node.run("echo in", deadline=60).stdout
