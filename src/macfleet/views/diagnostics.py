"""Diagnostics as text and as JSON; plain strings, so that an error costs no import of a renderer."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

from macfleet.model.diagnostic import Diagnostic, Severity
from macfleet.model.json import Json, JsonObject
from macfleet.views.flow import fold, fold_words, width_of

_WIDTH = 100
_RED, _AMBER, _BLUE, _BOLD = "1;38;2;213;94;0", "1;38;2;230;159;0", "38;2;86;180;233", "1"


def text(diagnostic: Diagnostic, *, colour: bool = False, width: int | None = None) -> str:
    """Return a diagnostic as people read it: what, where, why, what to type next.

    Lines are folded to the terminal that stderr is, never beyond 100 columns; `width` says another.
    """
    room = min(width or width_of(sys.stderr) or _WIDTH, _WIDTH)
    kind = "error" if diagnostic.severity is Severity.ERROR else "warning"
    tone = _RED if kind == "error" else _AMBER
    label = f"{kind}[{diagnostic.code}]"
    first, *rest = fold(f"{label}: {clean(diagnostic.summary)}", room, indent="  ")
    # A path too long for the first line leaves the label alone on it.
    summary = [first.removeprefix(f"{label}:").lstrip(), *rest]
    lines = [_paint(line, _BOLD, colour=colour) for line in summary]
    lines[0] = f"{_paint(label, tone, colour=colour)}: {lines[0]}" if summary[0] else f"{label}:"
    place = " ".join(part for part in (str(diagnostic.where or ""), _on(diagnostic)) if part)
    if place:
        lines.append(_paint(f"  {place}", _BLUE, colour=colour))
    if diagnostic.snippet and diagnostic.where:
        source, caret = _snippet(diagnostic, room)
        lines += [source, _paint(caret, tone, colour=colour)]
    lines += _wrapped(diagnostic.why, room)
    lines += [_paint(line, _BLUE, colour=colour) for line in _wrapped(diagnostic.mend, room)]
    return "\n".join(lines)


def json_text(diagnostics: Iterable[Diagnostic], document: JsonObject | None = None) -> str:
    """Return diagnostics as one JSON document of schema 1, beside what was found where there is something."""
    found = document or {"schema": 1, "kind": "diagnostics"}
    rows = [row(diagnostic) for diagnostic in diagnostics]
    return json.dumps({**found, "diagnostics": rows}, ensure_ascii=False, default=str)


def row(diagnostic: Diagnostic) -> dict[str, Json]:
    """Return one diagnostic as JSON."""
    where = diagnostic.where
    return {
        "code": diagnostic.code,
        "severity": str(diagnostic.severity),
        "summary": diagnostic.summary,
        "why": diagnostic.why,
        "mend": diagnostic.mend,
        "file": where.file if where else None,
        "line": where.line if where else None,
        "column": where.column if where else None,
        "node": diagnostic.node or None,
        "address": diagnostic.address or None,
        "exit_code": int(diagnostic.exit_code),
    }


def clean(untrusted: str) -> str:
    """Return text from a node or registry without control characters that a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in untrusted)


def _on(diagnostic: Diagnostic) -> str:
    node = f"node {diagnostic.node}" if diagnostic.node else ""
    address = diagnostic.address
    return " · ".join(part for part in (node, address) if part)


def _snippet(diagnostic: Diagnostic, room: int) -> tuple[str, str]:
    """Return the source line and the caret beneath it; a long line is cut around what is meant."""
    column = diagnostic.where.column if diagnostic.where else 1
    number = f"{diagnostic.where.line if diagnostic.where else 0:>4} | "
    most = max(room - len(number), 1)
    start = max(column - 1 - most // 2, 0) if len(diagnostic.snippet) > most else 0
    # Cut first: a line may be a file of many megabytes.
    shown = clean(diagnostic.snippet[start : start + most])[:most]
    caret = " " * (column - 1 - start) + "^" * max(diagnostic.span, 1)
    return number + shown, " " * (len(number) - 2) + "| " + caret[:most]


def _wrapped(paragraph: str, room: int) -> list[str]:
    return [f"  {folded}" for line in clean(paragraph).splitlines() for folded in fold_words(line, room - 2)]


def _paint(text: str, tone: str, *, colour: bool) -> str:
    return f"\x1b[{tone}m{text}\x1b[0m" if colour and text else text
