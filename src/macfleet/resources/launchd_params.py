"""What a task may say about a service of launchd: a daemon, or a job with times."""

from __future__ import annotations

import hashlib
import re
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from macfleet.documents import Seconds
from macfleet.model.json import Json
from macfleet.resources.daemon import STAMP, Daemon
from macfleet.resources.launchd_service import LaunchdService
from macfleet.resources.params import AbsolutePath, Owner, Params, PlistText, Presence, Surroundings

_LABEL = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.-]{0,120}\Z")
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*\Z")
_LARGEST = 2**31 - 1


class LaunchdParams(Params):
    """What daemons and timers have in common."""

    label: str = Field(description="Reverse-DNS label, such as macfleet.engine.")
    program: tuple[PlistText, ...] = Field(
        (), description="Program and arguments; the program by absolute path. Needed unless absent."
    )
    user: Owner = Field("", description="User it runs as; root unless given.")
    environment: dict[str, PlistText] = Field(default_factory=dict, description="Environment variables.")
    working_directory: AbsolutePath | None = Field(None, description="Working directory.")
    stdout: AbsolutePath | None = Field(None, description="File for standard output.")
    stderr: AbsolutePath | None = Field(None, description="File for standard error.")
    reads: tuple[AbsolutePath, ...] = Field(
        (), description="Managed files it reads at start; a change of one loads it again."
    )
    state: Presence = Field(
        "present", description="absent unloads it and removes its plist; the label is enough."
    )

    @field_validator("label")
    @classmethod
    def _reverse_dns(cls, value: str) -> str:
        if not _LABEL.match(value):
            raise ValueError(f"{value!r} is not a label: letters, digits, . and -")
        return value

    @field_validator("program")
    @classmethod
    def _by_path(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value and not value[0].startswith("/"):
            raise ValueError(f"the program {value[0]!r} must be an absolute path; launchd has a short PATH")
        return value

    @field_validator("environment")
    @classmethod
    def _free(cls, value: dict[str, str]) -> dict[str, str]:
        if STAMP in value:
            raise ValueError(f"{STAMP} is set by macfleet")
        unknown = [name for name in value if not _VARIABLE.match(name)]
        if unknown:
            raise ValueError(f"{unknown[0]!r} is not the name of a variable")
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.program and self.state == "present":
            raise ValueError("program: is missing; say what launchd starts")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the label names it)
        """Return the kind and the label."""
        return f"{self.kind}.{self.label}"

    def provides(self) -> tuple[str, ...]:
        """Return a token for the service."""
        return (f"launchd:{self.label}",)

    def uses(self) -> tuple[str, ...]:
        """Return every path it names, and launchd's limits: it keeps the ones it was started with."""
        named = (self.working_directory, self.stdout, self.stderr)
        paths = (*self.program[:1], *self.reads, *(path for path in named if path is not None))
        return (*paths, "limit:maxfiles", "limit:maxproc")

    def service(
        self, around: Surroundings, keys: dict[str, Json], *, running: bool, wait: float = 30.0
    ) -> LaunchdService:
        """Return the service; `keys` are the plist's keys of its kind, None for one that is left out.

        Raises:
            ValueError: a file it reads is not in the stage.
        """
        missing = [path for path in self.reads if path not in around.files]
        if missing:
            raise ValueError(f"no file resource of this stage writes {missing[0]}")
        read = {path: hashlib.sha256(around.files[path]).hexdigest() for path in self.reads}
        wanted = {key: value for key, value in {**self._shared(), **keys}.items() if value is not None}
        daemon = Daemon(self.label, wanted, read, running, wait)
        return LaunchdService(daemon, self.kind, self.state == "absent", around.needs)

    def _shared(self) -> dict[str, Json]:
        user, _, group = self.user.partition(":")
        return {
            "ProgramArguments": list(self.program),
            "UserName": user or None,
            "GroupName": group or None,
            "EnvironmentVariables": dict(self.environment) or None,
            "WorkingDirectory": self.working_directory,
            "StandardOutPath": self.stdout,
            "StandardErrorPath": self.stderr,
        }


class LaunchdServiceParams(LaunchdParams):
    """A daemon in the system domain, which runs without anybody logged in."""

    kind: ClassVar[str] = "launchd_service"

    keep_alive: bool | Literal["on_failure"] = Field(
        True, description="Start it again when it ends: always, never, or on_failure."
    )
    run_at_load: bool = Field(True, description="Start it at boot.")
    open_files: int = Field(
        0, description="Limit of open files, soft and hard; 0 leaves the default.", ge=0, le=_LARGEST
    )
    throttle: int = Field(10, description="Seconds between two starts.", ge=1, le=_LARGEST)
    running: bool = Field(True, description="Whether it must be running; false for a job that ends.")
    wait: Seconds = Field(30.0, description="Time until it must be running.")

    def build(self, around: Surroundings) -> LaunchdService:
        """Return the daemon (raises ValueError when a file it reads is not in the stage)."""
        on_failure: Json = {"SuccessfulExit": False}
        limits: Json = {"NumberOfFiles": self.open_files} if self.open_files else None
        keys: dict[str, Json] = {
            "KeepAlive": on_failure if self.keep_alive == "on_failure" else self.keep_alive,
            "RunAtLoad": self.run_at_load,
            "SoftResourceLimits": limits,
            "HardResourceLimits": limits,
            "ThrottleInterval": self.throttle,
        }
        return self.service(around, keys, running=self.running, wait=self.wait)
