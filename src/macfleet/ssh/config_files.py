"""The files of ssh_config with everything they include, and which of their lines count for a host."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from macfleet.documents import nearest
from macfleet.ssh.config_keywords import ALIASES, KNOWN
from macfleet.ssh.config_match import begins
from macfleet.ssh.config_settings import Setting, Settings
from macfleet.ssh.config_text import Line, lines_of, matches_list

_DEEPEST = 16
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
            yield replace(line, keyword=ALIASES[line.keyword]) if line.keyword in ALIASES else line
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
