"""A directory with its mode and owner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step, compare
from macfleet.model.shell import quote
from macfleet.resources import ownership
from macfleet.resources.params import AbsolutePath, Mode, Owner, Params, Surroundings


class DirectoryParams(Params):
    """A directory on the node; parents are made as needed."""

    kind: ClassVar[str] = "directory"

    path: AbsolutePath = Field(description="Absolute path on the node.")
    mode: Mode = Field("0755", description="Octal mode in quotes.")
    owner: Owner = Field("", description="user or user:group; empty leaves it alone.")
    become: bool = Field(False, description="Act as root through sudo -n.")

    def address(self, task: str) -> str:  # noqa: ARG002  (the path names it)
        """Return ``directory.`` and the path."""
        return f"directory.{self.path}"

    def provides(self) -> tuple[str, ...]:
        """Return the directory's path."""
        return (self.path,)

    def uses(self) -> tuple[str, ...]:
        """Return the path: a managed directory above it comes first."""
        return (self.path,)

    def build(self, around: Surroundings) -> Directory:
        """Return the directory."""
        return Directory(self.path, self.mode, self.owner, self.become, around.needs)


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory; `owner` empty means any."""

    path: str
    mode: str = "0755"
    owner: str = ""
    become: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "directory"

    @property
    def address(self) -> str:
        """``directory.`` and the path."""
        return f"directory.{self.path}"

    def probe(self) -> Probe:
        """Read type, mode and owner; a symbolic link counts as what it leads to."""
        script = (
            f"p={quote(self.path)}\n"
            f'if [ -d "$p" ]; then printf \'directory \'; stat -L -f {quote(ownership.FORMAT)} "$p"\n'
            'elif [ -e "$p" ] || [ -L "$p" ]; then echo other\nelse echo absent; fi'
        )
        return Probe(ownership.as_root(script, become=self.become), self._parse)

    def desired(self) -> State:
        """Type and mode, and the owner when one is wanted."""
        owner = {"owner": self.owner} if self.owner else {}
        return {"type": "directory", "mode": self.mode, **owner}

    def change(self, actual: State | None) -> Change:
        """Compare; something else at the path is never removed."""
        change = compare(self.address, self.desired(), actual)
        if actual is not None and actual["type"] != "directory":
            return replace(change, blocked=f"{self.path} exists and is not a directory; move it away")
        return change

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Make the directory, or set what differs."""
        if change.action is Action.NOOP:
            return ()
        commands = ["set -e"]
        if change.action is Action.CREATE:
            commands.append(f"mkdir -p {quote(self.path)}")
        commands += ownership.mend(self.path, {f.field for f in change.fields}, self.mode, self.owner)
        return (Run("\n".join(commands), become=self.become),)

    def _parse(self, output: ProbeOutput) -> State | None:
        kind, _, rest = output.stdout.strip().partition(" ")
        if output.exit == 0 and kind == "absent":
            return None
        if output.exit == 0 and kind == "other":
            return {"type": "other"}
        if output.exit == 0 and kind == "directory":
            return {"type": "directory", **ownership.parse(rest, self.owner)}
        raise ValueError(f"{self.path}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
