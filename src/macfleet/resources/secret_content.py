"""What a secret reference leads to, read when it is needed and never before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from macfleet.model.secret import Secret


@dataclass(frozen=True, slots=True)
class SecretContent:
    """A reference and who reads it; compiling a stage reveals nothing."""

    reference: str
    _resolve: Callable[[str], Secret] = field(repr=False, compare=False)

    def reveal(self) -> bytes:
        """Return the secret as UTF-8 (raises MacfleetError when it cannot be read)."""
        return self._resolve(self.reference).reveal().encode()
