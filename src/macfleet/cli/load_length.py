"""How long a load test was told to take, and in how many segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.quantity import parse_seconds

if TYPE_CHECKING:
    from macfleet.rollout.load_profile import LoadProfile


@dataclass(frozen=True, slots=True)
class Asked:
    """What was said of a load test's length: seconds per arm and cell, and segments; None for not said."""

    seconds: float | None = None
    segments: int | None = None

    def profile(self, contracted: float) -> LoadProfile:
        """Return how long is measured where the contract asks for `contracted` seconds."""
        from macfleet.rollout.load_profile import full_profile, short_profile

        profile = full_profile(contracted)
        if self.seconds is None and self.segments is None:
            return profile
        return short_profile(profile, self.seconds or contracted, self.segments)


def duration_of(text: str) -> float | None:
    """Return what --duration says, in seconds; None when it says nothing (raises MacfleetError E0114)."""
    if not text:
        return None
    try:
        seconds = parse_seconds(text)
    except ValueError as error:
        raise MacfleetError(
            Diagnostic("E0114", f"--duration: {error}", mend="Such as 30m or 20s.")
        ) from error
    if seconds < 2:
        raise MacfleetError(Diagnostic("E0114", "--duration must be at least 2s", mend="Such as 30m or 20s."))
    return seconds


def segments_of(_context: click.Context, _option: click.Parameter, text: str) -> int | None:
    """Return what --segments says; None when it says nothing (raises click.BadParameter)."""
    if not text:
        return None
    if not text.isdecimal() or int(text) < 2 or int(text) % 2:
        raise click.BadParameter("an even number, such as 4: arms take turns in pairs.")
    return int(text)
