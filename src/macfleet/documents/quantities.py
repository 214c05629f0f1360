"""Durations, sizes and shares as fields of what a user writes: one reading, one refusal."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BeforeValidator

from macfleet.model.quantity import parse_bytes, parse_seconds, parse_share


def _seconds(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        seconds = parse_seconds(value)
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    raise ValueError("must be a duration such as 800ms, 30s or 12h")


def _bytes(value: object) -> int:
    if isinstance(value, str | int) and not isinstance(value, bool):
        return parse_bytes(value)
    raise ValueError("must be a size such as 24GiB")


def _share(value: object) -> float:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        share = parse_share(value)
        if math.isfinite(share) and share >= 0:
            return share
    raise ValueError("must be a share such as 18%")


Seconds = Annotated[float, BeforeValidator(_seconds)]
"""A duration in seconds, finite and not negative; ``30m`` and the like, or a bare number of seconds."""
Size = Annotated[int, BeforeValidator(_bytes)]
"""A size in bytes; ``24GiB`` and the like, or a bare number of bytes."""
Share = Annotated[float, BeforeValidator(_share)]
"""A share of 1, finite and not negative, above 1 too; ``18%`` or ``0.18``."""
