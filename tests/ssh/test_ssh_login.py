"""Logging in as people do: agents, passphrases, certificates, many keys."""

from __future__ import annotations

import dataclasses
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from sshd_server import Server, make_key, sign

from macfleet.model.diagnostic import Diagnostic, NodeUnreachable
from macfleet.model.secret import Secret
from macfleet.ssh import Passphrases, SshTransports

pytestmark = pytest.mark.sshd
PHRASE = "a phrase nobody guesses"


def lock(identity: Path) -> None:
    """Give a private key a passphrase."""
    command = ["ssh-keygen", "-q", "-p", "-P", "", "-N", PHRASE, "-f", str(identity)]
    subprocess.run(command, check=True, capture_output=True)


def add(identity: Path) -> None:
    subprocess.run(["ssh-add", "-q", identity], check=True, capture_output=True)


def reach(server: Server, folder: Path, config: str = "", passphrase=None, **endpoint) -> str:
    """Log in and return what the node says."""
    path = folder / "ssh_config_of_test"
    path.write_text(config)
    transports = SshTransports(folder / "known_hosts", ssh_config=path, passphrase=passphrase)
    try:
        node = server.node(host_key=server.fingerprint(), **endpoint)
        return transports.to(node).run("echo in", deadline=20).stdout.decode().strip()
    finally:
        transports.close()


def refused(server: Server, folder: Path, config: str = "", passphrase=None, **endpoint) -> Diagnostic:
    with pytest.raises(NodeUnreachable) as caught:
        reach(server, folder, config, passphrase, **endpoint)
    return caught.value.diagnostics[0]


def test_a_key_with_a_passphrase_is_used_through_the_agent(server, agent, tmp_path) -> None:
    add(server.identity)
    lock(server.identity)
    assert reach(server, tmp_path) == "in"


def test_an_identity_may_be_the_public_half_of_a_key_in_the_agent(server, agent, tmp_path) -> None:
    add(server.identity)
    server.identity.unlink()
    assert reach(server, tmp_path) == "in"
    assert reach(server, tmp_path, identity_file=f"{server.identity}.pub") == "in"


def test_any_key_of_the_agent_will_do_when_nobody_names_an_identity(server, agent, tmp_path) -> None:
    add(server.identity)
    assert reach(server, tmp_path, identity_file="") == "in"


def test_the_agent_that_ssh_config_names_is_asked(server, agent, tmp_path, monkeypatch) -> None:
    add(server.identity)
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert refused(server, tmp_path, identity_file="").code == "E0405"
    assert reach(server, tmp_path, f"IdentityAgent {agent}\n", identity_file="") == "in"


def test_identity_agent_none_asks_no_agent(server, agent, tmp_path) -> None:
    add(server.identity)
    assert refused(server, tmp_path, "IdentityAgent none\n", identity_file="").code == "E0405"


def test_an_agent_that_does_not_answer_is_as_good_as_none(server, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "nobody"))
    assert reach(server, tmp_path) == "in"


def test_the_named_identity_comes_before_a_crowd_in_the_agent(server, agent, tmp_path) -> None:
    for number in range(8):  # sshd hangs up after six keys
        make_key(tmp_path / f"other-{number}", "ed25519")
        add(tmp_path / f"other-{number}")
    assert reach(server, tmp_path) == "in"
    found = refused(server, tmp_path, identity_file="")
    assert found.code == "E0405"
    assert "MaxAuthTries" in found.why
    assert "IdentitiesOnly" in found.mend


def test_identities_only_offers_nothing_else_of_the_agent(server, agent, tmp_path) -> None:
    add(server.identity)
    make_key(tmp_path / "other", "ed25519")
    other = str(tmp_path / "other")
    assert reach(server, tmp_path, identity_file=other) == "in"
    found = refused(server, tmp_path, "IdentitiesOnly yes\n", identity_file=other)
    assert found.why == f"Tried: {other}."


