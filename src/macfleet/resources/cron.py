"""A line of a user's crontab, known by the comment it ends with; the other lines are left alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step, compare, removal
from macfleet.model.shell import quote, words
from macfleet.resources import ownership
from macfleet.resources.params import Params, Presence, Surroundings

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}\Z")
_USER = re.compile(r"^(?:[A-Za-z_][A-Za-z0-9._-]*)?\Z")
_SHORT = frozenset(
    f"@{word}"
    for word in ("reboot", "hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually")
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("weekday", 0, 7, _DAYS),
)
_PART = re.compile(r"^(?:\*|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/([0-9]+))?\Z", re.ASCII)

# Marker and line come through the environment: awk would read escapes in an argument.
_REWRITE = """\
substr($0, length($0) - length(ENVIRON["mark"]) + 1) == ENVIRON["mark"] {
  if (!done && ENVIRON["new"] != "") print ENVIRON["new"]
  done = 1; next
}
{ print }
END { if (!done && ENVIRON["new"] != "") print ENVIRON["new"] }"""


class CronParams(Params):
    """A line of a user's crontab.

    Cron does not make up for times that fall into sleep, and macOS may want full disk access for the
    crontab of a login over SSH; launchd_timer has neither flaw.
    """

    kind: ClassVar[str] = "cron"
    shell: ClassVar[frozenset[str]] = frozenset({"run"})

    name: str = Field(description="Name of the line, in the comment it ends with.")
    schedule: str = Field(
        "", description='Five fields such as "*/5 * * * *", or @daily and the like. Needed unless absent.'
    )
    run: str | tuple[str, ...] = Field(
        "",
        description="Shell text, or a list of words, quoted; programs by full path. Needed unless absent.",
    )
    user: str = Field("", description="Whose crontab, through sudo -n; the login's unless given.")
    state: Presence = Field("present", description="absent removes the line; its name is enough.")

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(f"{value!r} is not a name: letters, digits, . _ and -")
        return value

    @field_validator("user")
    @classmethod
    def _login(cls, value: str) -> str:
        if not _USER.match(value):
            raise ValueError(f"{value!r} is not a user")
        return value

    @field_validator("schedule")
    @classmethod
    def _times(cls, value: str) -> str:
        return parse_schedule(value)

    @field_validator("run")
    @classmethod
    def _one_line(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        text = value if isinstance(value, str) else words(value)
        if not text.strip() or any(character in text for character in "\0\n\r"):
            raise ValueError("a crontab holds one line a command: write longer ones into a file")
        if "\\\\" in text or "\\%" in text:
            # whether cron takes one of two backslashes away depends on its version; % is escaped in build
            raise ValueError("write % without a backslash, and a command with two of them into a file")
        return value

    @model_validator(mode="after")
    def _complete(self) -> CronParams:
        missing = [name for name in ("schedule", "run") if not getattr(self, name)]
        if missing and self.state == "present":
            raise ValueError(f"{' and '.join(missing)} missing")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the line has a name)
        """Return ``cron.`` and the name, after the user where one is given."""
        return _address(self.user, self.name)

    def uses(self) -> tuple[str, ...]:
        """Return the program, where the command is a list of words."""
        return () if isinstance(self.run, str) else self.run[:1]

    def build(self, around: Surroundings) -> Cron:
        """Return the line."""
        command = self.run.strip() if isinstance(self.run, str) else words(self.run)
        line = f"{self.schedule} {command}".replace("%", "\\%")  # cron makes a bare % a line break
        return Cron(self.name, line, self.user, self.state == "absent", around.needs)


@dataclass(frozen=True, slots=True)
class Cron:
    """A line without its comment; `user` empty means the login."""

    name: str
    line: str
    user: str = ""
    absent: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "cron"

    @property
    def address(self) -> str:
        """``cron.`` and the name, after the user where one is given."""
        return _address(self.user, self.name)

    def probe(self) -> Probe:
        """Read the crontab; nobody having written one yet is an answer too."""
        script = f"{self._read()}printf 'crontab\\n%s\\n' \"$t\""
        return Probe(ownership.as_root(script, become=bool(self.user)), self._parse)

    def desired(self) -> State:
        """The line."""
        return {} if self.absent else {"line": self.line}

    def change(self, actual: State | None) -> Change:
        """Compare; several lines of the name become one."""
        if self.absent:
            return removal(self.address, actual)
        return compare(self.address, self.desired(), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Write the crontab anew with the line where it stood, or at its end."""
        if change.action is Action.NOOP:
            return ()
        new = "" if change.action is Action.DELETE else f"{self.line}{self._mark}"
        script = (
            f"{self._read()}"
            f"mark={quote(self._mark)}; new={quote(new)}; export mark new\n"
            f"n=$(printf '%s' \"$t\" | awk {quote(_REWRITE)}) || exit 1\n"
            f'if [ -n "$n" ]; then printf \'%s\\n\' "$n" | {self._crontab} -\nelse {self._crontab} -r; fi'
        )
        return (Run(script, become=bool(self.user)),)

    @property
    def _mark(self) -> str:
        return f" # macfleet: {self.name}"

    @property
    def _crontab(self) -> str:
        return f"crontab -u {quote(self.user)}" if self.user else "crontab"

    def _read(self) -> str:
        """Return text that puts the crontab into t, and ends the script where it cannot be read."""
        # asked again for the reason: a warning must not become a line of the crontab
        return (
            f"t=$({self._crontab} -l 2>/dev/null) || case $({self._crontab} -l 2>&1) in\n"
            f"*'no crontab for'*) t= ;;\n*) {self._crontab} -l >&2; exit 1 ;;\nesac\n"
        )

    def _parse(self, output: ProbeOutput) -> State | None:
        head, _, tab = output.stdout.partition("\n")
        if output.exit != 0 or head != "crontab":
            raise ValueError(output.stderr.strip() or f"crontab: {output.stdout.strip() or 'no answer'}")
        ours = [line.removesuffix(self._mark) for line in tab.split("\n") if line.endswith(self._mark)]
        if not ours:
            return None
        return {"line": ours[0] if len(ours) == 1 else tuple(ours)}


