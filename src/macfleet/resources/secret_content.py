"""What a secret reference leads to, read when it is needed and never before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from macfleet.model.secret import Secret

MARK = "***"
"""Stands for the secret in the text around it."""


@dataclass(frozen=True, slots=True)
class SecretContent:
    """A reference, who reads it, and the text around it; compiling a stage reveals nothing."""

    reference: str
    _resolve: Callable[[str], Secret] = field(repr=False, compare=False)
    around: str = MARK

    def reveal(self) -> bytes:
        """Return the text with the secret as UTF-8 (raises MacfleetError when it cannot be read)."""
        return self.around.replace(MARK, self._resolve(self.reference).reveal()).encode()
