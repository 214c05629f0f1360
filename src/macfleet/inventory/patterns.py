"""The grammar of node patterns: ``rented:&m4:!drained``, ``mac-[01:10]``, ``~mac-.5``, ``chat[0:2]``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from macfleet.inventory.addresses import is_address_like
from macfleet.model.diagnostic import Diagnostic, MacfleetError

_SUBSCRIPT = re.compile(
    r"(?P<base>.+)\[(?:(?P<only>-?\d+)|(?P<first>-?\d+)?:(?P<last>-?\d+)?|(?P<from>\d+)-(?P<to>\d+)?)\]",
    re.ASCII,
)
_PAIRS = {"[": "]", "(": ")", "{": "}"}


class Sign(StrEnum):
    """What a term does to the selection."""

    UNION = ""
    INTERSECTION = "&"
    EXCLUSION = "!"


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a pattern, without its sign."""

    sign: Sign
    text: str


@dataclass(frozen=True, slots=True)
class Subscript:
    """``base[i]``, ``base[i:j]`` or ``base[i-j]``: positions among the nodes of `base`, ends included."""

    base: str
    first: int | None
    last: int | None

    def of(self, nodes: tuple[str, ...]) -> tuple[str, ...]:
        """Return the nodes at these positions; negative positions count from the end."""
        size = len(nodes)
        first = 0 if self.first is None else self.first + size * (self.first < 0)
        last = size - 1 if self.last is None else self.last + size * (self.last < 0)
        return nodes[max(first, 0) : last + 1] if last >= 0 else ()


def parse_pattern(pattern: str) -> tuple[Term, ...]:
    """Split a pattern into signed terms; brackets of ranges and of regular expressions hold together.

    An IPv6 address keeps its colons where it stands alone or between commas; between colons it needs
    brackets.

    Raises:
        MacfleetError: E0221 an empty term, two signs, commas and colons mixed, an open bracket.
    """
    if is_address_like(_bare(pattern)):
        return (_term(pattern, pattern.strip()),)
    parts, separators = _split(pattern)
    if len(separators) > 1:
        by_comma, _ = _split(pattern, ",")
        if all(is_address_like(each) or len(_split(each, ":")[0]) == 1 for each in map(_bare, by_comma)):
            return tuple(_term(pattern, part.strip()) for part in by_comma)
        _refuse(pattern, "it mixes commas and colons", "Separate all terms by commas, or all by colons.")
    return tuple(_term(pattern, part.strip()) for part in parts)


def parse_subscript(term: str) -> Subscript | None:
    """Return the subscript a term ends with; None without one and for regular expressions."""
    matched = None if term.startswith("~") else _SUBSCRIPT.fullmatch(term)
    if matched is None:
        return None
    if matched["only"] is not None:
        position = int(matched["only"])
        return Subscript(matched["base"], position, position)
    first, last = matched["first"] or matched["from"], matched["last"] or matched["to"]
    return Subscript(matched["base"], int(first) if first else None, int(last) if last else None)


def is_glob(term: str) -> bool:
    """Whether the term holds a wildcard."""
    return any(each in term for each in "*?")


def _term(pattern: str, part: str) -> Term:
    sign = Sign(part[0]) if part[:1] in ("&", "!") else Sign.UNION
    text = part[len(sign) :]
    if not text:
        _refuse(pattern, "a term is empty", "Remove the separator that has nothing beside it.")
    if text[0] in "&!":
        _refuse(pattern, f'"{part}" has two signs', "A term is plain, &term or !term.")
    inside = text.removeprefix("[").removesuffix("]")
    return Term(sign, inside if len(inside) == len(text) - 2 and is_address_like(inside) else text)


def _bare(part: str) -> str:
    return part.strip().lstrip("&!").strip()


def _split(pattern: str, at: str = ",:") -> tuple[list[str], set[str]]:
    parts, separators, open_brackets, escaped = [""], set[str](), list[str](), False
    for each in pattern:
        if not escaped and each in at and not open_brackets and not parts[-1].startswith("@/"):
            separators.add(each)
            parts.append("")
            continue
        if not escaped and each in _PAIRS:
            open_brackets.append(_PAIRS[each])
        elif not escaped and open_brackets and each == open_brackets[-1]:
            open_brackets.pop()
        escaped = each == "\\" and not escaped
        parts[-1] += each
    if open_brackets:
        _refuse(pattern, f'a "{open_brackets[-1]}" is missing', "Close every bracket.")
    return parts, separators


def _refuse(pattern: str, reason: str, mend: str) -> None:
    raise MacfleetError(Diagnostic("E0221", f'pattern "{pattern}" cannot be read: {reason}', mend=mend))
