"""The page of benchmarks: each program keeps its own section of it, between marks of its own."""

from __future__ import annotations

from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"


def kept(name: str) -> str:
    """Return what stands between the marks (else ValueError)."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    text, found, _ = PAGE.read_text(encoding="utf-8").partition(begin)[2].partition(end)
    if not found:
        raise ValueError(f"{PAGE} has no section {name}")
    return text


def keep(name: str, text: str) -> None:
    """Replace what stands between ``<!-- name -->`` and ``<!-- end of name -->`` (else ValueError)."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    head, _, rest = page.partition(begin)
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"{PAGE} has no section {name}")
    PAGE.write_text(f"{head}{begin}{text.strip()}\n{end}{tail}", encoding="utf-8")
