"""What a fleet asks of every image: its base, its age, its version, and no weights in a layer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import Field, field_validator

from macfleet.documents import Border, Seconds, Size

_VERSION = re.compile(r"^([a-z]?)([0-9]{1,9}(?:\.[0-9]{1,9}){0,4})(?:[-+_.].*)?$")
LARGEST_LAYER = 2 * 2**30
REQUIRED: Final = "required"
NOTED: Final = "noted"


@dataclass(frozen=True, slots=True)
class ImagePolicy:
    """What is asked of every image; as it stands here, only that no layer holds weights.

    Attributes:
        base: ``required``: an image that records no base is refused; ``noted``: it is only said.
        bases: base image by image name, where neither its labels nor images.yml name it.
        max_age: seconds since it was built; 0 asks nothing.
        largest_layer: compressed bytes; a layer with more holds weights.
        minimum: oldest version allowed by image name, such as ``b8146``.
        contents: ``required``: an image whose layers nobody looked into is refused; ``noted``: only said.
        allow: patterns of paths that may be programs of another architecture.
    """

    base: str = NOTED
    bases: Mapping[str, str] = field(default_factory=dict)
    max_age: float = 0.0
    largest_layer: int = LARGEST_LAYER
    minimum: Mapping[str, str] = field(default_factory=dict)
    contents: str = NOTED
    allow: tuple[str, ...] = ()


class PolicyModel(Border):
    """What is asked of every image."""

    base: Literal["required", "noted"] = Field(
        NOTED, description="`required` refuses an image that records no base image, `noted` only says so"
    )
    max_age: Seconds = Field(
        0.0, ge=0, description="How long ago an image may have been built; 0 asks nothing"
    )
    largest_layer: Size = Field(
        LARGEST_LAYER, ge=1, description="Compressed size above which a layer holds weights"
    )
    minimum: dict[str, str] = Field(
        default_factory=dict,
        description="Oldest version by image name; `b8146` has llama.cpp's GGUF parser mended",
    )

    contents: Literal["required", "noted"] = Field(
        NOTED,
        description="`required` refuses an image whose layers `macfleet image inspect` did not look into",
    )

    @field_validator("minimum")
    @classmethod
    def _comparable(cls, value: dict[str, str]) -> dict[str, str]:
        wrong = [version for version in value.values() if comparable(version) is None]
        if wrong:
            raise ValueError(f"{wrong[0]!r} is no version: write b8146, v0.11.2 or 1.4")
        return value


class FleetPolicyModel(PolicyModel):
    """What is asked of every image, as images.yml says it."""

    allow: tuple[str, ...] = Field(
        (), description="Patterns of paths in images that may be programs of another architecture"
    )

    def policy(self) -> ImagePolicy:
        """Return the values as what gates take."""
        return ImagePolicy(
            self.base, {}, self.max_age, self.largest_layer, self.minimum, self.contents, self.allow
        )


def comparable(version: str) -> tuple[str, tuple[int, ...]] | None:
    """Return a version's letter and its numbers (``b8146``, ``v0.11.2``, ``1.4``); None when it has none."""
    matched = _VERSION.match(version.strip())
    if matched is None:
        return None
    letter = "" if matched[1] == "v" else matched[1]
    return letter, tuple(int(part) for part in matched[2].split("."))
