"""A tar or zip archive that is unpacked into a folder, once, and only when all of it stays inside."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from macfleet.model.resource import (
    Action,
    Change,
    Probe,
    ProbeOutput,
    Put,
    Run,
    State,
    Step,
    Value,
    compare,
)
from macfleet.model.shell import quote
from macfleet.resources import ownership
from macfleet.resources.params import AbsolutePath, Owner, Params, Surroundings
from macfleet.resources.unpacking import UNPACK

_SHA256 = re.compile(r"^[0-9a-f]{64}\Z")
_STAMP = ".macfleet-archive"
_STAMPED = re.compile(r"^[0-9a-f]{64}(?: strip [0-9]+)?$")
_LARGEST = 16 * 2**20  # it travels inside a script, as base64
_LIMIT = 900.0


class ArchiveParams(Params):
    """A tar or zip archive, unpacked into a folder; what else is in the folder stays.

    Members that would land outside, links that lead outside, and devices are refused before anything is
    unpacked. A member that somebody changes or removes later is seen only where `creates` names it.
    """

    kind: ClassVar[str] = "archive"

    to: AbsolutePath = Field(description="Folder on the node; made as needed.")
    source: str | None = Field(None, description="An archive of the role's files/ folder, up to 16 MiB.")
    path: AbsolutePath | None = Field(None, description="An archive on the node, such as a download's path.")
    sha256: str = Field("", description="SHA-256 of the archive; required with path.")
    strip: int = Field(0, description="Leading folders that are left out of the members' names.", ge=0)
    creates: AbsolutePath | None = Field(None, description="A path that it brings and that must be there.")
    owner: Owner = Field("", description="user or user:group of what is unpacked; empty leaves it alone.")
    become: bool = Field(False, description="Act as root through sudo -n.")

    @field_validator("sha256")
    @classmethod
    def _digest(cls, value: str) -> str:
        value = value.lower().removeprefix("sha256:")
        if value and not _SHA256.match(value):
            raise ValueError("a SHA-256 has 64 hexadecimal digits")
        return value

    @model_validator(mode="after")
    def _one_archive(self) -> ArchiveParams:
        if (self.source is None) == (self.path is None):
            raise ValueError("give exactly one of source and path")
        if self.path is not None and not self.sha256:
            raise ValueError("sha256 missing; an archive that lies on the node must be proven")
        if self.creates is not None and not self.creates.startswith(f"{self.to}/"):
            raise ValueError(f"creates must be below {self.to}")
        return self

    @property
    def staged(self) -> str:
        """Where an archive from the controller lies on the node until it is unpacked."""
        return f"{self.to}/{_STAMP}.part"

    def address(self, task: str) -> str:  # noqa: ARG002  (the folder names it)
        """Return ``archive.`` and the folder."""
        return f"archive.{self.to}"

    def provides(self) -> tuple[str, ...]:
        """Return the folder, and what it says it brings."""
        return (self.to, self.creates) if self.creates else (self.to,)

    def uses(self) -> tuple[str, ...]:
        """Return the folder and the archive: what is managed there comes first."""
        return (self.to, self.path) if self.path else (self.to,)

    def build(self, around: Surroundings) -> Archive:
        """Return the archive (raises ValueError when a source is too large or not the one meant)."""
        content = around.files[self.staged] if self.source is not None else None
        digest = self.sha256 if content is None else hashlib.sha256(content).hexdigest()
        if self.sha256 not in {"", digest}:
            raise ValueError(f"SHA-256 of {self.source} is {digest}, not {self.sha256}")
        if content is not None and len(content) > _LARGEST:
            raise ValueError(f"{self.source} has {len(content)} bytes; use download for more than 16 MiB")
        return Archive(
            to=self.to,
            path=self.path or self.staged,
            sha256=digest,
            content=content,
            strip=self.strip,
            creates=self.creates or "",
            owner=self.owner,
            become=self.become,
            needs=around.needs,
        )


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive at a path on the node; `content` is put there first when it comes from the controller."""

    to: str
    path: str
    sha256: str
    content: bytes | None = None
    strip: int = 0
    creates: str = ""
    owner: str = ""
    become: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "archive"

    @property
    def address(self) -> str:
        """``archive.`` and the folder."""
        return f"archive.{self.to}"

    def probe(self) -> Probe:
        """Read which archive was unpacked into the folder, and whether what it brings is there."""
        script = (
            f"d={quote(self.to)}\n"
            f'if [ -d "$d" ]; then echo folder; if [ -e {quote(self.creates or "/")} ]; then echo there; '
            f'else echo missing; fi; if [ -f "$d/{_STAMP}" ]; then cat "$d/{_STAMP}"; fi\n'
            'elif [ -e "$d" ] || [ -L "$d" ]; then echo other\nelse echo absent; fi'
        )
        return Probe(ownership.as_root(script, become=self.become), self._parse)

    def desired(self) -> State:
        """The archive by digest, and that what it brings is there."""
        stamp = f"{self.sha256} strip {self.strip}" if self.strip else self.sha256
        return {"archive": stamp, **({"creates": "there"} if self.creates else {})}

    def change(self, actual: State | None) -> Change:
        """Compare; what is no folder is never removed."""
        change = compare(self.address, self.desired(), actual)
        if actual is not None and "type" in actual:
            return replace(change, blocked=f"{self.to} exists and is not a directory; move it away")
        return change

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Bring the archive where it comes from the controller; prove it, look through it, unpack it."""
        if change.action is Action.NOOP:
            return ()
        unpack = Run(self._unpack(), become=self.become, limit=_LIMIT)
        if self.content is None:
            return (unpack,)
        folder = Run(f"mkdir -p {quote(self.to)}", become=self.become)
        return folder, Put(self.path, self.content, "0600", self.become), unpack

    def _unpack(self) -> str:
        values: dict[str, str | int] = {
            "to": self.to,
            "from": self.path,
            "want": self.sha256,
            "strip": self.strip,
            "creates": self.creates,
            "owner": self.owner,
            "stamp": str(self.desired()["archive"]),
            "staged": "" if self.content is None else self.path,
        }
        settings = "\n".join(f"{name}={quote(value)}" for name, value in values.items())
        return f"{settings}\n{UNPACK}"

    def _parse(self, output: ProbeOutput) -> State | None:
        kind, *lines = output.stdout.splitlines() or [""]
        if output.exit == 0 and kind == "absent":
            return None
        if output.exit == 0 and kind == "other":
            return {"type": "other"}
        if output.exit != 0 or kind != "folder" or not lines or lines[0] not in {"there", "missing"}:
            raise ValueError(f"{self.to}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
        stamp = lines[1] if len(lines) == 2 and _STAMPED.match(lines[1]) else None
        state: dict[str, Value] = {"archive": stamp}
        return {**state, **({"creates": lines[0]} if self.creates else {})}
