"""When a Mac sleeps and what wakes it: the settings of pmset for one source of power."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from macfleet.model.quantity import parse_seconds
from macfleet.model.resource import (
    Action,
    Change,
    Probe,
    ProbeOutput,
    Run,
    State,
    Step,
    Value,
    compare,
)
from macfleet.model.shell import words
from macfleet.resources.params import Params, Surroundings

_SECTIONS = {"battery": "Battery Power", "ac": "AC Power", "ups": "UPS Power"}
_FLAGS = {"all": "-a", "battery": "-b", "ac": "-c", "ups": "-u"}
# `pmset -g custom`: a header a source, then a line a setting; names may hold spaces, values a remark
_SETTING = re.compile(r"^ +(\S.*?)\s+(\S+)(?:\s+\(.*\))?$")


def _minutes(value: object) -> object:
    if isinstance(value, bool):
        # pydantic turns a ValueError, not a TypeError, into a finding
        raise ValueError("write minutes, 0 for never")  # noqa: TRY004
    if not isinstance(value, str):
        return value
    minutes = parse_seconds(value) / 60
    if minutes != int(minutes):
        raise ValueError(f"{value!r} is not a whole number of minutes")
    return int(minutes)


Minutes = Annotated[int, BeforeValidator(_minutes), Field(ge=0, le=10080)]


class PowerSettingParams(Params):
    """Settings of pmset: when the Mac, its display and its disks sleep, and what it does about power.

    Only what is named is looked at. Times count minutes, or are text such as 1h; 0 is never.
    """

    kind: ClassVar[str] = "power_setting"

    source: Literal["all", "ac", "battery", "ups"] = Field("all", description="The power it is about.")
    sleep: Minutes | None = Field(None, description="Idle minutes until the Mac sleeps.")
    displaysleep: Minutes | None = Field(None, description="Idle minutes until the display sleeps.")
    disksleep: Minutes | None = Field(None, description="Idle minutes until disks spin down.")
    womp: bool | None = Field(None, description="Wake for network access.")
    autorestart: bool | None = Field(None, description="Start by itself when power comes back.")
    powernap: bool | None = Field(None, description="Work a little while asleep.")
    tcpkeepalive: bool | None = Field(None, description="Keep connections alive while asleep.")
    ttyskeepawake: bool | None = Field(None, description="A login session that is in use prevents sleep.")
    networkoversleep: bool | None = Field(None, description="Offer shared network services while asleep.")
    standby: bool | None = Field(None, description="Write memory to disk after a long sleep.")
    lidwake: bool | None = Field(None, description="Wake when the lid is opened.")
    acwake: bool | None = Field(None, description="Wake when the source of power changes.")
    lessbright: bool | None = Field(None, description="Dim the display on this source.")
    lowpowermode: bool | None = Field(None, description="Spare energy at the cost of speed.")
    powermode: int | None = Field(None, description="0 automatic, 1 low power, 2 high power.", ge=0, le=2)
    hibernatemode: Literal[0, 3, 25] | None = Field(
        None, description="0 keeps memory powered, 3 writes it to disk as well, 25 to disk alone."
    )

    @model_validator(mode="after")
    def _something(self) -> PowerSettingParams:
        if not self.settings():
            raise ValueError("name at least one setting, such as sleep: 0")
        return self

    def settings(self) -> dict[str, bool | int]:
        """Return the settings that are named."""
        values = ((name, getattr(self, name)) for name in type(self).model_fields if name != "source")
        return {name: value for name, value in values if value is not None}

    def address(self, task: str) -> str:  # noqa: ARG002  (the source names it)
        """Return ``power_setting.`` and the source."""
        return f"power_setting.{self.source}"

    def provides(self) -> tuple[str, ...]:
        """Return a token for the source."""
        return (f"power:{self.source}",)

    def uses(self) -> tuple[str, ...]:
        """Return the token of all sources: what is said of one is set after what is said of all."""
        return ("power:all",)

    def build(self, around: Surroundings) -> PowerSetting:
        """Return the settings."""
        return PowerSetting(self.source, self.settings(), around.needs)


@dataclass(frozen=True, slots=True)
class PowerSetting:
    """Settings by pmset's names; switches are booleans."""

    source: str
    settings: Mapping[str, bool | int]
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "power_setting"

    @property
    def address(self) -> str:
        """``power_setting.`` and the source."""
        return f"power_setting.{self.source}"

    def probe(self) -> Probe:
        """Read the settings of every source of power the Mac has."""
        return Probe("pmset -g custom", self._parse)

    def desired(self) -> State:
        """Each setting that is named."""
        return dict(self.settings)

    def change(self, actual: State | None) -> Change:
        """Compare; a source the Mac has not got is refused, a setting it does not show is said."""
        change = compare(self.address, self.desired(), actual)
        if actual is None:
            blocked = f"this Mac has no {_SECTIONS[self.source]}; say source: all, or leave it out here"
            return replace(change, blocked=blocked)
        unknown = [each.field for each in change.fields if each.before is None]
        if unknown:
            return replace(change, reason=f"pmset shows no {' and no '.join(unknown)} on this Mac")
        return change

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Set what differs, in one call."""
        if change.action is Action.NOOP:
            return ()
        pairs = [word for each in change.fields for word in (each.field, int(self.settings[each.field]))]
        return (Run(f"pmset {words([_FLAGS[self.source], *pairs])}", become=True),)

    def _parse(self, output: ProbeOutput) -> State | None:
        sections = _sections(output.stdout)
        if output.exit != 0 or not any(sections.values()):
            raise ValueError(f"pmset: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
        if self.source == "all":
            return {name: self._shared(name, sections) for name in self.settings}
        found = sections.get(_SECTIONS[self.source])
        return None if found is None else {name: self._read(name, found.get(name)) for name in self.settings}

    def _shared(self, name: str, sections: Mapping[str, Mapping[str, str]]) -> Value:
        """Return the value that all sources have; what each has when they differ; None when none has it."""
        by_source = {source: settings[name] for source, settings in sections.items() if name in settings}
        if len(set(by_source.values())) > 1:
            return tuple(f"{source} {value}" for source, value in sorted(by_source.items()))
        return self._read(name, next(iter(by_source.values()), None))

    def _read(self, name: str, value: str | None) -> Value:
        if value is None or not value.isascii() or not value.isdecimal():
            return value
        switch = isinstance(self.settings[name], bool)
        return value == "1" if switch and value in {"0", "1"} else int(value)


def _sections(text: str) -> dict[str, dict[str, str]]:
    """Return the settings by source; headers of other things than a source hold none."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in text.splitlines():
        header = line.rstrip().removesuffix(":")
        if line.startswith(" "):
            matched = _SETTING.match(line)
            if matched:
                current[matched[1]] = matched[2]
        else:
            current = found.setdefault(header, {}) if header in _SECTIONS.values() else {}
    return found
