"""Colima's VM: created, running, answering, and made from the settings we want."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import ClassVar

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step, Value, compare
from macfleet.model.shell import quote
from macfleet.resources import docker_client
from macfleet.resources.colima_settings import FIXED, ColimaSettings, read_applied

_START_LIMIT = 1800.0  # a first start downloads the VM image and may wait ten minutes for the guest
_REPAIRS = {
    "stopped": "VM is stopped → start",
    "broken": "VM is broken (its host agent is gone) → forced stop, start",
    "forward_dead": "VM runs but its Docker socket is dead → restart",
    "unresponsive": "VM does not answer in time → forced stop, start",
}
_STATUS = {"Running": "running", "Stopped": "stopped", "Broken": "broken"}


@dataclass(frozen=True, slots=True)
class ColimaInstance:
    """One profile; `recreate` allows deleting the VM (not its data disk) for a fixed field."""

    settings: ColimaSettings
    profile: str = "default"
    recreate: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "colima_instance"

    @property
    def address(self) -> str:
        """``colima_instance.`` and the profile."""
        return f"colima_instance.{self.profile}"

    def probe(self) -> Probe:
        """Read the VM's status, the settings it was started with, and whether its engine answers."""
        applied = f'"$HOME/.colima/_lima/"{quote(self._lima_name)}/colima.yaml'
        socket = f'"$HOME/.colima/"{quote(self.profile)}/docker.sock'
        script = (
            f"{docker_client.environment(self.profile)}\n{docker_client.BOUNDED}\n"
            "if ! command -v colima >/dev/null 2>&1; then echo '@absent'; exit 0; fi\n"
            "echo '@list'; colima list --json || exit 1\n"
            f"echo '@applied'; if [ -f {applied} ]; then cat {applied}; echo; fi\n"
            f"if [ -S {socket} ]; then bounded docker version --format '{{{{.Server.Version}}}}' >/dev/null\n"
            "case $? in 0) echo '@answers' ;; 137) echo '@hangs' ;; esac; fi\necho '@end'"
        )
        return Probe(script, self._parse, limit=30.0)

    def desired(self) -> State:
        """Running with our settings."""
        return {"status": "running", **self.settings.state()}

    def change(self, actual: State | None) -> Change:
        """Compare; what Colima would silently discard is refused or means a new VM."""
        change = compare(self.address, self.desired(), actual)
        if actual is None or change.action is Action.NOOP:
            return change
        differing = {field.field for field in change.fields}
        refused = self._refused(actual, differing)
        if refused and not (self.recreate and differing & set(FIXED)):
            return replace(change, blocked=refused)
        if refused:
            return replace(change, action=Action.REPLACE, reason="delete the VM, keep its data disk → create")
        reasons = [_REPAIRS.get(str(actual["status"]), "")] if "status" in differing else []
        if differing - {"status"}:
            reasons.append("stop → start with the new settings")
        return replace(change, action=Action.REPLACE, reason="; ".join(filter(None, reasons)))

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Write the whole colima.yaml first, so that whoever starts the VM starts the right one."""
        if change.action is Action.NOOP:
            return ()
        profile = quote(self.profile)
        start = [self._write(), f"colima start --profile {profile} </dev/null"]
        commands = [docker_client.prepared(self.profile), *start]
        before = {field.field: field.before for field in change.fields}
        if before.keys() & set(FIXED) and change.action is Action.REPLACE:
            commands[1:1] = [f"colima delete --force --profile {profile} </dev/null"]
        elif change.action is Action.REPLACE and before.get("status") != "stopped":
            force = " --force" if before.get("status") in {"broken", "unresponsive"} else ""
            commands[2:2] = [f"colima stop{force} --profile {profile} </dev/null"]
        return (Run("\n".join(commands), limit=_START_LIMIT),)

    @property
    def _lima_name(self) -> str:
        return "colima" if self.profile == "default" else f"colima-{self.profile}"

    def _write(self) -> str:
        folder = f'"$HOME/.colima/"{quote(self.profile)}'
        return (
            f"mkdir -p {folder}\nprintf %s {quote(self.settings.render())} > {folder}/colima.yaml.new\n"
            f"mv {folder}/colima.yaml.new {folder}/colima.yaml"
        )

    def _refused(self, actual: State, differing: set[str]) -> str:
        """Return why the VM that exists cannot take the settings, in words; empty when it can."""
        fixed = sorted(differing & set(FIXED))
        if fixed:
            names = ", ".join(f"{name} ({actual.get(name)})" for name in fixed)
            return f"{names} cannot change once the VM exists; set recreate: true to make a new VM"
        disk = actual.get("disk")
        if "disk" in differing and isinstance(disk, int) and disk > self.settings.disk:
            return "a VM's disk can only grow; Colima would ignore the smaller size"
        if "network_address" in differing and actual.get("network_address"):
            return "network_address can be turned on but not off; make a new VM by hand"
        return ""

    def _parse(self, output: ProbeOutput) -> State | None:
        sections = _sections(output.stdout)
        if "absent" in sections:
            return None
        if "list" not in sections or "end" not in sections:
            raise ValueError(f"colima list failed: {output.stderr.strip() or output.stdout.strip()}")
        listed = _listed(sections["list"], self.profile)
        if listed is None:
            return None
        status = listed
        if listed == "running" and "answers" not in sections:
            status = "unresponsive" if "hangs" in sections else "forward_dead"
        applied: dict[str, Value] = (
            read_applied(sections["applied"]) if sections.get("applied", "").strip() else {}
        )
        return {"status": status, **applied}


def _sections(text: str) -> dict[str, str]:
    """Return the lines below each ``@name`` line."""
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        if line.startswith("@"):
            current = sections.setdefault(line[1:], [])
        else:
            current.append(line)
    return {name: "\n".join(lines) for name, lines in sections.items()}


def _listed(text: str, profile: str) -> str | None:
    """Return the profile's status from JSON lines, None when it is not listed.

    Raises:
        ValueError: a line is not a JSON object with a name and a known status.
    """
    for line in filter(str.strip, text.splitlines()):
        try:
            entry = json.loads(line)
            name, status = str(entry["name"]), str(entry["status"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"colima list printed {line!r}") from error
        if name == profile:
            return _STATUS.get(status, "broken")
    return None
