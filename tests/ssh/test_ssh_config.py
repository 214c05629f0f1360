"""ssh_config as OpenSSH reads it: `ssh -G` is asked what a generated file means, and so are we."""

from __future__ import annotations

import contextlib
import getpass
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macfleet.ssh.config_files import ConfigFiles
from macfleet.ssh.config_keywords import ALIASES, FOLLOWED, KNOWN, PASSED_OVER, REFUSED, SAID, STEPS
from macfleet.ssh.config_settings import Settings
from macfleet.ssh.jumps import JumpHop, jump_hops
from macfleet.ssh.options import Options, options_for

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="no ssh: apt-get install openssh-client")

HOSTS = ["mac-01", "mac-02", "Mac-01", "gate.example", "10.0.0.7", "fe80::1", "a"]
PATTERNS = [
    *HOSTS,
    "mac-*",
    "mac-0?",
    "*",
    "*.example",
    "!mac-01",
    "!mac-*",
    "10.0.0.*",
    "nobody",
    '"mac-01"',
]
MATCHES = [
    "all",
    "host mac-*",
    "host mac-*,!mac-02",
    "host *.example",
    "host 10.*",
    "originalhost mac-01",
    "!originalhost mac-01",
    "user ops",
    "user ops,root",
    "!user ops",
    f"localuser {getpass.getuser()}",
    "localuser nobody",
    "host mac-* user ops",
    "final",
    "!final",
    "final host *.example",
    "canonical",
    "canonical all",
    'host="mac-01"',
    "exec true",
    'exec "test %n = mac-01"',
    'exec "test %h = mac-01.example" user ops',
    "host mac-01 # and nobody else",
]
VALUES = {
    "HostName": ["%h.example", "10.1.1.1", "UPPER.example", '"quoted.example"', "a%%b", "other # a comment"],
    "User": ["ops", "root", '"two words"', "o\\'ps", "$USER"],
    "Port": ["22", "2222", "ssh", "65535"],
    "IdentityFile": ["~/.ssh/one", "/keys/%h", "none", "~/.ssh/one", '"/keys/with blank"', "%d/.ssh/two"],
    "CertificateFile": ["~/.ssh/one-cert.pub", "/certs/two"],
    "IdentitiesOnly": ["yes", "no", "true", "FALSE"],
    "IdentityAgent": ["none", "SSH_AUTH_SOCK", "~/agent.sock", "/run/%u/agent", "${HOME}/agent"],
    "UserKnownHostsFile": ["~/one ~/two", "/etc/%n", "none", '"/a b" /c', "${HOME}/kh"],
    "StrictHostKeyChecking": ["yes", "no", "off", "ask", "accept-new"],
    "ConnectTimeout": ["5", "1m30s", "none", "2h"],
    "ServerAliveInterval": ["none", "0", "15", "1m"],
    "ServerAliveCountMax": ["1", "7"],
    "HostKeyAlias": ["alias-one", "UPPER"],
    "ProxyJump": ["gate", "u@gate:2200", "one,two", "none", "ops@[fe80::2]:22", "ssh://u@gate:2201"],
    "ProxyCommand": ["nc %h %p", "none", 'nc "%h" %p', "ssh -W %h:%p x # y", "= nc %h 22"],
    "AddressFamily": ["any", "inet", "inet6"],
    "RequiredRSASize": ["1024", "3072"],
    "BindAddress": ["127.0.0.1", "::1"],
    "Ciphers": ["aes256-ctr,aes128-ctr", "aes128-gcm@openssh.com"],
    "HostKeyAlgorithms": ["ssh-ed25519", "rsa-sha2-512,ssh-ed25519"],
    "IgnoreUnknown": ["UseKeychain,Strange*"],
    "Compression": ["yes", "no"],
    "SendEnv": ["LANG LC_*"],
    "LocalForward": ["9999 localhost:80"],
}
DEFAULT_IDENTITIES = [
    f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa")
]
DEFAULT_KNOWN_HOSTS = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]
keywords = st.sampled_from(sorted(VALUES)).flatmap(
    lambda keyword: st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "  ", "\t"]),
        st.sampled_from([keyword, keyword.lower(), keyword.upper()]),
        st.sampled_from([" ", "=", " = ", "\t", "  "]),
        st.sampled_from(VALUES[keyword]),
    )
)
hosts = st.builds("Host {}".format, st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3).map(" ".join))
matches = st.builds("Match {}".format, st.sampled_from(MATCHES))
others = st.sampled_from(
    ["", "# a comment", "   # another", "Include inner", "Include in*", "Include nowhere"]
)
lines = st.lists(
    st.one_of(keywords, keywords, keywords, hosts, hosts, matches, others), min_size=1, max_size=14
)


