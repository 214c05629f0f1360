"""A Compose project that runs exactly the configuration its file says.

Each container is labelled with the digest of the configuration it was started with. A restart is thus
derived from what runs, not from what was changed: one that was missed is caught by the next plan.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, field_validator

from macfleet.documents import Seconds
from macfleet.model.resource import (
    Action,
    Change,
    Probe,
    ProbeOutput,
    Put,
    Run,
    State,
    Step,
    compare,
    removal,
)
from macfleet.model.shell import quote
from macfleet.resources import compose_file, docker_client
from macfleet.resources.params import AbsolutePath, Params, Presence, Profile, Surroundings

_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*\Z")
_EXITED = re.compile(r"^Exited \((\d+)\)")
_SIGNALLED = {"137", "143"}  # 128 + SIGKILL, 128 + SIGTERM
_FORMAT = '{{.Label "com.docker.compose.service"}}|{{.Label "macfleet.configuration"}}|{{.State}}|{{.Status}}'


class ComposeProjectParams(Params):
    """A Compose project; its file is a file resource of the same stage, every image pinned by digest."""

    kind: ClassVar[str] = "compose_project"

    name: str = Field(description="Project name.")
    file: AbsolutePath = Field(description="Path of the Compose file on the node.")
    reads: tuple[AbsolutePath, ...] = Field(
        (), description="Managed files that containers read at start; a change of one restarts them."
    )
    wait: Seconds = Field(180.0, description="Time until all services must be running and healthy.")
    profile: Profile = Field("default", description="Colima profile.")
    state: Presence = Field("present", description="absent removes what it once brought up, and no volume.")

    @field_validator("name")
    @classmethod
    def _project(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(f"{value!r} is not a project name: lowercase letters, digits, - and _")
        return value

    def address(self, task: str) -> str:  # noqa: ARG002  (the project names it)
        """Return ``compose_project.`` and the project."""
        return f"compose_project.{self.name}"

    def uses(self) -> tuple[str, ...]:
        """Return its files and the engine."""
        if self.state == "absent":
            return (f"colima:{self.profile}",)
        return (self.file, *self.reads, f"colima:{self.profile}", "brew:docker", "brew:docker-compose")

    def build(self, around: Surroundings) -> ComposeProject:
        """Return the project (raises ValueError when a file it names is not in the stage)."""
        if self.state == "absent":
            return ComposeProject(
                self.name, self.file, (), "", self.wait, self.profile, around.needs, absent=True
            )
        missing = [path for path in (self.file, *self.reads) if path not in around.files]
        if missing:
            raise ValueError(f"no file resource of this stage writes {missing[0]}")
        content = around.files[self.file]
        read = {path: around.files[path] for path in self.reads}
        services = tuple(service.name for service in compose_file.parse_compose(content))
        digest = compose_file.configuration_digest(content, read)
        return ComposeProject(self.name, self.file, services, digest, self.wait, self.profile, around.needs)


@dataclass(frozen=True, slots=True)
class ComposeProject:
    """A project's services, all running `configuration`; `wait` in seconds.

    One that must be absent is known by the labels that bringing it up wrote beside its file: a node without
    them is not asked for containers, and a project that somebody else brought up stays.
    """

    name: str
    file: str
    services: tuple[str, ...]
    configuration: str
    wait: float = 180.0
    profile: str = "default"
    needs: tuple[str, ...] = ()
    absent: bool = False
    kind: ClassVar[str] = "compose_project"

    @property
    def address(self) -> str:
        """``compose_project.`` and the project."""
        return f"compose_project.{self.name}"

    def probe(self) -> Probe:
        """List the project's containers with service, configuration label, state and status."""
        if self.absent:
            left = f"[ -e {quote(self._stamp_path)} ] && echo stamped || echo nothing"
            return Probe(left, self._parse_left)
        script = (
            "docker ps --all --no-trunc --filter "
            f"{quote(f'label=com.docker.compose.project={self.name}')}"
            f" --filter label=com.docker.compose.oneoff=False --format {quote(_FORMAT)}"
        )
        return Probe(docker_client.guarded(self.profile, script), self._parse)

    def desired(self) -> State:
        """Every service running this configuration, none unhealthy."""
        if self.absent:
            return {}
        return {"configuration": self.configuration, "running": self.services, "unhealthy": ()}

    def change(self, actual: State | None) -> Change:
        """Compare, and say in words why containers are started or restarted."""
        if self.absent:
            return removal(self.address, actual)
        change = compare(self.address, self.desired(), actual)
        if actual is None or change.action is Action.NOOP:
            return change
        return replace(change, action=Action.REPLACE, reason=self._reason(actual))

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Write the labels, bring the project up and wait until it is healthy.

        When it does not come up, the containers' last lines are printed for the failure's record.
        """
        if change.action is Action.NOOP:
            return ()
        stamped = self._stamp_path
        if change.action is Action.DELETE:
            down = f"docker compose --project-name {quote(self.name)} down --remove-orphans </dev/null"
            removed = f"{docker_client.prepared(self.profile)}\n{down}\nrm -f {quote(stamped)}"
            return (Run(removed, limit=self.wait + 120),)
        files = f"--project-name {quote(self.name)} --file {quote(self.file)} --file {quote(stamped)}"
        fresh = " --force-recreate" if any(f.field == "unhealthy" for f in change.fields) else ""
        script = (
            f"{docker_client.prepared(self.profile)}\nset +e\n"
            f"docker compose {files} up --detach --wait --wait-timeout {int(self.wait)} --pull never"
            f" --no-build --remove-orphans{fresh} </dev/null && exit 0\n"
            f"status=$?\ndocker compose {files} logs --no-color --tail 40 >&2 </dev/null || :\nexit $status"
        )
        stamp = compose_file.stamp(self.services, self.configuration)
        return (Put(stamped, stamp), Run(script, limit=self.wait + 120))

    @property
    def _stamp_path(self) -> str:
        return posixpath.join(posixpath.dirname(self.file), f".macfleet-{self.name}.yaml")

    def _reason(self, actual: State) -> str:
        if "engine" in actual:
            return docker_client.SILENT
        reasons = []
        if actual["configuration"] not in {self.configuration, None}:
            reasons.append("running configuration differs from the Compose file → recreate")
        stopped = actual["stopped"]
        if isinstance(stopped, tuple):
            reasons += stopped
        listed = actual["listed"]
        gone = set(self.services) - set(listed if isinstance(listed, tuple) else ())
        if gone:
            reasons.append("container removed outside macfleet → create")
        if actual["unhealthy"]:
            reasons.append("container is unhealthy → recreate")
        return "; ".join(dict.fromkeys(reasons)) or "containers of removed services → remove"

    def _parse_left(self, output: ProbeOutput) -> State | None:
        said = output.stdout.strip()
        if output.exit != 0 or said not in {"stamped", "nothing"}:
            raise ValueError(f"{self.name}: {output.stderr.strip() or said or 'no answer'}")
        return {"project": "brought up"} if said == "stamped" else None

    def _parse(self, output: ProbeOutput) -> State | None:
        first, _, listing = output.stdout.strip().partition("\n")
        if first == "engine absent" and output.exit == 0:
            return None
        if (first == "engine silent" and output.exit == 0) or output.cut:
            return {"engine": "silent"}
        if not first.startswith("engine ") or output.exit != 0:
            raise ValueError(f"{self.name}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
        rows = [_row(line) for line in listing.splitlines() if line.strip()]
        return _summary(rows) if rows else None


@dataclass(frozen=True, slots=True)
class _Container:
    service: str
    configuration: str
    state: str
    status: str


def _row(line: str) -> _Container:
    parts = line.split("|", 3)
    if len(parts) != 4 or not parts[0]:
        raise ValueError(f"docker ps printed {line!r}; expected service, configuration, state and status")
    return _Container(*parts)


def _summary(rows: list[_Container]) -> State:
    """Reduce containers to a state: `stopped` says in words why those that do not run do not."""
    configurations = sorted({row.configuration or "unknown" for row in rows})
    return {
        "configuration": configurations[0] if len(configurations) == 1 else "mixed",
        "running": tuple(sorted({row.service for row in rows if row.state == "running"})),
        "unhealthy": tuple(sorted({row.service for row in rows if "(unhealthy)" in row.status})),
        "listed": tuple(sorted({row.service for row in rows})),
        "stopped": tuple(sorted({_why(row) for row in rows if row.state != "running"})),
    }


def _why(row: _Container) -> str:
    exited = _EXITED.match(row.status)
    if row.state == "restarting":
        return "container restarts in a loop → start"
    if exited and exited.group(1) not in _SIGNALLED | {"0"}:
        return f"container ended by itself with status {exited.group(1)} → start"
    if row.state in {"exited", "dead"}:
        return "container killed outside macfleet → start"
    return f"container is {row.state} → start"
