"""A guarded command: it runs only while its guard says that it is still needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field, field_validator, model_validator

from macfleet.documents import Seconds
from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step
from macfleet.model.shell import quote, words
from macfleet.resources import ownership
from macfleet.resources.params import AbsolutePath, Params, Surroundings


class CommandParams(Params):
    """A command with a guard; a command without one can never be in its desired state."""

    kind: ClassVar[str] = "command"
    shell: ClassVar[frozenset[str]] = frozenset({"run", "unless"})

    run: str | tuple[str, ...] = Field(description="Shell text, or a list of words that are quoted.")
    unless: str = Field("", description="Read-only shell text; exit 0 means nothing is to be done.")
    creates: AbsolutePath | None = Field(None, description="Path that the command makes.")
    id: str = Field("", description="Name in the plan; the task's name unless given.")
    become: bool = Field(False, description="Act as root through sudo -n.")
    limit: Seconds = Field(
        30.0, description="Time the command may take, such as 10m; over 30s it runs detached."
    )

    @field_validator("run", "unless")
    @classmethod
    def _no_nul(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if any("\0" in text for text in ((value,) if isinstance(value, str) else value)):
            raise ValueError("shell text cannot hold a NUL byte")
        return value

    @model_validator(mode="after")
    def _guarded(self) -> CommandParams:
        if not self.unless.strip() and self.creates is None:
            raise ValueError("a command needs a guard: give unless: or creates:, or it would run every time")
        if not self.run:
            raise ValueError("run: is empty")
        return self

    def address(self, task: str) -> str:
        """Return ``command.`` and the id or the task's name."""
        return f"command.{self.id or task}"

    def provides(self) -> tuple[str, ...]:
        """Return the path the command makes."""
        return (self.creates,) if self.creates else ()

    def uses(self) -> tuple[str, ...]:
        """Return the path the command makes: a managed directory above it comes first."""
        return (self.creates,) if self.creates else ()

    def build(self, around: Surroundings) -> Command:
        """Return the command."""
        script = self.run if isinstance(self.run, str) else words(self.run)
        creates = self.creates or ""
        name = self.id or around.task
        return Command(name, script, self.unless, creates, self.become, self.limit, around.needs)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is settled when `creates` exists and `unless` succeeds, as far as they are given."""

    name: str
    script: str
    unless: str = ""
    creates: str = ""
    become: bool = False
    limit: float = 30.0
    needs: tuple[str, ...] = ()
    kind: ClassVar[str] = "command"

    @property
    def address(self) -> str:
        """``command.`` and the name."""
        return f"command.{self.name}"

    def probe(self) -> Probe:
        """Ask the guards."""
        guards = [f"[ -e {quote(self.creates)} ]"] if self.creates else []
        if self.unless:
            guards.append(f"(\n{self.unless}\n) >/dev/null 2>&1")
        script = f"if {' && '.join(guards)}; then echo settled; else echo needed; fi"
        return Probe(ownership.as_root(script, become=self.become), self._parse)

    def desired(self) -> State:
        """The guard holds."""
        return {"settled": True}

    def change(self, actual: State | None) -> Change:
        """Run it unless the guard holds."""
        if actual is not None:
            return Change(self.address, Action.NOOP)
        guard = (
            f"{self.creates} is missing" if self.creates and not self.unless else "its guard does not hold"
        )
        return Change(self.address, Action.CREATE, reason=f"{guard} → run")

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Run the script."""
        if change.action is Action.NOOP:
            return ()
        return (Run(self.script, become=self.become, limit=self.limit),)

    def _parse(self, output: ProbeOutput) -> State | None:
        answer = output.stdout.strip()
        if output.exit == 0 and answer in {"settled", "needed"}:
            return {"settled": True} if answer == "settled" else None
        raise ValueError(f"the guard of {self.name} did not answer: {output.stderr.strip() or answer}")
