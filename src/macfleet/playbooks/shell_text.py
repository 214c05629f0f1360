"""Where expressions stand in shell text, and how values enter it."""

from __future__ import annotations

from collections.abc import Mapping

from macfleet.model.shell import quote

_CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}


def quotes_an_expression(text: str) -> bool:
    """Whether an expression ``{{ … }}`` stands inside single or double quotes of the shell text."""
    opened, at = "", 0
    while at < len(text):
        character, pair = text[at], text[at : at + 2]
        if pair == "{{" and opened:
            return True
        if pair in _CLOSING:
            at = _after(text, _CLOSING[pair], at + 2)
        elif character == "\\" and opened != "'":
            at += 2
        elif character == "#" and not opened and (at == 0 or text[at - 1] in " \t\n;&|("):
            at = _after(text, "\n", at)
        else:
            if character in "'\"" and opened in ("", character):
                opened = "" if opened else character
            at += 1
    return False


class ShellWord(str):
    """Text that is quoted already."""

    __slots__ = ()


def shell_word(value: object) -> ShellWord:
    """Return a value as one shell word, a list as several (raises ValueError for what cannot be one)."""
    if isinstance(value, ShellWord):
        return value
    if isinstance(value, list | tuple):
        return ShellWord(" ".join(map(shell_word, value)))
    if isinstance(value, bool):
        return ShellWord("true" if value else "false")
    if isinstance(value, Mapping) or value is None:
        raise ValueError(f"{value!r} cannot be a shell word; choose one of its parts or use to_json")
    return ShellWord(quote(value if isinstance(value, str | int | float) else str(value)))


def _after(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    return len(text) if found < 0 else found + len(mark)
