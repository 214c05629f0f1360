"""A symbolic link."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step, compare, removal
from macfleet.model.shell import quote
from macfleet.resources import ownership
from macfleet.resources.params import AbsolutePath, Params, Presence, Surroundings


class LinkParams(Params):
    """A symbolic link; what it leads to need not exist."""

    kind: ClassVar[str] = "link"

    path: AbsolutePath = Field(description="Absolute path of the link on the node.")
    target: str = Field(
        "",
        description="What it leads to; a relative target starts at the link's folder. Needed unless absent.",
    )
    become: bool = Field(False, description="Act as root through sudo -n.")
    state: Presence = Field("present", description="absent removes the link, never what it leads to.")

    @field_validator("target")
    @classmethod
    def _one_line(cls, value: str) -> str:
        if any(character in value for character in "\0\n\r"):
            raise ValueError("a target must not hold a line break or a NUL byte")
        if value.startswith("~"):
            raise ValueError(f"nothing expands {value!r}: write the absolute path, or ./~ for a name with ~")
        return value

    @model_validator(mode="after")
    def _leads_somewhere(self) -> LinkParams:
        if self.state == "present" and not self.target:
            raise ValueError("target: is missing; say what the link leads to")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the path names it)
        """Return ``link.`` and the path."""
        return f"link.{self.path}"

    def provides(self) -> tuple[str, ...]:
        """Return the link's path."""
        return (self.path,) if self.state == "present" else ()

    def uses(self) -> tuple[str, ...]:
        """Return the path and the target: what is managed there comes first."""
        target = posixpath.join(posixpath.dirname(self.path), self.target)
        return (self.path, posixpath.normpath(target)) if self.state == "present" else (self.path,)

    def decides(self) -> str:
        """Return the path."""
        return self.path

    def build(self, around: Surroundings) -> Link:
        """Return the link."""
        return Link(self.path, self.target, self.become, self.state == "absent", around.needs)


@dataclass(frozen=True, slots=True)
class Link:
    """A link by path and target, as text; nothing is resolved."""

    path: str
    target: str
    become: bool = False
    absent: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "link"

    @property
    def address(self) -> str:
        """``link.`` and the path."""
        return f"link.{self.path}"

    def probe(self) -> Probe:
        """Read what the link leads to, or that something else stands there."""
        script = (
            f"p={quote(self.path)}\n"
            'if [ -L "$p" ]; then printf \'link \'; readlink "$p"\n'
            'elif [ -e "$p" ]; then echo other\nelse echo absent; fi'
        )
        return Probe(ownership.as_root(script, become=self.become), self._parse, plain=not self.become)

    def desired(self) -> State:
        """A link to the target."""
        return {} if self.absent else {"type": "link", "target": self.target}

    def change(self, actual: State | None) -> Change:
        """Compare; what is no link is never removed."""
        change = removal(self.address, actual)
        if not self.absent:
            change = compare(self.address, self.desired(), actual)
        if actual is not None and actual["type"] != "link":
            return replace(change, blocked=f"{self.path} exists and is not a symbolic link; move it away")
        return change

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Set the link in place of the old one, or remove it."""
        if change.action is Action.NOOP:
            return ()
        # -n: an old link to a folder is replaced, the new one not put into that folder
        command = "rm -f" if self.absent else f"ln -sfn -- {quote(self.target)}"
        return (Run(f"{command} {quote(self.path)}", become=self.become),)

    def _parse(self, output: ProbeOutput) -> State | None:
        kind, _, target = output.stdout.removesuffix("\n").partition(" ")
        if output.exit == 0 and kind == "absent":
            return None
        if output.exit == 0 and kind == "other":
            return {"type": "other", "target": None}
        if output.exit == 0 and kind == "link" and target:
            return {"type": "link", "target": target}
        raise ValueError(f"{self.path}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
