"""A registry that is a dictionary."""

from __future__ import annotations

from dataclasses import dataclass, field

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.image import ResolvedImage


@dataclass(slots=True)
class FakeResolver:
    """An `ImageResolver` over `images`, by reference or pinned reference; `asked` keeps the questions."""

    images: dict[str, ResolvedImage] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def resolve(self, reference: str, platform: str) -> ResolvedImage:
        """Return the image whatever its platform (raises MacfleetError E0603, exit 7, when unknown)."""
        self.asked.append((reference, platform))
        found = self.images.get(reference)
        if found is None:
            raise MacfleetError(
                Diagnostic("E0603", f"{reference}: manifest unknown", exit_code=ExitCode.HELD)
            )
        return found
