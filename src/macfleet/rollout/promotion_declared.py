"""`promotion.yml`: differences between environments that are meant, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field, model_validator

from macfleet.documents import Border, parse_yaml, validate
from macfleet.model.diagnostic import Location
from macfleet.model.ports import Files

PROMOTION_FILE = "promotion.yml"
_ANY = "*"


class DifferenceModel(Border):
    """One difference that is meant."""

    to: Annotated[str, Field(min_length=1, description="environment that differs")]
    from_: Annotated[str, Field(alias="from", description="environment it differs from; * is any")] = _ANY
    what: Annotated[str, Field(min_length=1, description="name as `macfleet promote` prints it; * matches")]
    value: Annotated[str, Field(description="what it is there; * matches, but a mount must be named")] = _ANY
    why: Annotated[str, Field(min_length=1, description="the reason, for whoever reads it next")]

    @model_validator(mode="after")
    def _names_the_mount(self) -> DifferenceModel:
        if self.what.startswith("mounts") and self.value == _ANY:
            raise ValueError(
                "a mount is declared with its value: any path would let a network volume through"
            )
        return self


class PromotionModel(Border):
    """The whole of `promotion.yml`."""

    differences: tuple[DifferenceModel, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """A difference that is meant; `source`, `what` and `value` are patterns."""

    source: str
    target: str
    what: str
    value: str
    why: str
    where: Location

    def is_between(self, source: str, target: str) -> bool:
        """Whether it speaks of these two environments."""
        return target == self.target and fnmatchcase(source, self.source)

    def allows(self, what: str, value: str) -> bool:
        """Whether it means this difference; without a value it never means a mount."""
        if what.startswith("mounts") and self.value == _ANY:
            return False
        return _fits(what, self.what) and _fits(value, self.value)


def load_declared(files: Files, path: str = PROMOTION_FILE) -> tuple[Declared, ...]:
    """Read `promotion.yml`; nothing is declared where there is none (raises MacfleetError E0691, exit 2)."""
    if not files.exists(path):
        return ()
    document = parse_yaml(files.read(path), path)
    model = validate(document, PromotionModel, code="E0691", kind="promotion.yml")
    return tuple(
        Declared(each.from_, each.to, each.what, each.value, each.why, document.at("differences", at))
        for at, each in enumerate(model.differences)
    )


def _fits(text: str, pattern: str) -> bool:
    return text == pattern or fnmatchcase(text, pattern)
