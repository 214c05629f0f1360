"""Where expressions stand in shell text."""

from __future__ import annotations

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


def _after(text: str, mark: str, start: int) -> int:
    found = text.find(mark, start)
    return len(text) if found < 0 else found + len(mark)