def said_by_ssh(config: Path, host: str, *options: str) -> dict[str, list[str]] | None:
    """Return what `ssh -G` prints, by keyword; None when it refuses the file."""
    done = subprocess.run(
        ["ssh", "-G", "-F", config, *options, "--", host], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return None
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        keyword, _, value = line.partition(" ")
        said.setdefault(keyword, []).append(value)
    return said


def ours(options: Options, found: Settings) -> dict[str, object]:
    """Return our values in the words of `ssh -G`."""
    strict = [remark.value for remark in options.remarks if remark.keyword == "stricthostkeychecking"]
    return {
        "hostname": options.host,
        "user": options.user or getpass.getuser(),
        "port": options.port,
        "identitiesonly": options.identities_only,
        "certificatefile": options.certificates,
        "hostkeyalias": options.alias,
        "connecttimeout": options.connect_timeout,
        "serveraliveinterval": options.alive_interval or 0,
        "serveralivecountmax": options.alive_count,
        "requiredrsasize": options.rsa_bits,
        "bindaddress": options.bind_address,
        "relaxed": [{"no": "false", "off": "false"}.get(value, value) for value in strict],
        "algorithms": {
            key: text for key, text in options.algorithms if key in ("ciphers", "hostkeyalgorithms")
        },
        "addressfamily": {socket.AF_UNSPEC: "any", socket.AF_INET: "inet", socket.AF_INET6: "inet6"}[
            options.family
        ],
        "identityagent": options.agent,
        "known_hosts": options.known_hosts,
        "identityfile": [setting.text for setting in found.values.get("identityfile", ())],
        "proxycommand": found.text("proxycommand").replace("none", ""),
        "proxyjump": [] if options.jump in ("", "none") else list(map(str, jump_hops(options.jump))),
    }


def theirs(said: dict[str, list[str]], config: str) -> dict[str, object]:
    def one(keyword: str) -> str:
        return said.get(keyword, [""])[0]

    strict = one("stricthostkeychecking")
    listed = {key: one(key) for key in ("ciphers", "hostkeyalgorithms")}
    return {
        "hostname": one("hostname"),
        "user": one("user"),
        "port": int(one("port")),
        "identitiesonly": one("identitiesonly") == "yes",
        "certificatefile": tuple(str(Path(path).expanduser()) for path in said.get("certificatefile", [])),
        "hostkeyalias": one("hostkeyalias"),
        "connecttimeout": None if one("connecttimeout") == "none" else float(one("connecttimeout")),
        "serveraliveinterval": int(one("serveraliveinterval")),
        "serveralivecountmax": int(one("serveralivecountmax")),
        "requiredrsasize": int(one("requiredrsasize")),
        "bindaddress": one("bindaddress"),
        "relaxed": [strict] if strict not in ("ask", "true") else [],
        # A list that is not set is printed as ssh's default, which is not ours.
        "algorithms": {key: text for key, text in listed.items() if text in config},
        "addressfamily": one("addressfamily"),
        "identityagent": one("identityagent").replace("SSH_AUTH_SOCK", ""),
        "known_hosts": tuple(_files(one("userknownhostsfile"))),
        "identityfile": [path for path in said.get("identityfile", []) if path not in DEFAULT_IDENTITIES],
        "proxycommand": one("proxycommand").replace("none", ""),
        "proxyjump": [] if one("proxyjump") in ("", "none") else list(map(str, jump_hops(one("proxyjump")))),
    }


def _files(printed: str) -> list[str]:
    """Take a printed list apart; ssh prints blanks within a name as they are."""
    if printed in ("none", " ".join(str(Path(path).expanduser()) for path in DEFAULT_KNOWN_HOSTS)):
        return []
    return printed.replace("/a b", "/a\0b").replace(" ", "\n").replace("\0", " ").split("\n")


@needs_ssh
@pytest.mark.slow
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outer=lines, inner=lines, host=st.sampled_from(HOSTS), user=st.sampled_from(["", "ops"]))
def test_a_generated_config_means_what_ssh_says(tmp_path_factory, outer, inner, host, user) -> None:
    folder = tmp_path_factory.mktemp("config")
    inner = [line for line in inner if "Include" not in line]
    (folder / "inner").write_text("\n".join(inner) + "\n")
    text = "\n".join(outer).replace("Include in", f"Include {folder}/in") + "\n"
    config = folder / "config"
    config.write_text(text)
    said = said_by_ssh(config, host, *(["-l", user] if user else []))
    if said is None:
        return
    files = ConfigFiles(config)
    found = ours(options_for(files, host, user), files.settings(host, user, None))
    assert found == theirs(said, text + "\n".join(inner))


