"""A limit of the kernel or of launchd, set now and at every boot by a daemon of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from macfleet.model.json import Json
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
    removal,
)
from macfleet.model.shell import quote, words
from macfleet.resources.daemon import Daemon
from macfleet.resources.params import Params, Presence, Surroundings

_LAUNCHD = ("maxfiles", "maxproc")
_LARGEST = 2**63 - 1  # what the kernel counts them in
_OID = re.compile(r"^[a-z][a-z0-9_]*(?:\.[a-z0-9_]+)+\Z")
_LASTS = "the limit lasts until the next restart"
# `launchctl limit maxfiles`: the name, then the soft and the hard limit
_LIMIT = re.compile(r"^\s*\S+\s+(\d+|unlimited)\s+(\d+|unlimited)\s*$")


class SysctlLimitParams(Params):
    """A limit that a Mac forgets at every restart, set now and by a LaunchDaemon at boot.

    maxfiles and maxproc are launchd's limits for what it starts from then on; other names are sysctl's.
    A running service keeps the limit it was started with.
    """

    kind: ClassVar[str] = "sysctl_limit"

    name: str = Field(description="maxfiles, maxproc, or a name of sysctl such as kern.maxfilesperproc.")
    value: int | None = Field(
        None,
        description="The limit; of maxfiles and maxproc the soft one. Needed unless absent.",
        ge=0,
        le=_LARGEST,
    )
    hard: int | None = Field(
        None, description="The hard limit of maxfiles and maxproc; value unless given.", le=_LARGEST
    )
    state: Presence = Field(
        "present", description="absent removes the daemon; the limit lasts until the next restart."
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in _LAUNCHD and not _OID.match(value):
            raise ValueError(f"{value!r} is neither {' nor '.join(_LAUNCHD)} nor a name of sysctl")
        return value

    @model_validator(mode="after")
    def _two_limits(self) -> SysctlLimitParams:
        if self.hard is not None and self.name not in _LAUNCHD:
            raise ValueError("only maxfiles and maxproc have a hard limit")
        if self.value is None and self.state == "present":
            raise ValueError("value: is missing")
        if self.hard is not None and self.value is not None and self.hard < self.value:
            raise ValueError(f"the hard limit {self.hard} is below the soft one {self.value}")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the limit names it)
        """Return ``sysctl_limit.`` and the name."""
        return f"sysctl_limit.{self.name}"

    def provides(self) -> tuple[str, ...]:
        """Return a token for the limit."""
        return (f"limit:{self.name}",)

    def build(self, around: Surroundings) -> SysctlLimit:
        """Return the limit."""
        value = self.value or 0  # one that goes has none
        hard = (value if self.hard is None else self.hard) if self.name in _LAUNCHD else None
        return SysctlLimit(self.name, value, hard, self.state == "absent", around.needs)


@dataclass(frozen=True, slots=True)
class SysctlLimit:
    """A limit; `hard` is None for one of sysctl, which has only a value."""

    name: str
    value: int
    hard: int | None = None
    absent: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "sysctl_limit"

    @property
    def address(self) -> str:
        """``sysctl_limit.`` and the name."""
        return f"sysctl_limit.{self.name}"

    @property
    def daemon(self) -> Daemon:
        """The daemon that sets the limit at boot."""
        arguments: Json = list(self._command())
        label = f"com.macfleet.limit.{self.name.replace('_', '-')}"
        return Daemon(label, {"ProgramArguments": arguments, "RunAtLoad": True}, running=False)

    def probe(self) -> Probe:
        """Read the limit that holds now, and the daemon that sets it at boot."""
        read = f"sysctl -n {quote(self.name)}" if self.hard is None else f"launchctl limit {quote(self.name)}"
        return Probe(f"{read} || exit 1\n{self.daemon.probe()}", self._parse)

    def desired(self) -> State:
        """The limit, and the daemon loaded."""
        return {} if self.absent else {**self.daemon.desired(), **self._limit()}

    def change(self, actual: State | None) -> Change:
        """Compare; without the daemon it is to be created, whatever the limit is today."""
        if self.absent:
            goes = actual and {name: value for name, value in actual.items() if name not in self._limit()}
            return replace(removal(self.address, goes), reason=_LASTS if goes else "")
        return self.daemon.explain(compare(self.address, self.desired(), actual), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Write and load the daemon where it differs, and set the limit, which the daemon does later."""
        if change.action is Action.NOOP:
            return ()
        if change.action is Action.DELETE:
            return (Run(self.daemon.removal(), become=True),)
        steps = self.daemon.steps({each.field for each in change.fields})
        return (*steps, Run(words(self._command()), become=True))

    def _command(self) -> tuple[str, ...]:
        if self.hard is None:
            return ("/usr/sbin/sysctl", "-w", f"{self.name}={self.value}")
        return ("/bin/launchctl", "limit", self.name, str(self.value), str(self.hard))

    def _limit(self) -> dict[str, Value]:
        return {"value": self.value, **({} if self.hard is None else {"hard": self.hard})}

    def _parse(self, output: ProbeOutput) -> State | None:
        line, _, rest = output.stdout.partition("\n")
        if output.exit != 0:
            raise ValueError(f"{self.name}: {output.stderr.strip() or line or 'no answer'}")
        limit = self._read(line)
        daemon = self.daemon.parse(rest)
        return None if daemon is None else {**daemon, **limit}

    def _read(self, line: str) -> dict[str, Value]:
        if self.hard is None:
            if not re.fullmatch(r"-?\d+", line.strip(), re.ASCII):
                raise ValueError(f"{self.name} is {line.strip()!r}, not a number")
            return {"value": int(line)}
        matched = _LIMIT.match(line)
        if matched is None:
            raise ValueError(f"launchctl limit printed {line!r}; expected a soft and a hard limit")
        return {"value": _number(matched[1]), "hard": _number(matched[2])}


def _number(text: str) -> int | str:
    return text if text == "unlimited" else int(text)
