"""The fields of one line of the sampler, read as what they should be; anything else is missing."""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}


class Fields:
    """``name=value`` pairs between semicolons, as an untrusted node printed them; a name may come twice."""

    __slots__ = ("_pairs",)

    def __init__(self, body: str) -> None:
        pairs = [part.partition("=") for part in body.split(";") if "=" in part]
        self._pairs = [(name.strip(), value.strip()) for name, _, value in pairs]

    def text(self, name: str) -> str:
        """Return the last value of a name, empty without one."""
        return next((value for known, value in reversed(self._pairs) if known == name), "")

    def integer(self, name: str) -> int | None:
        """Return a whole number of at most 18 digits, None for anything else."""
        value = self.text(name)
        return int(value) if re.fullmatch(r"[0-9]{1,18}", value) else None

    def number(self, name: str) -> float | None:
        """Return a number that is not negative and finite, None for anything else."""
        return _number(self.text(name))

    def numbers(self, *names: str) -> list[float]:
        """Return every value of these names that is a number."""
        found = [_number(value) for known, value in self._pairs if known in names]
        return [value for value in found if value is not None]

    def size(self, name: str) -> int | None:
        """Return bytes of a size such as ``1024.50M``."""
        found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMG]?)", self.text(name))
        return round(float(found.group(1)) * _UNITS[found.group(2)]) if found else None


@dataclass(frozen=True, slots=True)
class Reading:
    """A line's fields and the whole second, since the epoch, it was read in."""

    second: int
    fields: Fields


def rate(now: Reading, before: Reading | None, name: str) -> float | None:
    """Return by how much a counter grew a second; None where it is unknown or went back after a restart."""
    if before is None or now.second <= before.second:
        return None
    later, earlier = now.fields.number(name), before.fields.number(name)
    if later is None or earlier is None or later < earlier:
        return None
    return (later - earlier) / (now.second - before.second)


def _number(text: str) -> float | None:
    shape = r"[0-9]{1,18}(?:\.[0-9]{1,12})?(?:[eE][-+]?[0-9]{1,2})?"
    return float(text) if re.fullmatch(shape, text) else None
