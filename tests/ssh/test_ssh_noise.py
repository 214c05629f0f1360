"""What a login shell's start files print stands before every answer, and is no part of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sshd_server import Server

from macfleet.ssh import Connection, SshTransports

pytestmark = pytest.mark.sshd

# As .zshenv, .bashrc or config.fish of an account do.
NOISY = (
    'ForceCommand echo welcome; echo "no news" >&2; printf "no end of line"; '
    'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
)


@pytest.fixture
def node(launch: Callable[..., Server], tmp_path: Path) -> Iterator[Connection]:
    server = launch(NOISY)
    pool = SshTransports(tmp_path / "known_hosts", ssh_config=tmp_path / "none")
    yield pool.to(server.node(host_key=server.fingerprint()))
    pool.close()


@pytest.mark.parametrize("size", [0, 1, 3 * 2**20])
def test_an_answer_begins_where_the_script_does(node, size) -> None:
    for _ in range(2):
        done = node.run(f"head -c {size} /dev/zero", deadline=60)
        assert (done.exit, done.stdout) == (0, bytes(size))


def test_bytes_that_come_back_are_those_that_went(node) -> None:
    pieces = [bytes(range(256)) * 4096] * 3
    assert node.run("cat", stdin=pieces, deadline=60).stdout == b"".join(pieces)


def test_a_sink_gets_the_scripts_bytes_alone(node) -> None:
    heard: list[bytes] = []
    node.run("echo one; sleep 0.1; echo two", sink=heard.append, deadline=60)
    assert b"".join(heard) == b"one\ntwo\n"


def test_what_the_start_files_complain_of_stays_to_be_read(node) -> None:
    assert node.run("echo mine >&2", deadline=60).stderr == b"no news\nmine\n"
