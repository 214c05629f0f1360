"""The text of INI hosts files: words with quotes and comments, and what a value is."""

from __future__ import annotations

import ast
import math
import warnings
from dataclasses import dataclass

from macfleet.model.json import Json


class IniProblem(ValueError):
    """Text that cannot be read; `column` counts from 1."""

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@dataclass(frozen=True, slots=True)
class Word:
    """One word without its quotes, and where it stands as written."""

    text: str
    column: int
    span: int


def split_words(line: str) -> tuple[Word, ...]:
    """Split a line as a POSIX shell would, up to a comment.

    Raises:
        IniProblem: a quote or an escape is left open, or a ``#`` touches a word, where Ansible would cut
            the word in two.
    """
    found: list[Word] = []
    position = 0
    while position < len(line):
        if line[position].isspace():
            position += 1
            continue
        if line[position] == "#":
            break
        word, position = _word(line, position)
        found.append(word)
    return tuple(found)


def read_value(text: str) -> Json:
    """Return the value of ``key=text``: a Python literal where it is one, else the text itself.

    Raises:
        ValueError: a literal that JSON cannot hold, such as a set or infinity.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return _plain(value)


def has_loose_hash(text: str) -> bool:
    """Whether a ``#`` outside quotes could be meant as a comment."""
    quote = ""
    for before, each in zip(" " + text, text, strict=False):
        if quote:
            quote = "" if each == quote and before != "\\" else quote
        elif each in "'\"":
            quote = each
        elif each == "#" and before.isspace():
            return True
    return False


def _word(line: str, start: int) -> tuple[Word, int]:
    text, quote, position = "", "", start
    while position < len(line):
        each = line[position]
        following = line[position + 1 : position + 2]
        if each == "\\" and quote != "'" and (not quote or following in ('"', "\\")):
            if not following:
                raise IniProblem(position + 1, "a backslash ends the line")
            text, position = text + following, position + 2
            continue
        if quote or each in "'\"":
            if not quote:
                quote = each
            elif each == quote:
                quote = ""
            else:
                text += each
        elif each.isspace():
            break
        elif each == "#":
            raise IniProblem(position + 1, "a # touches a word; put a space before a comment, or quote it")
        else:
            text += each
        position += 1
    if quote:
        raise IniProblem(start + 1, f"a {quote} has no partner")
    return Word(text, start + 1, position - start), position


def _plain(value: object) -> Json:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(each) for key, each in value.items()}
    raise ValueError(f"{value!r} is nothing JSON can hold; write text in two pairs of quotes")
