"""The fleet's list of host keys as text."""

from __future__ import annotations

import base64
import shutil
import string
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from macfleet.ssh.known_hosts import HostKey, KnownHosts, host_name, record

BLOB = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32)
KEY = HostKey("ssh-ed25519", BLOB)
OTHER = HostKey("ssh-rsa", b"\0\0\0\x07ssh-rsa" + bytes(16))
TEXT = base64.b64encode(BLOB).decode()
names = st.text(string.ascii_lowercase + string.digits + ".-", min_size=1, max_size=20)
keys = st.builds(HostKey, st.sampled_from(["ssh-ed25519", "ssh-rsa"]), st.binary(min_size=1, max_size=64))


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [("mac-01", 22, "mac-01"), ("mac-01", 2222, "[mac-01]:2222"), ("fe80::1", 22, "fe80::1")],
)
def test_a_host_is_named_as_openssh_names_it(host, port, name) -> None:
    assert host_name(host, port) == name


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# mac-01 ssh-ed25519 " + TEXT,
        "@revoked mac-01 ssh-ed25519 " + TEXT,
        "@cert-authority mac-01 ssh-ed25519 " + TEXT,
        "mac-01 ssh-ed25519",
        "mac-01 ssh-ed25519 not-base64!",
        "mac-011 ssh-ed25519 " + TEXT,
        "*,!mac-01 ssh-ed25519 " + TEXT,
        "mac-0 ssh-ed25519 " + TEXT,
        "|1|broken|broken! ssh-ed25519 " + TEXT,
        "|1| ssh-ed25519 " + TEXT,
    ],
)
def test_what_is_no_plain_entry_of_a_host_trusts_nothing(line) -> None:
    assert KnownHosts(line).keys("mac-01") == ()


def test_several_names_and_several_keys_are_all_found() -> None:
    other = base64.b64encode(OTHER.blob).decode()
    known = KnownHosts(f"mac-01,10.0.0.1 ssh-ed25519 {TEXT} a comment\nmac-01 ssh-rsa {other}\n")
    assert known.keys("mac-01") == (KEY, OTHER)
    assert known.keys("10.0.0.1") == (KEY,)


@pytest.mark.parametrize("names", ["mac-*", "*", "MAC-01", "other,mac-0?", "!mac-02,mac-*"])
def test_names_are_patterns_as_with_ssh(names) -> None:
    assert KnownHosts(f"{names} ssh-ed25519 {TEXT}").keys("mac-01") == (KEY,)


def test_marked_lines_are_authorities_and_revoked_keys_and_nothing_else() -> None:
    other = base64.b64encode(OTHER.blob).decode()
    known = KnownHosts(f"@cert-authority *.example ssh-ed25519 {TEXT}\n@revoked * ssh-rsa {other}\n")
    assert known.authorities("mac-01.example") == (KEY,)
    assert known.authorities("mac-01") == ()
    assert known.is_revoked("mac-01", OTHER)
    assert not known.is_revoked("mac-01", KEY)
    assert known.keys("mac-01.example") == ()


def test_a_missing_file_knows_nobody(tmp_path: Path) -> None:
    assert KnownHosts.read(tmp_path / "nowhere").keys("mac-01") == ()


@pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="no ssh-keygen: apt-get install openssh-client"
)
def test_hashed_entries_of_openssh_are_understood_and_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    record(path, {"[mac-01]:2222": KEY, "mac-02": OTHER})
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", path], check=True, capture_output=True)
    assert "mac-01" not in path.read_text()
    known = KnownHosts.read(path)
    assert (known.keys("[mac-01]:2222"), known.keys("mac-01")) == ((KEY,), ())
    record(path, {"[mac-01]:2222": OTHER}, forget=["[mac-01]:2222"])
    known = KnownHosts.read(path)
    assert (known.keys("[mac-01]:2222"), known.keys("mac-02")) == ((OTHER,), (OTHER,))


def test_the_fingerprint_is_the_one_ssh_keygen_prints(tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen: apt-get install openssh-client")
    path = tmp_path / "key.pub"
    path.write_text(f"ssh-ed25519 {TEXT}\n")
    printed = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout
    assert printed.split()[1] == KEY.fingerprint


def test_forgetting_one_name_of_a_line_keeps_the_other_and_all_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(
        f"# by hand\nmac-01,10.0.0.1 ssh-ed25519 {TEXT} note\n@revoked mac-01 ssh-ed25519 {TEXT}\n"
    )
    record(path, {"mac-01": OTHER}, forget=["mac-01"])
    other = base64.b64encode(OTHER.blob).decode()
    assert path.read_text().splitlines() == [
        "# by hand",
        f"10.0.0.1 ssh-ed25519 {TEXT} note",
        f"@revoked mac-01 ssh-ed25519 {TEXT}",
        f"mac-01 ssh-rsa {other}",
    ]


def test_other_lines_and_the_mode_of_the_file_stay_to_the_byte(tmp_path: Path) -> None:
    path, link = tmp_path / "shared", tmp_path / "known_hosts"
    mine = b"# caf\xe9 \x0b \xe2\x80\xa8 one line\r\n@cert-authority *.example ssh-ed25519 " + TEXT.encode()
    path.write_bytes(mine + b"\n")
    path.chmod(0o664)
    link.symlink_to(path)
    record(link, {"mac-01": OTHER})
    assert path.read_bytes().startswith(mine + b"\nmac-01 ssh-rsa ")
    assert (link.is_symlink(), path.stat().st_mode & 0o777) == (True, 0o664)


def test_what_two_enrolments_add_at_once_is_all_there_and_once(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: record(path, {f"mac-{n}": KEY, "gate": OTHER}), range(40)))
    names = [line.split()[0] for line in path.read_text().splitlines()]
    assert sorted(names) == sorted(["gate", *(f"mac-{n}" for n in range(40))])


@given(st.text())
def test_any_text_can_be_read(text) -> None:
    KnownHosts(text).keys("mac-01")


@given(entries=st.dictionaries(names, keys, max_size=5), replaced=keys)
def test_what_was_recorded_is_found_again(tmp_path_factory, entries, replaced) -> None:
    path = tmp_path_factory.mktemp("fleet") / "known_hosts"
    record(path, entries)
    assert all(KnownHosts.read(path).keys(name) == (key,) for name, key in entries.items())
    for name in list(entries)[:1]:
        record(path, {name: replaced}, forget=[name])
        entries[name] = replaced
    assert all(KnownHosts.read(path).keys(name) == (key,) for name, key in entries.items())