def _address(user: str, name: str) -> str:
    return f"cron.{user}:{name}" if user else f"cron.{name}"


def parse_schedule(text: str) -> str:
    """Return a schedule with single spaces (crontab(5)).

    Raises:
        ValueError: not five fields of known form and range, and none of the words that stand for them.
    """
    fields = text.lower().split()
    if len(fields) == 1 and fields[0] in _SHORT:
        return fields[0]
    if len(fields) != len(_FIELDS):
        known = " ".join(sorted(_SHORT))
        raise ValueError(
            f"{text!r} has {len(fields)} fields; wanted are minute hour day month weekday, or {known}"
        )
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.split(","):
            _check_part(part, name, low, high, names)
    return " ".join(fields)


def _check_part(part: str, name: str, low: int, high: int, names: tuple[str, ...]) -> None:
    matched = _PART.match(part)
    if matched is None:
        raise ValueError(f"{part!r} is not a {name}: * or a number, a range as 1-5, a step as */5")
    first, last, step = matched.groups()
    bounds = [_number(word, name, low, high, names) for word in (first, last) if word is not None]
    if bounds != sorted(bounds):
        raise ValueError(f"{part!r} runs backwards")
    if step is not None and (int(step) == 0 or len(bounds) == 1):
        raise ValueError(f"{part!r}: a step is at least 1 and follows * or a range")


def _number(word: str, name: str, low: int, high: int, names: tuple[str, ...]) -> int:
    if word in names:
        return names.index(word) + low
    if not word.isdecimal() or not low <= int(word) <= high:
        raise ValueError(f"{word!r} is not a {name} from {low} to {high}")
    return int(word)