# Of readconf.c; what one ssh or another passes over, or takes as another name of a keyword, is in old files.
LEGACY = [
    "afstokenpassing",
    "bindinterface",
    "cipher",
    "dsaauthentication",
    "fallbacktorsh",
    "globalknownhostsfile2",
    "identityfile2",
    "kerberosauthentication",
    "kerberostgtpassing",
    "protocol",
    "pubkeyacceptedkeytypes",
    "rhostsauthentication",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "skeyauthentication",
    "smartcarddevice",
    "tisauthentication",
    "useprivilegedport",
    "userknownhostsfile2",
    "useroaming",
    "usersh",
]


@needs_ssh
def test_every_keyword_that_ssh_knows_is_known(tmp_path) -> None:
    assert [
        keyword for keyword in said_by_ssh(Path("/dev/null"), "mac-01") if keyword.lower() not in KNOWN
    ] == []
    for keyword in LEGACY:
        config = tmp_path / "config"
        config.write_text(f"{keyword} yes\n")
        done = subprocess.run(["ssh", "-G", "-F", config, "x"], capture_output=True, text=True, check=False)
        assert "Bad configuration option" not in done.stderr
        options_for(ConfigFiles(config), "mac-01")


def test_what_is_done_with_a_keyword_is_said_once(tmp_path) -> None:
    groups = [FOLLOWED, STEPS, set(ALIASES), set(REFUSED), set(SAID), PASSED_OVER]
    assert sum(map(len, groups)) == len(KNOWN)


@needs_ssh
def test_an_older_name_of_a_keyword_is_the_same_keyword(tmp_path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "IdentityFile2 /one\nIdentityFile /two\n"
        "PubkeyAcceptedKeyTypes ssh-ed25519\nPubkeyAcceptedAlgorithms rsa-sha2-512\n"
    )
    said = said_by_ssh(config, "mac-01")
    found = options_for(ConfigFiles(config), "mac-01")
    assert list(found.identities) == said["identityfile"] == ["/one", "/two"]
    assert dict(found.algorithms)["pubkeyacceptedalgorithms"] == "ssh-ed25519"
    assert said["pubkeyacceptedalgorithms"] == ["ssh-ed25519"]


WRONG = [
    "StrangeThing 1",
    "NoSuchKeyword yes",
    "Port 0",
    "Port 65536",
    "ConnectTimeout soon",
    "IdentitiesOnly maybe",
    "ServerAliveCountMax many",
    "AddressFamily inet5",
    "User",
    "User a b",
    'User "never closed',
    "Match host",
    "Match all host mac-01",
    "Match nonsense x",
    "ProxyJump :::",
    "HostName %x.example",
    "Host",
    "IdentityFile a b",
    "UserKnownHostsFile",
    "Include 'never closed",
]


@needs_ssh
@pytest.mark.parametrize("line", WRONG)
def test_what_ssh_refuses_is_refused_with_file_and_line(tmp_path, line) -> None:
    config = tmp_path / "config"
    config.write_text(f"# first\n{line}\n")
    assert said_by_ssh(config, "mac-01") is None
    with pytest.raises(ValueError, match=f"^{config}:2: "):
        options_for(ConfigFiles(config), "mac-01")


@needs_ssh
def test_an_unknown_keyword_that_is_to_be_ignored_is(tmp_path) -> None:
    config = tmp_path / "config"
    config.write_text("IgnoreUnknown Strange*,other\nStrangeThing 1\nUser ops\n")
    assert said_by_ssh(config, "mac-01")["user"] == [options_for(ConfigFiles(config), "mac-01").user]


