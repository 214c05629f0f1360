"""How many connections are kept, and which one makes room."""

import dataclasses
import threading

import pytest
from sshd_server import wait_until

from macfleet.model.diagnostic import NodeUnreachable
from macfleet.ssh import SshTransports

pytestmark = pytest.mark.sshd


@pytest.fixture
def three(launch, tmp_path, no_config):
    servers = [launch() for _ in range(3)]
    known = tmp_path / "known_hosts"
    known.write_text("".join(each.known_hosts(tmp_path / "one").read_text() for each in servers))
    transports = SshTransports(known, ssh_config=no_config, keep=2)
    yield transports, [each.node(f"mac-{number}") for number, each in enumerate(servers)]
    transports.close()


def test_the_connection_that_has_been_idle_longest_makes_room(three):
    transports, (first, second, third) = three
    kept = [transports.connection(node) for node in (first, second)]
    kept[0].run(":", deadline=20)
    transports.connection(third)
    assert [each.alive for each in kept] == [True, False]
    assert transports.connection(second).run("echo again", deadline=20).stdout == b"again\n"


def test_a_connection_with_a_running_script_is_never_closed_for_another(three, tmp_path):
    transports, (first, second, third) = three
    busy = transports.connection(first)
    begun, answers = threading.Event(), []

    script = f"echo begun; until [ -e {tmp_path}/go ]; do sleep 0.05; done"

    def work():
        answers.append(busy.run(script, deadline=60, sink=lambda _: begun.set()))

    worker = threading.Thread(target=work)
    worker.start()
    assert begun.wait(20)
    idle = transports.connection(second)
    transports.connection(third)
    assert (busy.alive, idle.alive) == (True, False)
    (tmp_path / "go").touch()
    worker.join(30)
    assert [answer.exit for answer in answers] == [0]


def test_a_connection_that_was_begun_is_the_one_that_is_asked_for(three):
    transports, (first, *_) = three
    transports.begin([first])
    connection = transports.connection(first)
    assert connection.run("echo here", deadline=20).stdout == b"here\n"
    assert transports.connection(first) is connection


def test_trouble_of_a_connection_that_was_begun_is_told_once_to_who_asks(three, tmp_path):
    transports, (first, *_) = three
    refused = dataclasses.replace(first.endpoint, host_key="SHA256:" + "A" * 43)
    transports.begin([dataclasses.replace(first, endpoint=refused)])
    wait_until(lambda: transports._trouble)
    with pytest.raises(NodeUnreachable, match="pinned"):
        transports.connection(first)
    assert transports.connection(first).run(":", deadline=20).exit == 0
