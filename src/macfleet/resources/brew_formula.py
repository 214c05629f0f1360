"""A Homebrew formula that is installed and linked into ``/opt/homebrew/opt``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

from pydantic import Field, field_validator

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step, compare, removal
from macfleet.model.shell import quote
from macfleet.resources.homebrew import BREW, QUIET
from macfleet.resources.params import Params, Presence, Surroundings

_NAME = re.compile(r"^(?:[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9+._@-]*\Z")
_REVISION = re.compile(r"_[0-9]+$")  # a bottle rebuilt by Homebrew keeps its version
_INSTALL_LIMIT = 1800.0


class BrewFormulaParams(Params):
    """A Homebrew formula."""

    kind: ClassVar[str] = "brew_formula"

    name: str = Field(description="Formula, such as colima or python@3.13; a tap's as user/tap/formula.")
    version: str = Field(
        "", description="Version that must be linked; another is refused, Homebrew installs only the newest."
    )
    state: Presence = Field(
        "present", description="absent uninstalls it, which Homebrew refuses while another formula needs it."
    )

    @field_validator("name")
    @classmethod
    def _formula(cls, value: str) -> str:
        if not _NAME.match(value):
            raise ValueError(f"{value!r} is not the name of a formula")
        return value

    def address(self, task: str) -> str:  # noqa: ARG002  (the formula names it)
        """Return ``brew_formula.`` and the formula."""
        return f"brew_formula.{self.name}"

    def provides(self) -> tuple[str, ...]:
        """Return a token for the formula."""
        return (f"brew:{self.name.rpartition('/')[2]}",) if self.state == "present" else ()

    def uses(self) -> tuple[str, ...]:
        """Return the tap it comes from."""
        tap = self.name.rpartition("/")[0]
        return (f"tap:{tap}",) if tap and self.state == "present" else ()

    def build(self, around: Surroundings) -> BrewFormula:
        """Return the formula."""
        return BrewFormula(self.name, self.version, around.needs, absent=self.state == "absent")


@dataclass(frozen=True, slots=True)
class BrewFormula:
    """A formula; `version` empty means any."""

    name: str
    version: str = ""
    needs: tuple[str, ...] = ()
    absent: bool = False
    kind: ClassVar[str] = "brew_formula"

    @property
    def address(self) -> str:
        """``brew_formula.`` and the formula."""
        return f"brew_formula.{self.name}"

    def probe(self) -> Probe:
        """Read the link that Homebrew keeps for each installed formula; brew itself takes a second."""
        link = quote(f"/opt/homebrew/opt/{self.name.rpartition('/')[2]}")
        script = (
            f"if [ ! -x {BREW} ]; then echo no-homebrew\n"
            f"elif [ -d {link}/ ]; then printf 'linked '; readlink {link}\n"
            "else echo absent; fi"
        )
        return Probe(script, self._parse)

    def desired(self) -> State:
        """Installed, and the version when one is wanted."""
        if self.absent:
            return {}
        return {"installed": True, **({"version": self.version} if self.version else {})}

    def change(self, actual: State | None) -> Change:
        """Compare; without Homebrew, or with another version, there is nothing macfleet can do."""
        if self.absent:
            return removal(self.address, actual if actual is not None and actual["installed"] else None)
        change = compare(self.address, self.desired(), actual)
        if actual is None or change.action is Action.NOOP:
            return change
        if not actual["installed"]:
            return replace(change, action=Action.CREATE, blocked=f"{BREW} is missing; install Homebrew first")
        found = actual.get("version")
        words = f"version {found} is installed and Homebrew offers only its newest; brew upgrade {self.name}"
        return replace(change, blocked=words)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Install or uninstall the formula without questions, updates or hints."""
        if change.action is Action.NOOP:
            return ()
        # --force: every version that is there, but nothing that another formula needs
        verb = "uninstall --force" if self.absent else "install"
        return (Run(f"{QUIET} {BREW} {verb} --formula {quote(self.name)}", limit=_INSTALL_LIMIT),)

    def _parse(self, output: ProbeOutput) -> State | None:
        word, _, target = output.stdout.strip().partition(" ")
        if output.exit == 0 and word == "absent":
            return None
        if output.exit == 0 and word == "no-homebrew":
            return {"installed": False}
        if output.exit == 0 and word == "linked" and "/Cellar/" in target:
            keg = target.rstrip("/").rpartition("/")[2]
            return {"installed": True, "version": _REVISION.sub("", keg)}
        raise ValueError(f"{self.name}: {output.stderr.strip() or output.stdout.strip() or 'no answer'}")
