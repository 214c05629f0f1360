"""A regular file with content, mode and owner."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, model_validator

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Put, Run, State, Step, compare
from macfleet.model.shell import quote
from macfleet.resources import ownership
from macfleet.resources.params import AbsolutePath, Mode, Owner, Params, Surroundings


class FileParams(Params):
    """A file on the node; exactly one of content, template and source says what is in it."""

    kind: ClassVar[str] = "file"

    path: AbsolutePath = Field(description="Absolute path on the node.")
    content: str | None = Field(None, description="The text itself.")
    template: str | None = Field(None, description="A template of the role's templates/ folder, rendered.")
    source: str | None = Field(None, description="A file of the role's files/ folder, byte for byte.")
    mode: Mode = Field("0644", description="Octal mode in quotes.")
    owner: Owner = Field("", description="user or user:group; empty leaves it alone.")
    become: bool = Field(False, description="Act as root through sudo -n.")

    @model_validator(mode="after")
    def _one_content(self) -> FileParams:
        given = [name for name in ("content", "template", "source") if getattr(self, name) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"give exactly one of content, template and source; found {found}")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the path names it)
        """Return ``file.`` and the path."""
        return f"file.{self.path}"

    def provides(self) -> tuple[str, ...]:
        """Return the file's path."""
        return (self.path,)

    def uses(self) -> tuple[str, ...]:
        """Return the path: a managed directory above it comes first."""
        return (self.path,)

    def build(self, around: Surroundings) -> File:
        """Return the file; the surroundings hold its bytes by path."""
        return File(self.path, around.files[self.path], self.mode, self.owner, self.become, around.needs)


@dataclass(frozen=True, slots=True)
class File:
    """A file; `owner` empty means any."""

    path: str
    content: bytes
    mode: str = "0644"
    owner: str = ""
    become: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "file"

    @property
    def address(self) -> str:
        """``file.`` and the path."""
        return f"file.{self.path}"

    def probe(self) -> Probe:
        """Read type, mode, owner and SHA-256; a symbolic link is a link, whatever it leads to."""
        script = (
            f"p={quote(self.path)}\n"
            'if [ -L "$p" ]; then echo other link\n'
            f'elif [ -f "$p" ]; then printf \'file \'; stat -f {quote(ownership.FORMAT)} "$p"'
            ' && shasum -a 256 < "$p"\n'
            'elif [ -d "$p" ]; then echo other directory\n'
            'elif [ -e "$p" ]; then echo other special\nelse echo absent; fi'
        )
        return Probe(ownership.as_root(script, become=self.become), self._parse)

    def desired(self) -> State:
        """Type, digest and mode, and the owner when one is wanted."""
        owner = {"owner": self.owner} if self.owner else {}
        digest = hashlib.sha256(self.content).hexdigest()
        return {"type": "file", "sha256": digest, "mode": self.mode, **owner}

    def change(self, actual: State | None) -> Change:
        """Compare; a link is replaced, a directory or device is never removed."""
        change = compare(self.address, self.desired(), actual)
        if actual is None or actual["type"] == "file":
            return change
        if actual["type"] == "link":
            return replace(change, action=Action.REPLACE, reason="a symbolic link stands there → a file")
        return replace(change, blocked=f"{self.path} is a {actual['type']}, not a file; move it away")

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Write the file whole when its content differs, otherwise set mode and owner."""
        fields = {f.field for f in change.fields}
        if change.action is Action.NOOP:
            return ()
        if "sha256" in fields:
            return (Put(self.path, self.content, self.mode, self.become, self.owner),)
        commands = ownership.mend(self.path, fields, self.mode, self.owner)
        return (Run("\n".join(["set -e", *commands]), become=self.become),)

    def _parse(self, output: ProbeOutput) -> State | None:
        lines = output.stdout.splitlines()
        kind, _, rest = (lines[0] if lines else "").partition(" ")
        if output.exit == 0 and kind == "absent":
            return None
        if output.exit == 0 and kind == "other" and rest in {"link", "directory", "special"}:
            return {"type": rest}
        if output.exit == 0 and kind == "file" and len(lines) == 2:
            return {"type": "file", "sha256": _sha256(lines[1]), **ownership.parse(rest, self.owner)}
        raise ValueError(f"{self.path}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")


def _sha256(line: str) -> str:
    digest = line.split(" ", 1)[0]
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"shasum printed {line!r}; expected a digest")
    return digest
