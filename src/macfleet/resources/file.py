"""A regular file with content, mode and owner."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, model_validator

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Put, Run, State, Step
from macfleet.model.shell import quote
from macfleet.resources import ownership, regular
from macfleet.resources.params import AbsolutePath, Mode, Owner, Params, Presence, Surroundings
from macfleet.resources.secret_content import MARK, SecretContent

_CONTENTS = ("content", "template", "source", "content_secret")


class FileParams(Params):
    """A file on the node; exactly one of content, template, source and content_secret says what is in it.

    What a secret reference leads to is compared on the controller alone: plan, journal and evidence hold
    neither the secret nor a digest of it. Its mode is 0600 unless given, and never readable by everybody.
    With content besides, the secret stands where the text has three asterisks.
    """

    kind: ClassVar[str] = "file"

    path: AbsolutePath = Field(description="Absolute path on the node.")
    content: str | None = Field(None, description="The text itself.")
    template: str | None = Field(None, description="A template of the role's templates/ folder, rendered.")
    source: str | None = Field(None, description="A file of the role's files/ folder, byte for byte.")
    content_secret: str | None = Field(None, description="A secret reference, such as env:TOKEN.")
    mode: Mode = Field("0644", description="Octal mode in quotes.")
    owner: Owner = Field("", description="user or user:group; empty leaves it alone.")
    become: bool = Field(False, description="Act as root through sudo -n.")
    state: Presence = Field("present", description="absent removes the file, whatever is in it.")

    @model_validator(mode="before")
    @classmethod
    def _private(cls, value: object) -> object:
        if isinstance(value, Mapping) and value.get("content_secret") is not None:
            return {"mode": "0600", **value}
        return value

    @model_validator(mode="after")
    def _one_content(self) -> FileParams:
        given = [name for name in _CONTENTS if getattr(self, name) is not None]
        if given == ["content", "content_secret"]:
            if MARK not in str(self.content):
                raise ValueError(f"content must say {MARK} where the secret stands")
            given = ["content_secret"]
        if len(given) != 1 and (given or self.state == "present"):
            found = " and ".join(given) or "none of them"
            raise ValueError(f"give exactly one of {', '.join(_CONTENTS)}; found {found}")
        if self.content_secret is not None and int(self.mode, 8) & 0o007:
            raise ValueError(f"mode {self.mode} would show the secret to everybody on the node")
        return self

    def address(self, task: str) -> str:  # noqa: ARG002  (the path names it)
        """Return ``file.`` and the path."""
        return f"file.{self.path}"

    def provides(self) -> tuple[str, ...]:
        """Return the file's path."""
        return (self.path,) if self.state == "present" else ()

    def uses(self) -> tuple[str, ...]:
        """Return the path: a managed directory above it comes first."""
        return (self.path,)

    def decides(self) -> str:
        """Return the path."""
        return self.path

    def build(self, around: Surroundings) -> File:
        """Return the file; the surroundings hold its bytes by path."""
        absent = self.state == "absent"
        content: bytes | SecretContent = b"" if absent else around.files[self.path]
        if self.content_secret is not None and not absent:
            content = SecretContent(self.content_secret, around.secret, self.content or MARK)
        return File(self.path, content, self.mode, self.owner, self.become, around.needs, absent)


@dataclass(frozen=True, slots=True)
class File:
    """A file; `owner` empty means any."""

    path: str
    content: bytes | SecretContent
    mode: str = "0644"
    owner: str = ""
    become: bool = False
    needs: tuple[str, ...] = ()
    absent: bool = False
    kind: ClassVar[str] = "file"

    @property
    def address(self) -> str:
        """``file.`` and the path."""
        return f"file.{self.path}"

    def probe(self) -> Probe:
        """Read type, mode, owner and SHA-256; a symbolic link is a link, whatever it leads to.

        Raises:
            MacfleetError: its secret cannot be read; said here, no node is asked in vain.
        """
        secret = hashlib.sha256(self._bytes()).hexdigest() if self._is_secret else ""
        script = regular.script(self.path, become=self.become)
        shared = "" if self.become else self.path
        return Probe(script, lambda output: self._parse(secret, output), file=shared)

    def desired(self) -> State:
        """Type, digest and mode, and the owner when one is wanted; of a secret only that it is the one."""
        if self.absent:
            return {}
        owner = {"owner": self.owner} if self.owner else {}
        if self._is_secret:
            return {"type": "file", "secret": "current", "mode": self.mode, **owner}
        digest = hashlib.sha256(self._bytes()).hexdigest()
        return {"type": "file", "sha256": digest, "mode": self.mode, **owner}

    def change(self, actual: State | None) -> Change:
        """Compare; a link is replaced, a directory or device is never removed."""
        if self.absent:
            return regular.gone(self.address, self.path, actual)
        return regular.change(self.address, self.path, self.desired(), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Write the file whole when its content differs, otherwise set mode and owner."""
        fields = {f.field for f in change.fields}
        if change.action is Action.NOOP:
            return ()
        if change.action is Action.DELETE:
            return (Run(f"rm -f {quote(self.path)}", become=self.become),)
        if fields & {"sha256", "secret"}:
            return (Put(self.path, self._bytes(), self.mode, self.become, self.owner),)
        commands = ownership.mend(self.path, fields, self.mode, self.owner)
        return (Run("\n".join(["set -e", *commands]), become=self.become),)

    @property
    def _is_secret(self) -> bool:
        return isinstance(self.content, SecretContent)

    def _bytes(self) -> bytes:
        return self.content.reveal() if isinstance(self.content, SecretContent) else self.content

    def _parse(self, secret: str, output: ProbeOutput) -> State | None:
        """Return what was found; a digest is only told when it is not compared with a `secret` one."""
        found = regular.parse(self.path, output, self.owner)
        if found is None or not secret or "sha256" not in found:
            return found
        told = {name: value for name, value in found.items() if name != "sha256"}
        return {**told, "secret": "current" if found["sha256"] == secret else "other"}
