"""Host certificates, revoked keys, and the lists of host keys that ssh_config names."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sshd_server import Server, make_key, sign

from macfleet.model.diagnostic import Diagnostic, NodeUnreachable
from macfleet.model.exit_codes import ExitCode
from macfleet.ssh import EnrolmentOutcome, SshTransports, enrol
from macfleet.ssh.certificate import read_certificate
from macfleet.ssh.known_hosts import HostKey


def public(path: Path) -> str:
    return " ".join(path.read_text().split()[:2])


def reach(server: Server, known: Path, config: str = "", **endpoint) -> bool:
    path = known.with_name("ssh_config_of_test")
    path.write_text(config)
    transports = SshTransports(known, ssh_config=path)
    try:
        return transports.to(server.node(**endpoint)).run("echo in", deadline=20).stdout == b"in\n"
    finally:
        transports.close()


def refused(server: Server, known: Path, config: str = "", **endpoint) -> Diagnostic:
    with pytest.raises(NodeUnreachable) as caught:
        reach(server, known, config, **endpoint)
    (found,) = caught.value.diagnostics
    assert found.exit_code == ExitCode.UNREACHABLE
    return found


@pytest.fixture
def known(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


def certify(
    server: Server, folder: Path, *options: str, kind: str = "ed25519", host: str = "ed25519"
) -> Path:
    """Let an authority sign the server's key; return the authority's public key."""
    make_key(folder / "authority", kind)
    certificate = sign(folder / "authority", server.folder / f"host_{host}.pub", "-h", *options)
    server.restart_with(f"HostCertificate {certificate}")
    return folder / "authority.pub"


@pytest.mark.sshd
@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
@pytest.mark.parametrize("host", ["ed25519", "rsa"])
def test_a_host_with_a_certificate_of_a_known_authority_needs_no_enrolment(
    server, known, tmp_path, kind, host
) -> None:
    authority = certify(server, tmp_path, "-n", "127.0.0.1", kind=kind, host=host)
    known.write_text(f"@cert-authority [127.0.0.*]:* {public(authority)}\n")
    assert reach(server, known)


@pytest.mark.sshd
def test_a_re_imaged_host_with_a_new_certificate_is_trusted_without_replace(server, known, tmp_path) -> None:
    authority = certify(server, tmp_path, "-n", "127.0.0.1")
    known.write_text(
        f"@cert-authority * {public(authority)}\n{server.name} {public(tmp_path / 'authority.pub')}\n"
    )
    assert reach(server, known)


@pytest.mark.sshd
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-n", "mac-02"), "for mac-02, not for 127.0.0.1"),
        (("-n", "127.0.0.1", "-V", "-2h:-1h"), "expired"),
        (("-n", "127.0.0.1", "-V", "+1h:+2h"), "not valid yet"),
        (("-O", "critical:strange@example=1"), "options nobody here understands"),
    ],
)
def test_a_certificate_that_is_not_good_is_refused_with_the_reason(
    server, known, tmp_path, options, reason
) -> None:
    authority = certify(server, tmp_path, *options)
    known.write_text(f"@cert-authority * {public(authority)}\n")
    found = refused(server, known)
    assert (found.code, reason in found.summary) == ("E0420", True)


@pytest.mark.sshd
def test_an_authority_must_sign_with_what_ssh_config_allows(server, known, tmp_path) -> None:
    authority = certify(server, tmp_path, "-t", "rsa-sha2-256", kind="rsa")
    known.write_text(f"@cert-authority * {public(authority)}\n")
    assert reach(server, known, "CASignatureAlgorithms rsa-sha2-256\n")
    found = refused(server, known, "CASignatureAlgorithms ssh-ed25519,rsa-sha2-512\n")
    assert (found.code, "rsa-sha2-256" in found.summary) == ("E0420", True)


@pytest.mark.sshd
def test_a_small_rsa_host_key_is_refused_when_ssh_config_wants_larger_ones(server, known, tmp_path) -> None:
    config = "HostKeyAlgorithms rsa-sha2-512\n"
    pin = server.fingerprint("rsa")
    assert reach(server, known, f"{config}RequiredRSASize 2048\n", host_key=pin)
    found = refused(server, known, f"{config}RequiredRSASize 3072\n", host_key=pin)
    assert "2048 bits" in found.summary


@pytest.mark.sshd
def test_a_certificate_of_a_stranger_counts_as_the_bare_key(server, known, tmp_path) -> None:
    certify(server, tmp_path)
    make_key(tmp_path / "known_authority", "ed25519")
    authority = f"@cert-authority * {public(tmp_path / 'known_authority.pub')}\n"
    known.write_text(authority)
    assert refused(server, known).code == "E0402"
    known.write_text(f"{authority}{server.name} {public(server.folder / 'host_ed25519.pub')}\n")
    assert reach(server, known)


@pytest.mark.sshd
def test_a_pin_counts_more_than_an_authority(server, known, tmp_path) -> None:
    authority = certify(server, tmp_path)
    known.write_text(f"@cert-authority * {public(authority)}\n")
    assert reach(server, known, host_key=server.fingerprint())
    assert refused(server, known, host_key="SHA256:" + "A" * 43).code == "E0404"


@pytest.mark.sshd
def test_a_revoked_key_is_refused_even_when_enrolled_pinned_or_certified(server, known, tmp_path) -> None:
    authority = public(certify(server, tmp_path))
    key = public(server.folder / "host_ed25519.pub")
    known.write_text(f"{server.name} {key}\n@revoked * {key}\n")
    assert refused(server, known).code == "E0419"
    assert refused(server, known, host_key=server.fingerprint()).code == "E0419"
    known.write_text(f"@cert-authority * {authority}\n@revoked * {key}\n")
    assert refused(server, known).code == "E0419"
    known.write_text(f"@cert-authority * {authority}\n@revoked * {authority}\n")
    assert refused(server, known).code == "E0419"


@pytest.mark.sshd
def test_a_revoked_key_is_not_enrolled(server, known, no_config) -> None:
    known.write_text(f"@revoked {server.name} {public(server.folder / 'host_ed25519.pub')}\n")
    before = known.read_text()
    (row,) = enrol([server.node()], known, replace=True, ssh_config=no_config)
    assert (row.outcome, row.diagnostics[0].code) == (EnrolmentOutcome.REFUSED, "E0419")
    assert known.read_text() == before


@pytest.mark.sshd
def test_a_list_that_ssh_config_names_counts_and_is_not_written_to(server, known, tmp_path) -> None:
    mine = tmp_path / "my hosts"
    mine.write_text(f"{server.name} {public(server.folder / 'host_ed25519.pub')}\n")
    before = mine.read_text()
    config = f'UserKnownHostsFile /nowhere "{mine}"\n'
    assert reach(server, known, config)
    assert refused(server, known).code == "E0402"
    path = tmp_path / "ssh_config"
    path.write_text(config)
    (row,) = enrol([server.node()], known, ssh_config=path)
    assert row.outcome == EnrolmentOutcome.KNOWN
    assert (mine.read_text(), known.exists()) == (before, False)


@pytest.mark.sshd
def test_host_key_alias_names_the_host_in_the_list(server, known, tmp_path) -> None:
    known.write_text(f"mac-of-ours {public(server.folder / 'host_ed25519.pub')}\n")
    assert reach(server, known, "HostKeyAlias Mac-of-Ours\n")
    assert refused(server, known, "HostKeyAlias another\n").code == "E0402"


@pytest.mark.sshd
def test_host_key_algorithms_choose_which_key_is_shown(server, known, no_config, tmp_path) -> None:
    path = tmp_path / "ssh_config"
    path.write_text("HostKeyAlgorithms rsa-sha2-512\n")
    (row,) = enrol([server.node()], known, ssh_config=path)
    assert (row.key_type, row.fingerprint) == ("ssh-rsa", server.fingerprint("rsa"))
    path.write_text("HostKeyAlgorithms ecdsa-sha2-nistp521\n")
    assert refused(server, known, path.read_text()).code == "E0401"


def certificate_of(folder: Path, *options: str) -> HostKey:
    for name in ("authority", "host"):
        make_key(folder / name, "ed25519")
    signed = sign(folder / "authority", folder / "host.pub", *options)
    kind, blob = signed.read_text().split()[:2]
    return HostKey(kind, base64.b64decode(blob))


def test_a_certificate_with_any_byte_changed_is_not_genuine_or_not_readable(tmp_path) -> None:
    shown = certificate_of(tmp_path, "-h", "-n", "mac-01", "-V", "always:forever")
    assert read_certificate(shown).objection("mac-01", 1e9) == ""
    for place in range(40, len(shown.blob), 3):
        forged = bytearray(shown.blob)
        forged[place] ^= 1
        try:
            objection = read_certificate(HostKey(shown.kind, bytes(forged))).objection("mac-01", 1e9)
        except (ValueError, IndexError, OverflowError):
            continue
        assert objection, place


def test_a_users_certificate_is_not_good_for_a_host(tmp_path) -> None:
    shown = certificate_of(tmp_path, "-n", "mac-01")
    assert read_certificate(shown).objection("mac-01", 1e9) == "it is a user's certificate"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_as_a_certificate(blob) -> None:
    try:
        found = read_certificate(HostKey("ssh-ed25519-cert-v01@openssh.com", blob))
    except (ValueError, IndexError):
        return
    assert found.objection("mac-01", 0.0)
