"""A repository of formulae besides Homebrew's own, at the commit that was reviewed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, field_validator

from macfleet.model.resource import (
    Action,
    Change,
    Probe,
    ProbeOutput,
    Run,
    State,
    Step,
    Value,
    compare,
    removal,
)
from macfleet.model.shell import quote
from macfleet.resources.homebrew import BREW, PREFIX, QUIET
from macfleet.resources.params import Params, Presence, Surroundings

_NAME = re.compile(r"^[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9_-]*\Z")
_COMMIT = re.compile(r"^[0-9a-f]{40}\Z")
_URL = re.compile(r"^(?:https://|ssh://|[a-z][a-z0-9_-]*@)[^\s'\"\\]+\Z|^/[^\s'\"\\]+\Z")
_LOGIN = re.compile(r"(?:(?<=http://)|(?<=https://))[^/@\s]*@")  # ssh's user is no secret
_LIMIT = 600.0


class HomebrewTapParams(Params):
    """A tap of Homebrew, perhaps held at one commit.

    Without a commit it stands wherever Homebrew left it. `brew update` by hand moves a tap on; the next
    run puts one with a commit back.
    """

    kind: ClassVar[str] = "homebrew_tap"

    name: str = Field(description="Name such as team/tools, in lowercase.")
    url: str = Field("", description="Repository to clone, when it is not where Homebrew looks by itself.")
    commit: str = Field("", description="Commit it must stand at, 40 hexadecimal digits.")
    state: Presence = Field("present", description="absent removes the tap.")

    @field_validator("name")
    @classmethod
    def _tap(cls, value: str) -> str:
        if not _NAME.match(value) or value.partition("/")[2].startswith("homebrew-"):
            raise ValueError(f"{value!r} is not a tap: user/name in lowercase, without homebrew-")
        return value

    @field_validator("url")
    @classmethod
    def _repository(cls, value: str) -> str:
        if value and not _URL.match(value):
            raise ValueError("a repository is https://…, ssh://…, user@host:path or an absolute path")
        if _LOGIN.search(value):
            raise ValueError("a URL must not hold a login; secrets never stand in a file of the fleet")
        return value

    @field_validator("commit")
    @classmethod
    def _whole(cls, value: str) -> str:
        if value and not _COMMIT.match(value):
            raise ValueError(f"{value!r} is not a whole commit id of 40 hexadecimal digits")
        return value

    def address(self, task: str) -> str:  # noqa: ARG002  (the tap names it)
        """Return ``homebrew_tap.`` and the tap."""
        return f"homebrew_tap.{self.name}"

    def provides(self) -> tuple[str, ...]:
        """Return a token for the tap; formulae that come from it need it."""
        return (f"tap:{self.name}",) if self.state == "present" else ()

    def build(self, around: Surroundings) -> HomebrewTap:
        """Return the tap."""
        return HomebrewTap(self.name, self.url, self.commit, self.state == "absent", around.needs)


@dataclass(frozen=True, slots=True)
class HomebrewTap:
    """A tap; `url` and `commit` empty mean any."""

    name: str
    url: str = ""
    commit: str = ""
    absent: bool = False
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "homebrew_tap"

    @property
    def address(self) -> str:
        """``homebrew_tap.`` and the tap."""
        return f"homebrew_tap.{self.name}"

    def probe(self) -> Probe:
        """Read commit and origin of the clone; brew itself takes a second."""
        script = (
            f"if [ ! -x {BREW} ]; then echo no-homebrew\n"
            f"elif [ -d {self._folder}/.git ]; then printf 'tapped '; git -C {self._folder} rev-parse HEAD"
            f" && git -C {self._folder} config --get remote.origin.url\n"
            "else echo absent; fi"
        )
        return Probe(script, self._parse)

    def desired(self) -> State:
        """Tapped, and origin and commit where they are wanted."""
        if self.absent:
            return {}
        wanted: dict[str, Value] = {"tapped": True}
        wanted |= {"url": self.url} if self.url else {}
        return wanted | ({"commit": self.commit} if self.commit else {})

    def change(self, actual: State | None) -> Change:
        """Compare; without Homebrew there is nothing macfleet can do."""
        bare = actual is not None and not actual["tapped"]
        if self.absent:
            return removal(self.address, None if bare else actual)
        if bare:
            change = compare(self.address, self.desired(), None)
            return replace(change, blocked=f"{BREW} is missing; install Homebrew first")
        return compare(self.address, self.desired(), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Tap it, turn it to another origin, and move it to its commit."""
        if change.action is Action.NOOP:
            return ()
        if self.absent:
            return (Run(f"{QUIET} {BREW} untap {quote(self.name)} </dev/null", limit=_LIMIT),)
        commands = ["set -e"]
        tap = f"{QUIET} {BREW} tap"
        if change.action is Action.CREATE:
            commands.append(f"{tap} {quote(self.name)} {quote(self.url) if self.url else ''} </dev/null")
        elif any(each.field == "url" for each in change.fields):
            commands.append(f"{tap} --custom-remote {quote(self.name)} {quote(self.url)} </dev/null")
        if self.commit:
            git = f"git -C {self._folder}"
            known = f"{git} cat-file -e {self.commit}'^{{commit}}' 2>/dev/null"
            commands.append(f"{known} || {git} fetch --quiet origin {self.commit} </dev/null")
            commands.append(f"{git} checkout --quiet --detach {self.commit}")
        return (Run("\n".join(commands), limit=_LIMIT),)

    @property
    def _folder(self) -> str:
        user, _, name = self.name.partition("/")
        return f"{PREFIX}/Library/Taps/{user}/homebrew-{name}"

    def _parse(self, output: ProbeOutput) -> State | None:
        word, _, rest = output.stdout.strip().partition(" ")
        if output.exit == 0 and word == "absent":
            return None
        if output.exit == 0 and word == "no-homebrew":
            return {"tapped": False}
        commit, _, url = rest.partition("\n")
        if output.exit == 0 and word == "tapped" and _COMMIT.match(commit) and url:
            # a login that somebody put into the clone's origin is not carried into a plan
            return {"tapped": True, "commit": commit, "url": _LOGIN.sub("***@", url.strip())}
        raise ValueError(f"{self.name}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
