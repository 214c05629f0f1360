"""What ssh_config says about one host, as typed values."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from macfleet.ssh.config_files import ConfigFiles
from macfleet.ssh.config_keywords import REFUSED, SAID
from macfleet.ssh.config_settings import Setting, Settings
from macfleet.ssh.config_text import Tokens, expand, expand_path, seconds
from macfleet.ssh.jumps import jump_hops

_YES = frozenset({"yes", "true"})
_NO = frozenset({"no", "false"})
_FAMILIES = {"any": socket.AF_UNSPEC, "inet": socket.AF_INET, "inet6": socket.AF_INET6}
_LISTS = (
    "casignaturealgorithms",
    "ciphers",
    "hostkeyalgorithms",
    "kexalgorithms",
    "macs",
    "pubkeyacceptedalgorithms",
)


@dataclass(frozen=True, slots=True)
class Remark:
    """A setting that macfleet does not follow.

    Attributes:
        keyword: as written in `ssh_config(5)`, in lower case.
        where: ``file:line``.
        why: what macfleet does instead, or why it does nothing.
        refused: whether going on without following it could lead to another place or trust another key.
    """

    keyword: str
    value: str
    where: str
    why: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """The values of ssh_config that macfleet follows, for one host.

    Attributes:
        host: name or address to connect to, in lower case.
        user: empty when nobody says.
        identities: private keys in order; empty when none is named, ``("none",)`` when keys are ruled out.
        identities_only: whether keys of the agent count only where an identity names them.
        agent: path of the agent's socket; empty means ``SSH_AUTH_SOCK``, ``none`` no agent.
        known_hosts: files named by UserKnownHostsFile and GlobalKnownHostsFile; defaults are not read.
        alias: HostKeyAlias, the name in known_hosts; empty means host and port.
        connect_timeout: seconds, None when nobody says.
        alive_interval: seconds between questions to a silent server; None when nobody says.
        alive_count: questions without an answer after which the server is given up.
        jump: ProxyJump with its signs replaced; ``none`` rules one out.
        command: ProxyCommand with its signs replaced; empty when there is none.
        algorithms: lists as written, by keyword: casignaturealgorithms, ciphers, hostkeyalgorithms,
            kexalgorithms, macs and pubkeyacceptedalgorithms.
        rsa_bits: RSA keys below this size are not used and not trusted.
        remarks: settings that are not followed.
    """

    host: str
    user: str = ""
    port: int = 22
    identities: tuple[str, ...] = ()
    identities_only: bool = False
    certificates: tuple[str, ...] = ()
    agent: str = ""
    known_hosts: tuple[str, ...] = ()
    alias: str = ""
    connect_timeout: float | None = None
    alive_interval: int | None = None
    alive_count: int = 3
    jump: str = ""
    command: str = ""
    family: int = socket.AF_UNSPEC
    bind_address: str = ""
    algorithms: tuple[tuple[str, str], ...] = ()
    rsa_bits: int = 1024
    remarks: tuple[Remark, ...] = ()


def options_for(files: ConfigFiles, host: str, user: str = "", port: int | None = None) -> Options:
    """Return the options for a host that is asked for as ``ssh -l USER -p PORT HOST`` would.

    Raises:
        ValueError: a line that counts cannot be understood; names file and line.
    """
    found = files.settings(host, user, port)
    tokens = found.tokens
    command = found.text("proxycommand")
    return Options(
        host=found.host_name,
        user=found.text("user"),
        port=_port(found),
        identities=_paths(found, "identityfile", tokens),
        identities_only=_flag(found, "identitiesonly"),
        certificates=_paths(found, "certificatefile", tokens),
        agent=_agent(found, tokens),
        known_hosts=_known_hosts(found, tokens),
        alias=found.text("hostkeyalias").lower(),
        connect_timeout=_time(found, "connecttimeout"),
        alive_interval=_whole(_time(found, "serveraliveinterval")),
        alive_count=_count(found, "serveralivecountmax", 3),
        jump=_jump(found, tokens),
        command="" if command.lower() == "none" else _expanded(found, "proxycommand", tokens),
        family=_family(found),
        bind_address=found.text("bindaddress"),
        algorithms=_algorithms(found),
        rsa_bits=_count(found, "requiredrsasize", 1024),
        remarks=_remarks(found),
    )


def _port(found: Settings) -> int:
    text = found.text("port") or "22"
    if text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    try:
        return socket.getservbyname(text, "tcp")
    except OSError:
        raise _wrong(found, "port", "is no port") from None


def _time(found: Settings, keyword: str) -> float | None:
    text = found.text(keyword)
    if text in {"", "none"}:
        return None
    try:
        return float(seconds(text))
    except ValueError as error:
        raise _wrong(found, keyword, str(error)) from None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _count(found: Settings, keyword: str, default: int) -> int:
    text = found.text(keyword) or str(default)
    if not text.isdigit():
        raise _wrong(found, keyword, "is no number")
    return int(text)


def _flag(found: Settings, keyword: str) -> bool:
    text = found.text(keyword).lower() or "no"
    if text not in _YES | _NO:
        raise _wrong(found, keyword, "is neither yes nor no")
    return text in _YES


def _family(found: Settings) -> int:
    text = found.text("addressfamily").lower() or "any"
    if text not in _FAMILIES:
        raise _wrong(found, "addressfamily", "is neither any, inet nor inet6")
    return int(_FAMILIES[text])


def _paths(found: Settings, keyword: str, tokens: Tokens) -> tuple[str, ...]:
    settings = found.values.get(keyword, ())
    return tuple("none" if each.text == "none" else _path(each, each.text, tokens) for each in settings)


def _known_hosts(found: Settings, tokens: Tokens) -> tuple[str, ...]:
    return tuple(
        _path(setting, word, tokens)
        for keyword in ("userknownhostsfile", "globalknownhostsfile")
        for setting in found.values.get(keyword, ())
        for word in setting.words
        if word != "none"
    )


def _agent(found: Settings, tokens: Tokens) -> str:
    text = found.text("identityagent")
    if text in {"", "none", "SSH_AUTH_SOCK"}:
        return text.replace("SSH_AUTH_SOCK", "")
    if text.startswith("$") and not text.startswith("${"):
        return os.environ.get(text[1:], "none")
    return _path(found.values["identityagent"][0], text, tokens)


def _path(setting: Setting, text: str, tokens: Tokens) -> str:
    try:
        return expand_path(text, tokens, os.environ)
    except ValueError as error:
        raise ValueError(f"{setting.where}: {error}") from error


def _expanded(found: Settings, keyword: str, tokens: Tokens) -> str:
    try:
        return expand(found.text(keyword), tokens)
    except ValueError as error:
        raise ValueError(f"{found.values[keyword][0].where}: {error}") from error


def _jump(found: Settings, tokens: Tokens) -> str:
    text = _expanded(found, "proxyjump", tokens)
    if text.lower() in {"", "none"}:
        return text.lower()
    try:
        jump_hops(text)
    except ValueError as error:
        raise ValueError(f"{found.values['proxyjump'][0].where}: {error}") from error
    return text


def _algorithms(found: Settings) -> tuple[tuple[str, str], ...]:
    return tuple((keyword, text) for keyword in _LISTS if (text := found.text(keyword)))


def _remarks(found: Settings) -> tuple[Remark, ...]:
    return tuple(
        Remark(keyword, setting.text, setting.where, why, refused=refused)
        for table, refused in ((REFUSED, True), (SAID, False))
        for keyword, (agreeing, why) in table.items()
        for setting in found.values.get(keyword, ())
        if setting.text.lower() not in agreeing
    )


def _wrong(found: Settings, keyword: str, why: str) -> ValueError:
    setting = found.values[keyword][0]
    place = f"{setting.where}: " if setting.file else ""
    return ValueError(f'{place}{keyword} "{setting.text}" {why}')
