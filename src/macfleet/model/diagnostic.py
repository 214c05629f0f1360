"""Errors as values: what, where, why, and what to type next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from macfleet.model.exit_codes import ExitCode, strongest

if TYPE_CHECKING:
    from macfleet.model.json import JsonObject


class Severity(StrEnum):
    """How much a diagnostic weighs: an error stops, a warning is shown."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """A place in a file a user edits; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about an input, a node or a result.

    Attributes:
        code: stable identifier such as ``E0214``; `macfleet explain` knows it.
        summary: what is wrong, one line without a full stop.
        why: the reason or rule behind it, full sentences.
        mend: what to do or type next.
        where: place in a file, when there is one.
        snippet: the source line at `where`, without its newline.
        span: number of characters of the snippet that are meant.
        node: name of the node concerned.
        address: resource address concerned.
        exit_code: the exit code this finding asks for.
    """

    code: str
    summary: str
    why: str = ""
    mend: str = ""
    where: Location | None = None
    snippet: str = ""
    span: int = 0
    node: str = ""
    address: str = ""
    severity: Severity = Severity.ERROR
    exit_code: ExitCode = ExitCode.USAGE

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else f"{self.node}: " if self.node else ""
        return f"{place}{self.summary}"


class MacfleetError(Exception):
    """The one exception root; carries every diagnostic that is known, not just the first.

    Attributes:
        document: what a command found all the same, which JSON shows together with the diagnostics.
    """

    def __init__(
        self, diagnostics: Diagnostic | Iterable[Diagnostic], document: JsonObject | None = None
    ) -> None:
        single = isinstance(diagnostics, Diagnostic)
        self.diagnostics: tuple[Diagnostic, ...] = (diagnostics,) if single else tuple(diagnostics)  # type: ignore[assignment,arg-type]
        self.document = document
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))

    @property
    def exit_code(self) -> ExitCode:
        """The strongest exit code any of the diagnostics asks for."""
        return strongest(diagnostic.exit_code for diagnostic in self.diagnostics)


class NodeUnreachable(MacfleetError):
    """A node could not be reached or its host key was refused."""


class DeadlineExceeded(MacfleetError):
    """A remote script was given up after its deadline."""
