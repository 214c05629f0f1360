"""What ssh_config says about one host while its lines are read: the first value of each keyword."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from macfleet.ssh.config_keywords import FOLLOWED
from macfleet.ssh.config_text import Line, expand

_SEVERAL = frozenset({"identityfile", "certificatefile"})
_LISTS = frozenset({"userknownhostsfile", "globalknownhostsfile"})
_TIMES = frozenset({"connecttimeout", "serveraliveinterval"})
_WHOLE_LINE = frozenset(
    {"proxycommand", "proxyjump", "remotecommand", "knownhostscommand", "localcommand", "refuseconnection"}
)


@dataclass(frozen=True, slots=True)
class Setting:
    """The value of a keyword: its words, or one raw text where OpenSSH takes the rest of the line."""

    words: tuple[str, ...]
    file: str
    number: int

    @property
    def text(self) -> str:
        """The first word, or the whole line."""
        return self.words[0]

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.number}"


@dataclass(slots=True)
class Settings:
    """What counts for one host: the first value of each keyword, all of those that may stand again.

    Attributes:
        asked: the host as it was asked for.
        host: what Host patterns are compared with: `asked`, in the final pass the name it leads to.
        values: settings by keyword; `user` and `port` also of whoever asked, without a place.
        again: whether a ``Match final`` wants a second pass.
    """

    asked: str
    host: str
    values: dict[str, list[Setting]] = field(default_factory=dict)
    final: bool = False
    again: bool = False

    def text(self, keyword: str) -> str:
        """The first value of a keyword; empty when it is not set."""
        found = self.values.get(keyword)
        return found[0].text if found else ""

    @property
    def host_name(self) -> str:
        """Where the host leads so far."""
        try:
            return hostname_of(self.text("hostname"), self.asked)
        except ValueError as error:
            raise ValueError(f"{self.values['hostname'][0].where}: {error}") from error

    def tokens(self) -> Mapping[str, str]:
        """What the ``%`` signs of a value stand for; ``%C`` differs between versions of ssh and is none."""
        me, machine = getpass.getuser(), socket.gethostname()
        return {
            "%": "%",
            "d": str(Path.home()),
            "h": self.host_name,
            "i": str(os.getuid()),
            "k": self.text("hostkeyalias").lower() or self.asked,
            "L": machine.partition(".")[0],
            "l": machine,
            "n": self.asked,
            "p": self.text("port") or "22",
            "r": self.text("user") or me,
            "u": me,
        }

    def take(self, line: Line) -> None:
        """Keep a line that counts, unless an earlier one decided (raises ValueError)."""
        if line.keyword in _WHOLE_LINE:
            words: tuple[str, ...] = (line.rest.lstrip(" \t="),)
        else:
            words = line.words()
        if not words or not words[0]:
            raise ValueError(f"{line.keyword} has no value")
        if len(words) > 1 and line.keyword in FOLLOWED - _LISTS:
            raise ValueError(f'after the value of {line.keyword} stands "{words[1]}" too')
        if line.keyword in _TIMES and words[0] == "none":
            return  # as with ssh, a later line may still set it
        setting = Setting(words, line.file, line.number)
        if line.keyword in _SEVERAL:
            kept = self.values.setdefault(line.keyword, [])
            if all(each.text != setting.text for each in kept):
                kept.append(setting)
        elif not self._decided(line.keyword):
            self.values[line.keyword] = [setting]

    def _decided(self, keyword: str) -> bool:
        """Whether an earlier line decided; ProxyJump and ProxyCommand decide for one another.

        With ssh a ``ProxyJump none`` keeps out a later ProxyJump, but no ProxyCommand.
        """
        others = {
            "proxyjump": "proxycommand" in self.values,
            "proxycommand": self.text("proxyjump").lower() not in {"", "none"},
        }
        return keyword in self.values or others.get(keyword, False)


def hostname_of(pattern: str, asked: str) -> str:
    """Return what HostName makes of a host: ``%h`` is the host itself; lower case, as ssh connects."""
    return (expand(pattern, lambda: {"%": "%", "h": asked}) if pattern else asked).lower()
