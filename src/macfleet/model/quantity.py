"""Sizes, durations and shares as people write them: ``12GiB``, ``30m``, ``18%``; and instants."""

from __future__ import annotations

import datetime as dt
import re
from math import isinf

_NUMBER = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z%]*)\s*$")
_BYTES = {
    "": 1,
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def parse_bytes(text: str | int) -> int:
    """Return a size in bytes; units are B, KiB…TiB and kB…TB.

    Raises:
        ValueError: not a number followed by a known unit.
    """
    number, unit = _split(str(text), _BYTES)
    return round(number * _BYTES[unit])


def parse_seconds(text: str | float) -> float:
    """Return a duration in seconds; a bare number counts seconds, units are ms s m min h d.

    Raises:
        ValueError: not a number followed by a known unit.
    """
    if isinstance(text, int | float):
        return _float(text)
    number, unit = _split(text, {**_SECONDS, "": 1.0})
    return number * (_SECONDS[unit] if unit else 1.0)


def parse_share(text: str | float) -> float:
    """Return a share between 0 and 1 from ``18%`` or from a bare number such as ``0.18``.

    Raises:
        ValueError: not a number, or a unit other than ``%``.
    """
    if isinstance(text, int | float):
        return _float(text)
    number, unit = _split(text, {"%": 0.01, "": 1.0})
    return number * (0.01 if unit == "%" else 1.0)


def show_bytes(size: int) -> str:
    """Return a size with the largest binary unit that keeps it at least 1, such as ``12 GiB``."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:g} {unit}" if amount == int(amount) else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def show_seconds(seconds: float) -> str:
    """Return a duration as people read it: ``850 ms``, ``12.3 s``, ``4 min 05 s``, ``3 h 12 min``."""
    # The limits are where rounding carries into the next form: 59.7 s is a minute, not "60 s".
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _split(text: str, units: dict[str, float] | dict[str, int]) -> tuple[float, str]:
    matched = _NUMBER.match(text)
    if matched is None or matched.group(2) not in units:
        known = " ".join(unit for unit in units if unit)
        raise ValueError(f"{_shown(text)} is not a number with one of the units {known}")
    number = float(matched.group(1))
    if isinf(number):
        raise ValueError(f"{_shown(text)} is too large")
    return number, matched.group(2)


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:
        raise ValueError("the number is too large") from None


def _shown(text: str) -> str:
    return f"{text!r}" if len(text) < 40 else f"{text[:40]!r}…"


def iso(seconds: float) -> str:
    """Return epoch seconds as RFC 3339 in UTC."""
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="milliseconds")
