"""The findings about a fleet folder, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from macfleet.model.diagnostic import Diagnostic, Severity
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.views.diagnostics import row, text
from macfleet.views.flow import flow


def lines(
    found: Sequence[Diagnostic], counts: Mapping[str, int], code: ExitCode, width: int
) -> Iterator[str]:
    """Yield every finding, and at the end what was looked at; `width` 0 is a pipe."""
    for each in found:
        yield text(each, width=width or None)
        yield ""
    errors, warnings = _weighed(found)
    looked_at = [
        f"{count} {name if count != 1 else name.removesuffix('s')}" for name, count in counts.items()
    ]
    symbol = "✗" if code is not ExitCode.DONE else "!" if found else "✓"
    verdict = [_counted(errors, "error"), _counted(warnings, "warning")] if found else ["nothing wrong"]
    yield from flow([f"{symbol} {verdict[0]}", *verdict[1:], *looked_at], width)


def document(found: Sequence[Diagnostic], counts: Mapping[str, int], code: ExitCode) -> dict[str, Json]:
    """Return the findings as JSON, schema 1."""
    errors, warnings = _weighed(found)
    return {
        "schema": 1,
        "kind": "lint",
        "errors": errors,
        "warnings": warnings,
        "exit_code": int(code),
        "looked_at": dict(counts),
        "findings": [row(each) for each in found],
    }


def _weighed(found: Sequence[Diagnostic]) -> tuple[int, int]:
    errors = sum(each.severity is Severity.ERROR for each in found)
    return errors, len(found) - errors


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
