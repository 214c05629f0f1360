"""A directory with its mode and owner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, model_validator

from macfleet.model.resource import (
    Action,
    Change,
    Probe,
    ProbeOutput,
    Run,
    State,
    Step,
    compare,
    removal,
)
from macfleet.model.shell import quote
from macfleet.resources import ownership
from macfleet.resources.params import AbsolutePath, Mode, Owner, Params, Presence, Surroundings

_LEAST_DEPTH = 3  # /Users/ops and /opt/homebrew are never removed whole


class DirectoryParams(Params):
    """A directory on the node; parents are made as needed."""

    kind: ClassVar[str] = "directory"

    path: AbsolutePath = Field(description="Absolute path on the node.")
    mode: Mode = Field("0755", description="Octal mode in quotes.")
    owner: Owner = Field("", description="user or user:group; empty leaves it alone.")
    become: bool = Field(False, description="Act as root through sudo -n.")
    state: Presence = Field("present", description="absent removes it, as long as it is empty.")
    contents: bool = Field(False, description="With state: absent, remove what is in it too.")

    @model_validator(mode="after")
    def _deep_enough(self) -> DirectoryParams:
        if self.contents and self.state == "present":
            raise ValueError("contents: says what goes with state: absent; there is none here")
        if self.contents and self.path.count("/") < _LEAST_DEPTH:
            raise ValueError(f"{self.path} with all that is in it is too much to remove by playbook")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the path names it)
        """Return ``directory.`` and the path."""
        return f"directory.{self.path}"

    def provides(self) -> tuple[str, ...]:
        """Return the directory's path."""
        return (self.path,) if self.state == "present" else ()

    def uses(self) -> tuple[str, ...]:
        """Return the path: a managed directory above it comes first."""
        return (self.path,)

    def decides(self) -> str:
        """Return the path."""
        return self.path

    def build(self, around: Surroundings) -> Directory | AbsentDirectory:
        """Return the directory."""
        if self.state == "absent":
            return AbsentDirectory(self.path, self.contents, self.become, around.needs)
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
        return Probe(ownership.as_root(script, become=self.become), self._parse, plain=not self.become)

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


@dataclass(frozen=True, slots=True)
class AbsentDirectory:
    """A directory that must not be there; unless `contents` only an empty one is removed."""

    path: str
    contents: bool = False
    become: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "directory"

    @property
    def address(self) -> str:
        """``directory.`` and the path."""
        return f"directory.{self.path}"

    def probe(self) -> Probe:
        """Count what is in it; a symbolic link is no directory here, what it leads to is not ours."""
        script = (
            f"p={quote(self.path)}\n"
            'if [ -d "$p" ] && [ ! -L "$p" ]; then\n'
            'held=$(ls -A "$p") && printf %s "$held" | grep -c "" || [ -z "$held" ]\n'
            'elif [ -e "$p" ] || [ -L "$p" ]; then echo other\nelse echo absent; fi'
        )
        return Probe(ownership.as_root(script, become=self.become), self._parse)

    def desired(self) -> State:
        """Nothing."""
        return {}

    def change(self, actual: State | None) -> Change:
        """Remove it, unless something else stands there or it holds what nobody said may go."""
        change = removal(self.address, actual)
        if actual is None:
            return change
        if actual["type"] != "directory":
            return replace(change, blocked=f"{self.path} exists and is not a directory; move it away")
        if actual["entries"] and not self.contents:
            words = f"{self.path} is not empty; say contents: true to remove what is in it too"
            return replace(change, blocked=words)
        return change

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Remove it."""
        if change.action is Action.NOOP:
            return ()
        command = "rm -rf" if self.contents else "rmdir"
        return (Run(f"{command} {quote(self.path)}", become=self.become, limit=300.0),)

    def _parse(self, output: ProbeOutput) -> State | None:
        answer = output.stdout.strip()
        if output.exit == 0 and answer == "absent":
            return None
        if output.exit == 0 and answer == "other":
            return {"type": "other"}
        if output.exit == 0 and answer.isdecimal():
            return {"type": "directory", "entries": int(answer)}
        raise ValueError(f"{self.path}: {output.stderr.strip() or answer or 'no answer'}")
