"""The files of ssh_config with everything they include, and which of their lines count for a host."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from macfleet.documents import nearest
from macfleet.ssh.config_keywords import ALIASES, KNOWN
from macfleet.ssh.config_match import begins
from macfleet.ssh.config_settings import Setting, Settings
from macfleet.ssh.config_text import Line, lines_of, matches_list

_DEEPEST = 16
_USER = Path("~/.ssh")
_SYSTEM = Path("/etc/ssh")


@dataclass(frozen=True, slots=True)
class _Included:
    """The files of an Include, in their order."""

    files: tuple[tuple[Line | _Included, ...], ...]


_Item = Line | _Included


class ConfigFiles:
    """ssh_config as it was when read: the user's file, then the system's.

    Args:
        only: read instead of both when given, as `ssh -F` does.

    Raises:
        ValueError: a file cannot be read, others may write the user's, or a quote is not closed; names file
            and line.
    """

    def __init__(self, only: Path | None = None) -> None:
        if only is not None:
            files = [_Reader(only, _USER)]
        else:
            own = Path("~/.ssh/config").expanduser()
            files = [_Reader(own, _USER, guarded=True), _Reader(_SYSTEM / "ssh_config", _SYSTEM)]
        self._files = [each.read() for each in files if each.path.exists()]

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


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a file and what it includes.

    Attributes:
        path: the file.
        home: where relative paths of an Include start.
        guarded: whether nobody else may have written it: what it says is run as a command.
        depth: files between this and the first one.
    """

    path: Path
    home: Path
    guarded: bool = False
    depth: int = 0

    def read(self) -> tuple[_Item, ...]:
        """Return settings and included files in their order (raises ValueError)."""
        if self.depth > _DEEPEST:
            raise ValueError(f"{self.path}: too many files include one another")
        try:
            with self.path.open(encoding="utf-8", errors="surrogateescape") as file:
                if self.guarded:
                    self._refuse_foreign(os.fstat(file.fileno()))
                text = file.read()
        except OSError as error:
            raise ValueError(f"{self.path}: {error.strerror}") from error
        return tuple(self._with_includes(lines_of(text, str(self.path))))

    def _with_includes(self, lines: Iterator[Line]) -> Iterator[_Item]:
        for line in lines:
            if line.keyword != "include":
                yield replace(line, keyword=ALIASES[line.keyword]) if line.keyword in ALIASES else line
                continue
            try:
                words = line.words()
            except ValueError as error:
                raise ValueError(f"{line.file}:{line.number}: {error}") from error
            home = self.home.expanduser()
            paths = [path for word in words for path in _found(home / Path(word).expanduser())]
            readers = (replace(self, path=Path(path), depth=self.depth + 1) for path in paths)
            yield _Included(tuple(each.read() for each in readers))

    def _refuse_foreign(self, found: os.stat_result) -> None:
        if found.st_uid not in (0, os.getuid()) or found.st_mode & 0o022:
            raise ValueError(f"{self.path}: others may write it, so ssh refuses it, too; chmod go-w it")


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
                active = begins(item, found) and not never
            elif item.keyword not in KNOWN:
                _need_ignored(item, found)
            elif active:
                found.take(item)
        except ValueError as error:
            placed = str(error).startswith(f"{item.file}:{item.number}: ")
            raise error if placed else ValueError(f"{item.file}:{item.number}: {error}") from error


def _need_ignored(line: Line, found: Settings) -> None:
    """Raise ValueError for an unknown keyword that IgnoreUnknown does not name."""
    if not matches_list(found.text("ignoreunknown").lower(), line.keyword):
        guess = nearest(line.keyword, KNOWN)
        hint = f', did you mean "{guess}"?' if guess else ""
        raise ValueError(f'there is no keyword "{line.keyword}"{hint}')
