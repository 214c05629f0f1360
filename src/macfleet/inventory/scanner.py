"""The setting `scanner` of `macfleet.yml`: the vulnerability scanner that an operator has chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from macfleet.documents import Border, Seconds
from macfleet.model.diagnostic import Location


@dataclass(frozen=True, slots=True)
class ScannerSettings:
    """The vulnerability scanner the operator has chosen; it runs on the controller.

    Attributes:
        command: program and arguments; ``{layout}`` stands for a folder with the image as OCI layout,
            ``{archive}`` for the same as one tar.
        sha256: digests (hex) the program may have, such as one a system.
        format: ``grype``, ``trivy`` or ``osv``: what it prints.
        status: arguments with which the program tells of its database; empty where it cannot.
        deadline: seconds a scan may take; fresh: seconds within which the same scan is not repeated.
    """

    command: tuple[str, ...]
    sha256: tuple[str, ...]
    format: str
    status: tuple[str, ...] = ()
    deadline: float = 600.0
    fresh: float = 86400.0
    where: Location | None = None


def one_or_more(value: Any) -> Any:
    """Take a single text for a list of one."""
    return [value] if isinstance(value, str) else value


Argument = Annotated[str, Field(min_length=1)]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ScannerBorder(Border):
    """The vulnerability scanner of `macfleet image scan`."""

    command: tuple[Argument, ...] = Field(
        min_length=2,
        description="program and arguments; `{layout}` is a folder with the image as OCI layout, `{archive}` "
        "the same as one tar",
    )
    sha256: Annotated[tuple[Hash, ...], BeforeValidator(one_or_more)] = Field(
        min_length=1, description="SHA-256 the program must have, or a list: one a system"
    )
    format: Literal["grype", "trivy", "osv"] = Field(description="what the program prints, always as JSON")
    status: tuple[Argument, ...] = Field(
        default=(), description="arguments with which the program tells of its database"
    )
    deadline: Seconds = Field(default=600.0, gt=0, description="how long a scan may take")
    fresh: Seconds = Field(
        default=86400.0, ge=0, description="how long the same scan of the same image is not repeated"
    )

    @field_validator("command")
    @classmethod
    def _takes_the_image(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not any("{layout}" in word or "{archive}" in word for word in value[1:]):
            raise ValueError("must say where the image goes: {layout} or {archive}")
        return value

    def settings(self, where: Location) -> ScannerSettings:
        """Return the values as what the rest of macfleet takes."""
        return ScannerSettings(
            self.command, self.sha256, self.format, self.status, self.deadline, self.fresh, where
        )
