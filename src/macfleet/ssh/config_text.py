"""The text of ssh_config, read as OpenSSH reads it: words, quotes, patterns and times.

The rules are those of OpenSSH's readconf.c, misc.c and match.c, checked against `ssh -G`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_BLANK = " \t\r\n"
_TIME = re.compile(r"(\d+)([smhdw]?)", re.IGNORECASE)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

Tokens = Callable[[], Mapping[str, str]]
"""What ``%x`` stands for; asked only where there is one, since it takes half as long as all the rest."""


@dataclass(frozen=True, slots=True)
class Line:
    """One setting.

    Attributes:
        keyword: in lower case.
        rest: everything after the keyword and its ``=``, as written.
        file: where it stands.
        number: line number from 1.
    """

    keyword: str
    rest: str
    file: str
    number: int

    def words(self) -> tuple[str, ...]:
        """Split the value into words; raises ValueError for a quote that is not closed."""
        return _cached_words(self.rest)


def lines_of(text: str, file: str) -> Iterator[Line]:
    """Yield the settings of a file; raises ValueError, naming file and line, for a quote never closed."""
    for number, written in enumerate(text.split("\n"), 1):
        keyword, rest = cut_word(written.rstrip(_BLANK + "\f").lstrip(_BLANK))
        if keyword is None:
            raise ValueError(f"{file}:{number}: a quote is not closed")
        if keyword and not keyword.startswith("#"):
            yield Line(keyword.lower(), rest.lstrip(_BLANK), file, number)


def cut_word(text: str) -> tuple[str | None, str]:
    """Return the first word, ended by blanks, a quoted part or one ``=``, and what follows it.

    The word is None when its quote is not closed.
    """
    found = re.search(r'[ \t\r\n"=]', text)
    if found is None:
        return text, ""
    at = found.start()
    if text[at] == '"':
        end = text.find('"', at + 1)
        if end < 0:
            return None, ""
        return text[:at] + text[at + 1 : end], text[end + 1 :].lstrip(_BLANK)
    rest = text[at + 1 :].lstrip(_BLANK)
    if text[at] != "=" and rest.startswith("="):
        rest = rest[1:].lstrip(_BLANK)
    return text[:at], rest


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern with ``*`` and ``?`` fits the whole text."""
    return _compiled(pattern).fullmatch(text) is not None


def matches_list(patterns: str, text: str) -> bool:
    """Whether a list with commas fits: one pattern does and none with ``!`` does."""
    found = False
    for pattern in patterns.split(","):
        if matches(pattern.removeprefix("!"), text):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def seconds(text: str) -> int:
    """Return a time such as ``90`` or ``1m30s`` in seconds; raises ValueError when it is none."""
    parts = _TIME.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f'"{text}" is no time such as 30 or 1m30s')
    return sum(int(number) * _UNITS[unit.lower()] for number, unit in parts)


def expand(text: str, tokens: Tokens) -> str:
    """Replace ``%x`` by what the sign stands for; raises ValueError for a sign that stands for nothing."""

    def value(found: re.Match[str]) -> str:
        known = tokens()
        if found[1] not in known:
            raise ValueError(f'"%{found[1]}" stands for nothing in "{text}"')
        return known[found[1]]

    return re.sub(r"%(.?)", value, text, flags=re.DOTALL)


def expand_path(text: str, tokens: Tokens, environment: Mapping[str, str]) -> str:
    """Return a path with ``~``, ``%x`` and ``${NAME}`` replaced; raises ValueError for what is not there."""

    def variable(found: re.Match[str]) -> str:
        if found[1] not in environment:
            raise ValueError(f'the environment has no {found[1]}, which "{text}" asks for')
        return environment[found[1]]

    filled = expand(text, tokens)
    return str(Path(re.sub(r"\$\{(\w+)\}", variable, filled)).expanduser())


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    signs = (".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return re.compile("".join(signs), re.DOTALL)


@functools.cache
def _cached_words(text: str) -> tuple[str, ...]:
    # A file of a few hundred Host lines is walked once a node.
    return tuple(_words(text))


def _words(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        if text[at] in " \t":
            at += 1
        elif text[at] == "#":
            return
        else:
            word, at = _word(text, at)
            yield word


def _word(text: str, at: int) -> tuple[str, int]:
    """Return the word that begins at a place, and the place after it."""
    word, quote = "", ""
    while at < len(text):
        sign, after = text[at], text[at + 1 : at + 2]
        if sign == "\\" and after and (after in "'\"\\" or (not quote and after == " ")):
            word += after
            at += 1
        elif not quote and sign in " \t":
            break
        elif not quote and sign in "\"'":
            quote = sign
        elif sign == quote:
            quote = ""
        else:
            word += sign
        at += 1
    if quote:
        raise ValueError("a quote is not closed")
    return word, at
