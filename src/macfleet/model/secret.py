"""A value that never shows itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """Text that prints as ``***``; `reveal` is called only where it is written to a stdin."""

    _text: str = field(repr=False)

    def reveal(self) -> str:
        """Return the secret text."""
        return self._text

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"
