"""Logs that newsyslog turns over, by a file of their own in /etc/newsyslog.d."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from macfleet.documents import Size
from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Put, Run, State, Step
from macfleet.model.shell import quote
from macfleet.resources import ownership, regular
from macfleet.resources.params import AbsolutePath, Mode, Owner, Params, Presence, Surroundings

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.-]{0,60}\Z")
_WHEN = {"": "*", "daily": "$D{hour}", "weekly": "$W0D{hour}", "monthly": "$M1D{hour}"}
_COMPRESS = {"none": "", "gzip": "Z", "bzip2": "J"}
_SIGNALS = {"HUP": 1, "INT": 2, "TERM": 15, "USR1": 30, "USR2": 31}  # macOS's numbers (signal(3))
_MODE, _OWNER = "0644", "root:wheel"


def _one_word(value: str) -> str:
    if re.search(r"[\s#\\]", value):
        raise ValueError(f"{value!r} holds a space, # or \\, which newsyslog.conf cannot carry")
    return value


LogPath = Annotated[AbsolutePath, AfterValidator(_one_word)]


class LogRotationParams(Params):
    """Logs that newsyslog renames, keeps and removes; macOS looks every half hour.

    A program that keeps its log open writes on into the renamed file until it opens it anew: give pid_file
    and signal where it does so on a signal, and compress only what nobody holds open.
    """

    kind: ClassVar[str] = "log_rotation"

    name: str = Field(description="Name of the file in /etc/newsyslog.d, after com.macfleet.")
    paths: tuple[LogPath, ...] = Field((), description="Logs, each by absolute path. Needed unless absent.")
    size: Size | None = Field(None, description="Turn a log over at this size, such as 20MiB.", ge=1024)
    every: Literal["", "daily", "weekly", "monthly"] = Field("", description="Turn logs over by the clock.")
    hour: int = Field(0, description="Hour of the day for every.", ge=0, le=23)
    keep: int = Field(5, description="Old logs that are kept.", ge=0, le=1000)
    compress: Literal["none", "gzip", "bzip2"] = Field("none", description="What old logs become.")
    mode: Mode = Field("0644", description="Octal mode of the new log, in quotes.")
    owner: Owner = Field("", description="user or user:group of the new log; root unless given.")
    pid_file: LogPath | None = Field(None, description="File with the process to be told.")
    signal: Literal["HUP", "INT", "TERM", "USR1", "USR2"] = Field("HUP", description="What it is told.")
    state: Presence = Field(
        "present", description="absent removes the file in /etc/newsyslog.d; its name is enough."
    )

    @field_validator("name")
    @classmethod
    def _file_name(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(f"{value!r} is not a name: letters, digits, . and -")
        return value

    @model_validator(mode="after")
    def _some_time(self) -> LogRotationParams:
        if self.state == "absent":
            return self
        if not self.paths:
            raise ValueError("paths: is missing; say which logs are turned over")
        if self.size is None and not self.every:
            raise ValueError("give size, every or both, or no log is ever turned over")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the name names it)
        """Return ``log_rotation.`` and the name."""
        return f"log_rotation.{self.name}"

    def uses(self) -> tuple[str, ...]:
        """Return the logs: a managed directory above one comes first."""
        return self.paths

    def build(self, around: Surroundings) -> LogRotation:
        """Return the rotation."""
        text = "".join(f"{self._line(path)}\n" for path in self.paths)
        content = f"# Written by macfleet.\n# logfilename owner:group mode count size when flags\n{text}"
        return LogRotation(self.name, content.encode(), self.state == "absent", around.needs)

    def _line(self, path: str) -> str:
        """Return a line of newsyslog.conf(5); sizes there count kibibytes."""
        user, _, group = self.owner.partition(":")
        size = "*" if self.size is None else str(-(-self.size // 1024))
        when = _WHEN[self.every].format(hour=self.hour)
        # B keeps newsyslog's own line out of the log, N tells no process
        flags = f"B{_COMPRESS[self.compress]}{'' if self.pid_file else 'N'}"
        told = f" {self.pid_file} {_SIGNALS[self.signal]}" if self.pid_file else ""
        owner = f"{user}:{group} " if self.owner else ""
        return f"{path} {owner}{self.mode[1:]} {self.keep} {size} {when} {flags}{told}"


@dataclass(frozen=True, slots=True)
class LogRotation:
    """A file of newsyslog's; `content` is the whole of it."""

    name: str
    content: bytes
    absent: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "log_rotation"

    @property
    def address(self) -> str:
        """``log_rotation.`` and the name."""
        return f"log_rotation.{self.name}"

    @property
    def path(self) -> str:
        """Where the file stands."""
        return f"/etc/newsyslog.d/com.macfleet.{self.name}.conf"

    def probe(self) -> Probe:
        """Read type, mode, owner and SHA-256 of the file."""
        return Probe(regular.script(self.path, become=False), self._parse, file=self.path)

    def desired(self) -> State:
        """The file, root's, with this content."""
        digest = hashlib.sha256(self.content).hexdigest()
        return {} if self.absent else {"type": "file", "sha256": digest, "mode": _MODE, "owner": _OWNER}

    def change(self, actual: State | None) -> Change:
        """Compare; a directory at the place of the file is never removed."""
        if self.absent:
            return regular.gone(self.address, self.path, actual)
        return regular.change(self.address, self.path, self.desired(), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Let newsyslog judge the new content before the file takes its place."""
        fields = {each.field for each in change.fields}
        if change.action is Action.NOOP:
            return ()
        if change.action is Action.DELETE:
            return (Run(f"rm -f {quote(self.path)}", become=True),)
        if "sha256" in fields:
            put = Put(self.path, self.content, _MODE, become=True, owner=_OWNER)
            return (Run(self._judge(), become=True), put)
        commands = ownership.mend(self.path, fields, _MODE, _OWNER)
        return (Run("\n".join(["set -e", *commands]), become=True),)

    def _judge(self) -> str:
        return (
            't=$(mktemp "${TMPDIR:-/tmp}/macfleet.XXXXXX") || exit 1\n'
            f'printf \'%s\' {quote(self.content.decode())} >"$t" && newsyslog -n -f "$t" >/dev/null\n'
            'rc=$?\nrm -f "$t"\nexit "$rc"'
        )

    def _parse(self, output: ProbeOutput) -> State | None:
        return regular.parse(self.path, output, _OWNER)
