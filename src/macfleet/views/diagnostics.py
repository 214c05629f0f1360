"""Diagnostics as text and as JSON; plain strings, so that an error costs no import of a renderer."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable

from macfleet.model.diagnostic import Diagnostic, Severity

_WIDTH = 100


def text(diagnostic: Diagnostic, *, colour: bool = False) -> str:
    """Return a diagnostic as people read it: what, where, why, what to type next."""
    kind = "error" if diagnostic.severity is Severity.ERROR else "warning"
    lines = [f"{_paint(f'{kind}[{diagnostic.code}]', colour, kind)}: {clean(diagnostic.summary)}"]
    place = " ".join(part for part in (str(diagnostic.where or ""), _on(diagnostic)) if part)
    if place:
        lines.append(f"  {place}")
    if diagnostic.snippet and diagnostic.where:
        lines += _snippet(diagnostic)
    lines += _wrapped(diagnostic.why)
    lines += _wrapped(diagnostic.mend)
    return "\n".join(lines)


def json_text(diagnostics: Iterable[Diagnostic]) -> str:
    """Return diagnostics as one JSON document of schema 1."""
    rows = [
        {
            "code": d.code,
            "severity": str(d.severity),
            "summary": d.summary,
            "why": d.why,
            "mend": d.mend,
            "file": d.where.file if d.where else None,
            "line": d.where.line if d.where else None,
            "column": d.where.column if d.where else None,
            "node": d.node or None,
            "address": d.address or None,
            "exit_code": int(d.exit_code),
        }
        for d in diagnostics
    ]
    return json.dumps({"schema": 1, "kind": "diagnostics", "diagnostics": rows})


def clean(untrusted: str) -> str:
    """Return text from a node or registry without control characters that a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in untrusted)


def _on(diagnostic: Diagnostic) -> str:
    node = f"node {diagnostic.node}" if diagnostic.node else ""
    address = diagnostic.address
    return " · ".join(part for part in (node, address) if part)


def _snippet(diagnostic: Diagnostic) -> list[str]:
    where = diagnostic.where
    if where is None:
        return []
    number = f"{where.line:>4} | "
    caret = " " * (len(number) - 2) + "| " + " " * (where.column - 1) + "^" * max(diagnostic.span, 1)
    return [f"{number}{clean(diagnostic.snippet)}", caret]


def _wrapped(paragraph: str) -> list[str]:
    lines: list[str] = []
    for line in clean(paragraph).splitlines():
        lines += textwrap.wrap(
            line, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False
        )
    return lines


def _paint(label: str, colour: bool, kind: str) -> str:  # noqa: FBT001 (private, one caller)
    if not colour:
        return label
    return f"\x1b[1;{'31' if kind == 'error' else '33'}m{label}\x1b[0m"
