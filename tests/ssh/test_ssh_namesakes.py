"""Two Macs that known_hosts gives one name: neither may answer in the other's place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sshd_server import Server

from macfleet.model.node import Endpoint, Node
from macfleet.ssh import Enrolment, EnrolmentOutcome, SshTransports, enrol

pytestmark = pytest.mark.sshd

PRIVATE = "10.0.0.10"


class Sites:
    """Two servers behind names of ssh_config; known_hosts calls both `PRIVATE`."""

    def __init__(self, folder: Path, one: Server, two: Server) -> None:
        self.servers = {"one": one, "two": two}
        self.known_hosts = folder / "known_hosts"
        self.config = folder / "config"
        lines = (
            f"Host {name}\n  HostName 127.0.0.1\n  Port {server.port}\n  HostKeyAlias {PRIVATE}\n"
            for name, server in self.servers.items()
        )
        self.config.write_text("".join(lines))

    def node(self, name: str, *, pinned: bool = False) -> Node:
        server = self.servers[name]
        user, identity = server.node().endpoint.user, str(server.identity)
        pin = server.fingerprint() if pinned else ""
        return Node(name, Endpoint(name, user=user, identity_file=identity, host_key=pin))

    def enrol(self, *nodes: Node, replace: bool = False, others: tuple[Node, ...] = ()) -> list[Enrolment]:
        return list(enrol(nodes, self.known_hosts, replace, others=others, ssh_config=self.config))

    def reach(self, node: Node) -> bool:
        pool = SshTransports(self.known_hosts, ssh_config=self.config)
        try:
            return pool.to(node).run("true", deadline=60).exit == 0
        finally:
            pool.close()


@pytest.fixture
def sites(tmp_path: Path, launch: Callable[..., Server]) -> Sites:
    return Sites(tmp_path, launch(), launch())


def test_neither_is_written_when_their_keys_differ(sites: Sites) -> None:
    rows = sites.enrol(sites.node("one"), sites.node("two"))
    assert [row.outcome for row in rows] == [EnrolmentOutcome.REFUSED] * 2
    assert [row.diagnostics[0].code for row in rows] == ["E0429"] * 2
    assert "one, two" in rows[0].diagnostics[0].summary
    assert not sites.known_hosts.exists()


def test_the_key_of_the_first_is_never_replaced_by_the_others(sites: Sites) -> None:
    one, two = sites.node("one"), sites.node("two")
    sites.enrol(one)
    before = sites.known_hosts.read_bytes()
    for replace in (False, True):
        (row,) = sites.enrol(two, replace=replace, others=(one,))
        assert (row.outcome, row.diagnostics[0].code) == (EnrolmentOutcome.REFUSED, "E0429")
        known, _ = sites.enrol(one, two, replace=replace)
        assert known.outcome == EnrolmentOutcome.KNOWN
    assert sites.known_hosts.read_bytes() == before


def test_a_pin_tells_them_apart(sites: Sites) -> None:
    one, two = sites.node("one"), sites.node("two", pinned=True)
    rows = sites.enrol(one, two)
    assert [row.outcome for row in rows] == [EnrolmentOutcome.NEW, EnrolmentOutcome.KNOWN]
    assert sites.known_hosts.read_text().count(PRIVATE) == 1
    assert sites.reach(one)
    assert sites.reach(two)


def test_one_mac_under_two_names_may_be_re_imaged(sites: Sites) -> None:
    sites.servers["two"] = sites.servers["one"]
    sites.config.write_text(sites.config.read_text().replace("Host one\n", "Host one two\n"))
    one, two = sites.node("one"), sites.node("two")
    sites.enrol(one)
    old = sites.servers["one"].fingerprint()
    sites.servers["one"].new_host_key()
    (row,) = sites.enrol(one, replace=True, others=(two,))
    assert (row.outcome, row.before) == (EnrolmentOutcome.REPLACED, (old,))
    assert sites.reach(two)