def test_criteria_of_newer_versions_are_judged_as_the_manual_says(tmp_path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "Host mac-*\n  Tag pool\nMatch tagged pool,other\n  User ops\n"
        "Match sessiontype shell,subsystem\n  Port 1\nMatch sessiontype exec\n  Port 2\n"
    )
    found = options_for(ConfigFiles(config), "mac-01")
    assert (found.user, found.port) == ("ops", 2)
    assert options_for(ConfigFiles(config), "gate").user == ""


def test_a_misspelt_keyword_is_guessed(tmp_path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  IdentitiyFile x\n")
    with pytest.raises(ValueError, match=r':2: .*did you mean "identityfile"'):
        options_for(ConfigFiles(config), "mac-01")


@pytest.mark.parametrize(
    ("line", "refused"),
    [
        ("StrictHostKeyChecking no", False),
        ("StrictHostKeyChecking accept-new", False),
        ("VerifyHostKeyDNS yes", False),
        ("PKCS11Provider /usr/lib/token.so", False),
        ("CanonicalizeHostname yes", True),
        ("RevokedHostKeys /etc/ssh/revoked", True),
        ("PubkeyAuthentication no", True),
        ("BindInterface en0", True),
        ("ProxyUseFdpass yes", True),
        ("RemoteCommand /usr/bin/true", True),
        ("RefuseConnection do not go there", True),
    ],
)
def test_a_setting_that_changes_whom_we_trust_and_is_not_followed_is_said(tmp_path, line, refused) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host mac-*\n  {line}\n")
    (remark,) = options_for(ConfigFiles(config), "mac-01").remarks
    assert (remark.keyword, remark.where) == (line.split()[0].lower(), f"{config}:2")
    assert remark.refused is refused
    assert options_for(ConfigFiles(config), "gate").remarks == ()


@pytest.mark.parametrize(
    "line", ["StrictHostKeyChecking ask", "VerifyHostKeyDNS no", "CanonicalizeHostname no"]
)
def test_a_setting_that_agrees_with_what_is_done_anyway_is_not_said(tmp_path, line) -> None:
    config = tmp_path / "config"
    config.write_text(line)
    assert options_for(ConfigFiles(config), "mac-01").remarks == ()


@pytest.mark.parametrize(
    ("text", "hops"),
    [
        ("gate", [JumpHop("gate")]),
        ("ops@gate:2200, second", [JumpHop("gate", "ops", 2200), JumpHop("second")]),
        ("ssh://ops@gate:22", [JumpHop("gate", "ops", 22)]),
        ("[fe80::1]:22", [JumpHop("fe80::1", "", 22)]),
        ("me@fe80::1", [JumpHop("fe80::1", "me")]),
    ],
)
def test_a_jump_list_is_taken_apart(text, hops) -> None:
    assert list(jump_hops(text)) == hops


@pytest.mark.parametrize("text", ["", "a,,b", "gate:x", "gate:0", "gate:70000", "@gate", "a@[fe80::1"])
def test_a_jump_list_that_names_no_host_is_refused(text) -> None:
    with pytest.raises(ValueError, match="is no"):
        jump_hops(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(tmp_path_factory, text) -> None:
    config = tmp_path_factory.mktemp("config") / "config"
    config.write_text(text, encoding="utf-8")
    if "include" in text.lower() or "match" in text.lower():
        return
    with contextlib.suppress(ValueError):
        options_for(ConfigFiles(config), "mac-01")


def test_a_config_that_others_may_write_is_refused_as_ssh_does(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".ssh"
    folder.mkdir()
    for name, text in (("config", "Include more\nUser ops\n"), ("more", "Port 2222\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o644)
    assert options_for(ConfigFiles(), "mac-01").port == 2222
    for name in ("config", "more"):
        (folder / name).chmod(0o664)
        with pytest.raises(ValueError, match=rf"^{folder / name}: others may write it"):
            ConfigFiles()
        # As with `ssh -F`: whoever names a file answers for it.
        assert options_for(ConfigFiles(folder / "config"), "mac-01").user == "ops"
        (folder / name).chmod(0o600)
