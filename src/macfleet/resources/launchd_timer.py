"""What a task may say about a job that launchd starts at its times."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from macfleet.documents import Border, Seconds
from macfleet.model.json import Json
from macfleet.resources.launchd_params import LaunchdParams
from macfleet.resources.launchd_service import LaunchdService
from macfleet.resources.params import Surroundings

_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_SHORTEST = 10.0  # launchd does not start a job more often (launchd.plist(5), ThrottleInterval)
_LONGEST = 366 * 86400.0


class CalendarTime(Border):
    """A time of the node's own clock; a part that is left out means every one of it."""

    minute: int | None = Field(None, description="0 to 59.", ge=0, le=59)
    hour: int | None = Field(None, description="0 to 23.", ge=0, le=23)
    day: int | None = Field(None, description="Day of the month, 1 to 31.", ge=1, le=31)
    weekday: Literal["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"] | None = (
        Field(None, description="Day of the week.")
    )
    month: int | None = Field(None, description="1 to 12.", ge=1, le=12)

    @model_validator(mode="after")
    def _something(self) -> CalendarTime:
        if not self.model_fields_set:
            raise ValueError("say at least one part of a time, such as minute: 0")
        return self

    def keys(self) -> dict[str, Json]:
        """Return launchd's keys for it."""
        weekday = None if self.weekday is None else _WEEKDAYS.index(self.weekday)
        parts = (self.minute, self.hour, self.day, weekday, self.month)
        names = ("Minute", "Hour", "Day", "Weekday", "Month")
        return {name: part for name, part in zip(names, parts, strict=True) if part is not None}


class LaunchdTimerParams(LaunchdParams):
    """A job in the system domain that launchd starts at an interval or at times of the clock.

    A time that falls into sleep is made up for when the Mac wakes; an interval that does is left out.
    """

    kind: ClassVar[str] = "launchd_timer"

    every: Seconds | None = Field(
        None, description="Time between two starts, such as 15m; or give at.", ge=_SHORTEST, le=_LONGEST
    )
    at: tuple[CalendarTime, ...] = Field((), description="Times of the node's clock; or give every.")
    run_at_load: bool = Field(False, description="Start it at boot too.")

    @model_validator(mode="after")
    def _one_clock(self) -> LaunchdTimerParams:
        if self.state == "absent" and self.every is None and not self.at:
            return self
        if (self.every is None) != bool(self.at):
            raise ValueError("give exactly one of every and at")
        return self

    def build(self, around: Surroundings) -> LaunchdService:
        """Return the job (raises ValueError when a file it reads is not in the stage)."""
        keys: dict[str, Json] = {
            "RunAtLoad": self.run_at_load,
            "StartInterval": None if self.every is None else round(self.every),
            "StartCalendarInterval": [each.keys() for each in self.at] or None,
        }
        return self.service(around, keys, running=False)
