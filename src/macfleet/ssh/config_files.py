"""The files of ssh_config with everything they include, and which of their lines count for a host."""

from __future__ import annotations

import getpass
import glob
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from macfleet.documents import nearest
from macfleet.ssh.config_keywords import FOLLOWED, KNOWN
from macfleet.ssh.config_text import Line, cut_word, expand, lines_of, matches, matches_list

_DEEPEST = 16
_EXEC_LIMIT = 30.0
_SYSTEM = Path("/etc/ssh")
_SEVERAL = frozenset({"identityfile", "certificatefile"})
_LISTS = frozenset({"userknownhostsfile", "globalknownhostsfile"})
_TIMES = frozenset({"connecttimeout", "serveraliveinterval"})
_WHOLE_LINE = frozenset(
    {"proxycommand", "proxyjump", "remotecommand", "knownhostscommand", "localcommand", "refuseconnection"}
)


@dataclass(frozen=True, slots=True)
class _Included:
    """The files of an Include, in their order."""

    files: tuple[tuple[Line | _Included, ...], ...]


_Item = Line | _Included


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
    return (expand(pattern, {"%": "%", "h": asked}) if pattern else asked).lower()


class ConfigFiles:
    """ssh_config as it was when read: the user's file, then the system's.

    Args:
        only: read instead of both when given, as `ssh -F` does.

    Raises:
        ValueError: a file cannot be read or a quote is not closed; names file and line.
    """

    def __init__(self, only: Path | None = None) -> None:
        if only is not None:
            files = [(only, True)]
        else:
            files = [(Path("~/.ssh/config").expanduser(), True), (_SYSTEM / "ssh_config", False)]
        self._files = [_read(path, user=user, depth=0) for path, user in files if path.exists()]

    def settings(self, host: str, user: str, port: int | None) -> Settings:
        """Return what counts for a host that is asked for as ``ssh -l USER -p PORT HOST`` would.

        Raises:
            ValueError: a line that is reached cannot be understood; names file and line.
        """
        found = Settings(host, host)
        for keyword, value in (("user", user), ("port", str(port or ""))):
            if value:
                found.values[keyword] = [Setting((value,), "", 0)]
        self._pass(found)
        if found.again:
            found.host, found.final = found.host_name, True
            found.values["hostname"] = [Setting((found.host.replace("%", "%%"),), "", 0)]
            self._pass(found)
        return found

    def _pass(self, found: Settings) -> None:
        for items in self._files:
            _walk(items, found, active=True, never=False)


def _read(path: Path, *, user: bool, depth: int) -> tuple[_Item, ...]:
    if depth > _DEEPEST:
        raise ValueError(f"{path}: too many files include one another")
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    return tuple(_with_includes(lines_of(text, str(path)), user=user, depth=depth))


def _with_includes(lines: Iterator[Line], *, user: bool, depth: int) -> Iterator[_Item]:
    for line in lines:
        if line.keyword != "include":
            yield line
            continue
        try:
            words = line.words()
        except ValueError as error:
            raise ValueError(f"{line.file}:{line.number}: {error}") from error
        home = Path("~/.ssh").expanduser() if user else _SYSTEM
        paths = [path for word in words for path in _found(home / Path(word).expanduser())]
        yield _Included(tuple(_read(Path(path), user=user, depth=depth + 1) for path in paths))


def _found(pattern: Path) -> list[str]:
    # Not Path.glob: that one wants the part without wildcards apart.
    return sorted(glob.glob(str(pattern)))  # noqa: PTH207


def _walk(items: Sequence[_Item], found: Settings, *, active: bool, never: bool) -> None:
    """Take the lines that count; `never` is for files included from a block that does not match."""
    for item in items:
        if isinstance(item, _Included):
            for file in item.files:
                _walk(file, found, active=active, never=never or not active)
            continue
        try:
            if item.keyword in {"host", "match"}:
                active = _begins(item, found) and not never
            elif item.keyword not in KNOWN:
                _need_ignored(item, found)
            elif active:
                found.take(item)
        except ValueError as error:
            placed = str(error).startswith(f"{item.file}:{item.number}: ")
            raise error if placed else ValueError(f"{item.file}:{item.number}: {error}") from error


def _begins(line: Line, found: Settings) -> bool:
    """Whether the block that a Host or Match line begins counts."""
    return _host_matches(line.words(), found.host) if line.keyword == "host" else _match(line.rest, found)


def _need_ignored(line: Line, found: Settings) -> None:
    """Raise ValueError for an unknown keyword that IgnoreUnknown does not name."""
    if not matches_list(found.text("ignoreunknown").lower(), line.keyword):
        guess = nearest(line.keyword, KNOWN)
        hint = f', did you mean "{guess}"?' if guess else ""
        raise ValueError(f'there is no keyword "{line.keyword}"{hint}')


def _host_matches(patterns: Sequence[str], host: str) -> bool:
    if not patterns:
        raise ValueError("Host has no pattern")
    matched = False
    for pattern in patterns:
        if matches(pattern.removeprefix("!"), host):
            if pattern.startswith("!"):
                return False
            matched = True
    return matched


def _match(rest: str, found: Settings) -> bool:
    """Judge the criteria of a Match line (raises ValueError)."""
    result, count = True, 0
    while rest:
        word, rest = cut_word(rest)
        if not word or word.startswith("#"):
            break
        negated, criterion = word.startswith("!"), word.removeprefix("!").lower()
        if criterion == "all":
            after, _ = cut_word(rest)
            if count > 1 or (after and not after.startswith("#")):
                raise ValueError("'all' stands alone in a Match")
            return result and not negated
        count += 1
        if criterion in {"canonical", "final"}:
            found.again = found.again or (criterion == "final" and not found.final)
            result = result and found.final != negated
            continue
        value, rest = cut_word(rest)
        if not value or value.startswith("#"):
            raise ValueError(f"Match {criterion} has no value")
        result = _holds(criterion, value, found, so_far=result) != negated and result
    return result


def _holds(criterion: str, value: str, found: Settings, *, so_far: bool) -> bool:
    me = getpass.getuser()
    compared: Mapping[str, tuple[str, str]] = {
        "host": (value.lower(), found.host_name.lower()),
        "originalhost": (value.lower(), found.asked.lower()),
        "user": (value, found.text("user") or me),
        "localuser": (value, me),
        "tagged": (value, found.text("tag")),
        "sessiontype": (value.lower(), "exec"),
    }
    if criterion in compared:
        return matches_list(*compared[criterion])
    if criterion != "exec":
        raise ValueError(f"Match {criterion} is not supported")
    # A criterion before it that failed spares the command, as with ssh.
    return so_far and _succeeds(expand(value, found.tokens()))


def _succeeds(command: str) -> bool:
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=_EXEC_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"Match exec ran longer than {_EXEC_LIMIT:g} s: {command}") from error
    return done.returncode == 0