def test_identities_of_ssh_config_are_tried_in_order(server, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    make_key(tmp_path / "other", "ed25519")
    config = (
        f"IdentityFile {tmp_path}/nowhere\nIdentityFile {tmp_path}/other\nIdentityFile {server.identity}\n"
    )
    assert reach(server, tmp_path, config, identity_file="") == "in"


def test_a_key_of_the_agent_will_do_where_ssh_config_names_a_file_that_is_not_there(
    server, agent, tmp_path
) -> None:
    add(server.identity)
    config = f"IdentityFile {tmp_path}/nowhere\n"
    assert reach(server, tmp_path, config, identity_file="") == "in"
    found = refused(server, tmp_path, f"{config}IdentitiesOnly yes\n", identity_file="")
    assert (found.code, f"{tmp_path}/nowhere" in found.summary) == ("E0406", True)
    subprocess.run(["ssh-add", "-q", "-D"], check=True, capture_output=True)
    assert refused(server, tmp_path, config, identity_file="").code == "E0406"


def test_a_passphrase_that_is_given_opens_the_key(server, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    lock(server.identity)
    assert reach(server, tmp_path, passphrase=Passphrases(lambda: Secret(PHRASE))) == "in"


def test_a_wrong_passphrase_is_said_without_being_shown(server, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    lock(server.identity)
    found = refused(server, tmp_path, passphrase=Passphrases(lambda: Secret("another phrase")))
    assert (found.code, "not the right one" in found.summary) == ("E0406", True)
    assert "another phrase" not in str(dataclasses.astuple(found))


def test_the_askpass_program_is_asked_once_a_key(server, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    lock(server.identity)
    program = tmp_path / "askpass"
    program.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/asked\necho "{PHRASE}"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("SSH_ASKPASS", str(program))
    transports = SshTransports(tmp_path / "known_hosts", ssh_config=tmp_path / "none")
    for name in ("mac-01", "mac-02"):
        node = server.node(name, host_key=server.fingerprint())
        assert transports.to(node).run("echo in", deadline=20).stdout == b"in\n"
    transports.close()
    asked = (tmp_path / "asked").read_text().splitlines()
    assert (len(asked), str(server.identity) in asked[0]) == (1, True)


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_every_kind_of_key_logs_in(server, tmp_path, kind, monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    make_key(tmp_path / "mine", kind)
    shutil.copy(tmp_path / "mine.pub", server.folder / "authorized_keys")
    assert reach(server, tmp_path, identity_file=str(tmp_path / "mine")) == "in"


def certified(server: Server, folder: Path, *options: str) -> Path:
    """Let the server trust an authority instead of keys; return a key of its own and sign it."""
    make_key(folder / "authority", "ed25519")
    server.restart_with(f"TrustedUserCAKeys {folder}/authority.pub", "AuthorizedKeysFile none")
    make_key(folder / "mine", "ed25519")
    sign(folder / "authority", folder / "mine.pub", *options)
    return folder / "mine"


USER = ("-n", "root,ops,ubuntu")


def only_authority(launch) -> Server:
    """Return a server that knows no key."""
    server = launch()
    (server.folder / "authorized_keys").write_text("")
    return server


def test_a_certificate_beside_the_key_is_offered(launch, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = only_authority(launch)
    mine = certified(server, tmp_path, *USER)
    assert reach(server, tmp_path, identity_file=str(mine)) == "in"
    assert "ED25519-CERT" in server.log
    Path(f"{mine}-cert.pub").unlink()
    assert refused(server, tmp_path, identity_file=str(mine)).code == "E0405"


@pytest.mark.parametrize(
    "options", [("-n", "nobody"), ("-n", "root,ops,ubuntu", "-V", "20200101:20200201")], ids=["name", "end"]
)
def test_a_certificate_that_is_not_good_for_the_account_is_told_apart_from_a_key(
    launch, tmp_path, monkeypatch, options
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = only_authority(launch)
    mine = certified(server, tmp_path, *options)
    found = refused(server, tmp_path, identity_file=str(mine))
    assert (found.code, f"{mine} with a certificate" in found.why) == ("E0405", True)
    assert "ssh-keygen -L" in found.mend
    mine.with_name("mine-cert.pub").unlink()
    assert "certificate" not in refused(server, tmp_path, identity_file=str(mine)).mend


def test_a_certificate_that_ssh_config_names_is_offered(launch, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    server = only_authority(launch)
    mine = certified(server, tmp_path, *USER)
    elsewhere = shutil.move(f"{mine}-cert.pub", tmp_path / "elsewhere")
    config = f"IdentityFile {mine}\nCertificateFile {elsewhere}\n"
    assert reach(server, tmp_path, config, identity_file="") == "in"


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_certificate_that_the_agent_holds_is_offered(launch, agent, tmp_path, kind) -> None:
    server = only_authority(launch)
    certified(server, tmp_path, *USER)
    make_key(tmp_path / "held", kind)
    sign(tmp_path / "authority", tmp_path / "held.pub", *USER)
    add(tmp_path / "held")
    for path in tmp_path.glob("held*"):
        path.unlink()
    assert reach(server, tmp_path, identity_file="") == "in"


def test_a_key_in_the_agent_is_offered_with_the_certificate_on_disk(launch, agent, tmp_path) -> None:
    server = only_authority(launch)
    mine = certified(server, tmp_path, *USER)
    certificate = Path(f"{mine}-cert.pub").rename(tmp_path / "kept")
    add(mine)
    mine.unlink()
    certificate.rename(f"{mine}-cert.pub")
    assert reach(server, tmp_path, identity_file=str(mine)) == "in"


def test_a_list_of_accepted_algorithms_is_kept_to(server, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    make_key(tmp_path / "mine", "rsa")
    shutil.copy(tmp_path / "mine.pub", server.folder / "authorized_keys")
    mine = str(tmp_path / "mine")
    assert reach(server, tmp_path, "PubkeyAcceptedAlgorithms rsa-sha2-256\n", identity_file=mine) == "in"
    found = refused(server, tmp_path, "PubkeyAcceptedAlgorithms ssh-ed25519\n", identity_file=mine)
    assert found.code == "E0405"


def test_a_small_rsa_key_is_not_offered_when_ssh_config_wants_larger_ones(server, agent, tmp_path) -> None:
    make_key(tmp_path / "mine", "rsa")
    shutil.copy(tmp_path / "mine.pub", server.folder / "authorized_keys")
    mine = str(tmp_path / "mine")
    assert reach(server, tmp_path, "RequiredRSASize 2048\n", identity_file=mine) == "in"
    found = refused(server, tmp_path, "RequiredRSASize 3072\n", identity_file=mine)
    assert (found.code, "RequiredRSASize" in found.summary) == ("E0406", True)
    add(tmp_path / "mine")
    assert refused(server, tmp_path, "RequiredRSASize 3072\n", identity_file="").code == "E0405"


def said_by_ssh(server: Server, identity: Path) -> str:
    """Return what ssh itself says of a private key."""
    options = (
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
    )
    words = [word for option in options for word in ("-o", option)]
    command = ["ssh", "-F", "none", *words, "-i", identity, "-p", str(server.port), "127.0.0.1", "true"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


@pytest.mark.parametrize("locked", [False, True])
def test_a_private_key_that_others_may_read_is_taken_by_neither_ssh_nor_us(
    server, tmp_path, monkeypatch, locked
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    if locked:
        lock(server.identity)
    server.identity.chmod(0o644)
    found = refused(server, tmp_path, passphrase=Passphrases(lambda: Secret(PHRASE)))
    assert (found.code, "mode 0644" in found.summary) == ("E0406", True)
    assert f"chmod 600 {server.identity}" in found.summary
    if shutil.which("ssh"):
        assert "This private key will be ignored." in said_by_ssh(server, server.identity)
    server.identity.chmod(0o400)
    assert reach(server, tmp_path, passphrase=Passphrases(lambda: Secret(PHRASE))) == "in"
