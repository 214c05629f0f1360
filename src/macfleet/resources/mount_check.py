"""What must be true of the disk a folder lies on; macfleet looks and refuses, it mounts nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from macfleet.documents import Size
from macfleet.model.quantity import show_bytes
from macfleet.model.resource import Change, FieldChange, Probe, ProbeOutput, State, Step, Value, compare
from macfleet.model.shell import quote
from macfleet.resources.params import AbsolutePath, Params, Surroundings

# `df -kP`: device and mount point may hold spaces, the four figures between them do not.
_DF = re.compile(r"^(.+?)\s+(\d+)\s+(-?\d+)\s+(-?\d+)\s+(\d+)%\s+(/.*)$")
# `<device> on <mount point> (<kind>, <option>, …)`
_MOUNT = re.compile(r"^.+ on (/.*) \(([^,)]+)([^)]*)\)$")


def _plain(value: str) -> str:
    if not value.isprintable():
        raise ValueError(f"{value!r} holds a character that cannot be shown")
    return value


Plain = Annotated[str, AfterValidator(_plain)]


class MountCheckParams(Params):
    """The disk that a folder lies on: where it is mounted, of what kind it is, and how much is free.

    A difference is refused with the words what to do: macfleet mounts, formats and empties nothing. The
    folder must be there before the plan is made.
    """

    kind: ClassVar[str] = "mount_check"

    path: AbsolutePath = Field(description="A folder on the disk, by absolute path.")
    mounted_on: AbsolutePath | None = Field(
        None, description="Mount point the folder must lie on; /System/Volumes/Data for /Users."
    )
    device: Plain = Field("", description="Device as df shows it; a disk's number may change at a restart.")
    filesystems: tuple[Plain, ...] = Field(("apfs",), description="Kinds of file system it may be.")
    writable: bool = Field(True, description="The login may write to it.")
    owners: bool = Field(False, description="It keeps owners; refused is one mounted noowners.")
    free: Size = Field(0, description="Bytes that must be free, such as 100GiB.", ge=0)

    def address(self, task: str) -> str:  # noqa: ARG002  (the path names it)
        """Return ``mount_check.`` and the path."""
        return f"mount_check.{self.path}"

    def build(self, around: Surroundings) -> MountCheck:
        """Return the check."""
        return MountCheck(
            self.path,
            self.filesystems,
            self.mounted_on or "",
            self.device,
            self.writable,
            self.owners,
            self.free,
            around.needs,
        )


@dataclass(frozen=True, slots=True)
class MountCheck:
    """What must hold; empty, False and 0 ask for nothing. `free` counts bytes."""

    path: str
    filesystems: tuple[str, ...] = ()
    mounted_on: str = ""
    device: str = ""
    writable: bool = True
    owners: bool = False
    free: int = 0
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "mount_check"

    @property
    def address(self) -> str:
        """``mount_check.`` and the path."""
        return f"mount_check.{self.path}"

    def probe(self) -> Probe:
        """Read whether the login may write there, the disk's figures, and the table of mounts."""
        script = (
            f"p={quote(self.path)}\n"
            'if [ -d "$p" ]; then\n'
            '[ -w "$p" ] && echo yes || echo no\ndf -kP "$p" && echo mounts && mount\n'
            'elif [ -e "$p" ] || [ -L "$p" ]; then echo other\nelse echo absent; fi'
        )
        return Probe(script, self._parse)

    def desired(self) -> State:
        """What is asked for, in the words that `probe` answers with where it holds."""
        wanted: dict[str, Value] = {
            "filesystem": " or ".join(self.filesystems) or None,
            "mounted_on": self.mounted_on or None,
            "device": self.device or None,
            "writable": self.writable or None,
            "owners": self.owners or None,
            "free": f"at least {show_bytes(self.free)}" if self.free else None,
        }
        return {name: value for name, value in wanted.items() if value is not None}

    def change(self, actual: State | None) -> Change:
        """Compare; every difference is refused."""
        change = compare(self.address, self.desired(), actual)
        if actual is None:
            return replace(change, blocked=f"{self.path} is missing; mount its disk or make the folder")
        if actual.get("type") == "other":
            return replace(change, blocked=f"{self.path} is not a folder; move it away")
        if not change.fields:
            return change
        found = "; ".join(_in_words(each) for each in change.fields)
        words = f"{self.path}: {found}. macfleet mounts and empties nothing: mend the disk or the path"
        return replace(change, blocked=words)

    def steps(self, change: Change) -> tuple[Step, ...]:  # noqa: ARG002  (a check has none)
        """Return nothing: a check changes nothing."""
        return ()

    def _parse(self, output: ProbeOutput) -> State | None:
        head, found, table = output.stdout.partition("\nmounts\n")
        lines = head.splitlines()
        if output.exit == 0 and lines in (["absent"], ["other"]):
            return None if lines == ["absent"] else {"type": "other"}
        figures = _DF.match(lines[-1]) if lines else None
        if output.exit != 0 or not found or figures is None or lines[0] not in {"yes", "no"}:
            raise ValueError(f"{self.path}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
        device, _, _, free, _, point = figures.groups()
        kind, options = _mounted(point, table)
        return {
            "filesystem": " or ".join(self.filesystems) if kind in self.filesystems else kind,
            "mounted_on": point,
            "device": device,
            "writable": lines[0] == "yes" and "read-only" not in options,
            "owners": "noowners" not in options,
            "free": self._free(int(free) * 1024),
        }

    def _free(self, free: int) -> str:
        """Return the same words for any size that is enough: a plan is not stale for a byte."""
        return f"at least {show_bytes(self.free)}" if free >= self.free else show_bytes(free)


def _in_words(field: FieldChange) -> str:
    if field.field == "writable":
        return "the login may not write there"
    if field.field == "owners":
        return "it is mounted noowners and keeps no owners"
    return f"{field.field} is {field.before}, not {field.after}"


def _mounted(point: str, table: str) -> tuple[str, frozenset[str]]:
    """Return kind and options of a mount point (raises ValueError when the table has it not)."""
    for line in table.splitlines():
        matched = _MOUNT.match(line)
        if matched and matched[1] == point:
            return matched[2], frozenset(each.strip() for each in matched[3].split(","))
    raise ValueError(f"mount does not show {point}, where df says that the path lies")
