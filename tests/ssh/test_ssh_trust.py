"""Host keys, logins and servers that turn somebody away."""

from __future__ import annotations

import random
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from relay import relay
from sshd_server import Server, free_port, make_key

from macfleet.model.diagnostic import Diagnostic, MacfleetError, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Endpoint, Node
from macfleet.ssh import EnrolmentOutcome, SshTransports, enrol

pytestmark = pytest.mark.sshd


class Impatient:
    """A clock that waits for nothing and remembers what it was asked to wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)


@pytest.fixture
def known_hosts(tmp_path: Path) -> Path:
    return tmp_path / "fleet" / "known_hosts"


class Closing(Impatient):
    """The first wait ends everything, as a command that ends meanwhile does."""

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self._close = close

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._close()


def refusal(node: Node, known_hosts: Path, no_config: Path, clock: Impatient | None = None) -> Diagnostic:
    """Return why a node is not reached."""
    pool = SshTransports(known_hosts, ssh_config=no_config, clock=clock)
    with pytest.raises(NodeUnreachable) as caught:
        pool.to(node)
    pool.close()
    (found,) = caught.value.diagnostics
    assert found.node == node.name
    assert found.exit_code == ExitCode.UNREACHABLE
    return found


def answers(node: Node, known_hosts: Path, no_config: Path, clock: Impatient | None = None) -> bool:
    """Whether a node runs a script."""
    pool = SshTransports(known_hosts, ssh_config=no_config, clock=clock)
    done = pool.to(node).run("echo yes", deadline=20)
    pool.close()
    return done.stdout == b"yes\n"


def test_an_unknown_host_key_is_refused_before_any_login(server, known_hosts, no_config) -> None:
    found = refusal(server.node(), known_hosts, no_config)
    assert found.code == "E0402"
    assert server.fingerprint() in found.summary
    assert "macfleet enrol mac-01" in found.mend
    assert "Accepted" not in (server.folder / "sshd.log").read_text()


def test_an_enrolled_node_answers(server, known_hosts, no_config) -> None:
    (row,) = enrol([server.node()], known_hosts, ssh_config=no_config)
    assert (row.node, row.host, row.key_type) == ("mac-01", server.name, "ssh-ed25519")
    assert (row.fingerprint, row.outcome) == (server.fingerprint(), EnrolmentOutcome.NEW)
    assert answers(server.node(), known_hosts, no_config)


def test_enrolling_twice_changes_nothing(server, known_hosts, no_config) -> None:
    enrol([server.node()], known_hosts, ssh_config=no_config)
    before = known_hosts.read_bytes()
    (row,) = enrol([server.node()], known_hosts, ssh_config=no_config)
    assert row.outcome == EnrolmentOutcome.KNOWN
    assert known_hosts.read_bytes() == before


def test_a_changed_host_key_is_refused_until_it_is_replaced(server, known_hosts, no_config) -> None:
    enrol([server.node()], known_hosts, ssh_config=no_config)
    old = server.fingerprint()
    server.new_host_key()
    found = refusal(server.node(), known_hosts, no_config)
    assert found.code == "E0403"
    assert old in found.summary
    assert server.fingerprint() in found.summary
    assert "--replace" in found.mend

    (row,) = enrol([server.node()], known_hosts, ssh_config=no_config)
    assert row.outcome == EnrolmentOutcome.CHANGED
    assert row.diagnostics[0].code == "E0403"
    assert refusal(server.node(), known_hosts, no_config).code == "E0403"

    (row,) = enrol([server.node()], known_hosts, replace=True, ssh_config=no_config)
    assert (row.outcome, row.fingerprint) == (EnrolmentOutcome.REPLACED, server.fingerprint())
    assert answers(server.node(), known_hosts, no_config)


def test_a_pinned_key_needs_no_enrolment(server, known_hosts, no_config) -> None:
    assert answers(server.node(host_key=server.fingerprint()), known_hosts, no_config)


def test_a_key_that_is_not_the_pinned_one_is_refused_even_when_enrolled(
    server, known_hosts, no_config
) -> None:
    enrol([server.node()], known_hosts, ssh_config=no_config)
    pinned = server.node(host_key="SHA256:" + "A" * 43)
    assert refusal(pinned, known_hosts, no_config).code == "E0404"


def test_a_key_that_is_not_the_pinned_one_is_never_enrolled(server, known_hosts, no_config) -> None:
    pinned = server.node(host_key="SHA256:" + "A" * 43)
    (row,) = enrol([pinned], known_hosts, replace=True, ssh_config=no_config)
    assert row.outcome == EnrolmentOutcome.REFUSED
    assert row.diagnostics[0].code == "E0404"
    assert not known_hosts.exists()


def test_a_new_pin_is_enough_for_a_re_imaged_node(server, known_hosts, no_config) -> None:
    enrol([server.node()], known_hosts, ssh_config=no_config)
    server.new_host_key()
    pinned = server.node(host_key=server.fingerprint())
    assert answers(pinned, known_hosts, no_config)
    (row,) = enrol([pinned], known_hosts, ssh_config=no_config)
    assert row.outcome == EnrolmentOutcome.REPLACED
    assert answers(server.node(), known_hosts, no_config)


def test_a_list_that_cannot_be_read_or_written_is_named(server, known_hosts, no_config) -> None:
    known_hosts.mkdir(parents=True)
    for attempt in (
        lambda: enrol([server.node()], known_hosts, ssh_config=no_config),
        lambda: answers(server.node(), known_hosts, no_config),
    ):
        with pytest.raises(MacfleetError) as caught:
            attempt()
        assert [each.code for each in caught.value.diagnostics] == ["E0428"]
        assert str(known_hosts) in caught.value.diagnostics[0].summary
    known_hosts.rmdir()
    known_hosts.parent.rmdir()
    known_hosts.parent.write_text("a file where the folder should be")
    with pytest.raises(MacfleetError, match="cannot be written"):
        enrol([server.node()], known_hosts, ssh_config=no_config)


def test_a_pin_of_another_key_type_is_found_and_asked_for_from_then_on(
    server, known_hosts, no_config
) -> None:
    pinned = server.node(host_key=server.fingerprint("rsa"))
    (row,) = enrol([pinned], known_hosts, ssh_config=no_config)
    assert (row.outcome, row.key_type) == (EnrolmentOutcome.NEW, "ssh-rsa")
    assert answers(pinned, known_hosts, no_config)


def test_one_unreachable_node_does_not_stop_the_enrolment_of_another(server, known_hosts, no_config) -> None:
    dead = server.node("mac-00", port=free_port())
    rows = enrol([dead, server.node()], known_hosts, ssh_config=no_config)
    assert [row.outcome for row in rows] == [EnrolmentOutcome.UNREACHABLE, EnrolmentOutcome.NEW]
    assert rows[0].diagnostics[0].code == "E0401"


def test_a_dead_port_is_named(server, known_hosts, no_config) -> None:
    port = free_port()
    found = refusal(server.node(port=port), known_hosts, no_config)
    assert (found.code, f"[127.0.0.1]:{port}" in found.summary) == ("E0401", True)


def test_a_name_without_an_address_is_named(known_hosts, no_config) -> None:
    node = Node(name="mac-09", endpoint=Endpoint(host="no-such-mac.invalid"))
    assert refusal(node, known_hosts, no_config).code == "E0401"


def test_a_wrong_identity_is_a_refused_login(server, known_hosts, no_config, tmp_path) -> None:
    make_key(tmp_path / "other", "ed25519")
    node = server.node(identity_file=str(tmp_path / "other"), host_key=server.fingerprint())
    found = refusal(node, known_hosts, no_config)
    assert found.code == "E0405"
    assert str(tmp_path / "other") in found.why


def test_a_missing_identity_is_named(server, known_hosts, no_config, tmp_path) -> None:
    node = server.node(identity_file=str(tmp_path / "nowhere"), host_key=server.fingerprint())
    assert refusal(node, known_hosts, no_config).code == "E0406"


def test_an_identity_with_a_passphrase_asks_for_the_agent(
    server, known_hosts, no_config, monkeypatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a phrase", "-f", server.identity],
        check=True,
        capture_output=True,
    )
    found = refusal(server.node(host_key=server.fingerprint()), known_hosts, no_config)
    assert found.code == "E0406"
    assert "ssh-add" in found.mend


def test_a_server_that_hangs_up_before_login_is_asked_again(server, known_hosts, no_config) -> None:
    clock = Impatient()
    with relay(server.port, turn_away=[b"", b"Exceeded MaxStartups\r\n", b""]) as line:
        node = server.node(port=line.port, host_key=server.fingerprint())
        assert answers(node, known_hosts, no_config, clock)
    assert len(clock.waits) == 3


def test_a_server_that_always_hangs_up_is_given_up(server, known_hosts, no_config) -> None:
    clock = Impatient()
    with relay(server.port, turn_away=[b"Exceeded MaxStartups\r\n"] * 20) as line:
        found = refusal(server.node(port=line.port), known_hosts, no_config, clock)
    assert (found.code, "MaxStartups" in found.why) == ("E0407", True)
    assert len(clock.waits) == 5


def test_once_closed_nobody_is_asked_again_and_random_numbers_stay_as_they_were(
    server, known_hosts, no_config
) -> None:
    before = random.getstate()
    with relay(server.port, turn_away=[b"Exceeded MaxStartups\r\n"] * 20) as line:
        transports = SshTransports(
            known_hosts,
            ssh_config=no_config,
            clock=Closing(lambda: transports.close()),  # noqa: PLW0108 (made here)
        )
        with pytest.raises(NodeUnreachable):
            transports.to(server.node(port=line.port))
        assert line.connections == 2
    assert random.getstate() == before


def test_a_penalty_is_recognised_and_not_made_worse_by_trying_again(server, known_hosts, no_config) -> None:
    clock = Impatient()
    with relay(server.port, turn_away=[b"Not allowed at this time\r\n"] * 20) as line:
        found = refusal(server.node(port=line.port), known_hosts, no_config, clock)
    assert found.code == "E0408"
    assert clock.waits == []


def test_a_refused_login_is_not_tried_again(server, known_hosts, no_config, tmp_path) -> None:
    clock = Impatient()
    make_key(tmp_path / "other", "ed25519")
    node = server.node(identity_file=str(tmp_path / "other"), host_key=server.fingerprint())
    assert refusal(node, known_hosts, no_config, clock).code == "E0405"
    assert clock.waits == []


def test_a_server_that_opens_no_session_says_so(
    launch: Callable[..., Server], known_hosts, no_config
) -> None:
    server = launch("MaxSessions 0")
    pool = SshTransports(known_hosts, ssh_config=no_config)
    transport = pool.to(server.node(host_key=server.fingerprint()))
    with pytest.raises(NodeUnreachable) as caught:
        transport.run("true", deadline=20)
    pool.close()
    assert caught.value.diagnostics[0].code == "E0412"


def test_nodes_behind_a_jump_host_share_its_connection(
    launch: Callable[..., Server], known_hosts, tmp_path
) -> None:
    gate, inner = launch(), launch()
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host gate\n  HostName 127.0.0.1\n  Port {gate.port}\n  IdentityFile {gate.identity}\n"
    )
    nodes = [inner.node(f"mac-{number}", jump="gate") for number in (1, 2, 3)]
    rows = enrol(nodes, known_hosts, ssh_config=config)
    assert [(row.node, row.host, row.outcome.value) for row in rows] == [
        ("mac-1", gate.name, "new"),
        ("mac-1", inner.name, "new"),
        ("mac-2", inner.name, "new"),
        ("mac-3", inner.name, "new"),
    ]
    accepted = (gate.folder / "sshd.log").read_text().count("Accepted publickey")
    pool = SshTransports(known_hosts, ssh_config=config)
    threads = [threading.Thread(target=pool.to, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [pool.to(node).run("echo in", deadline=20).stdout for node in nodes] == [b"in\n"] * 3
    pool.close()
    assert (gate.folder / "sshd.log").read_text().count("Accepted publickey") == accepted + 1


def test_a_jump_host_that_is_not_enrolled_is_refused(
    launch: Callable[..., Server], known_hosts, tmp_path
) -> None:
    gate, inner = launch(), launch()
    config = tmp_path / "ssh_config"
    config.write_text(
        f"Host gate\n  HostName 127.0.0.1\n  Port {gate.port}\n  IdentityFile {gate.identity}\n"
    )
    node = inner.node(jump="gate", host_key=inner.fingerprint())
    found = refusal(node, known_hosts, config)
    assert (found.code, gate.name in found.summary) == ("E0402", True)
