"""A launchd service: a daemon that runs all the time, or a job that launchd starts at its times."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.model.resource import Action, Change, Probe, ProbeOutput, Run, State, Step, compare, removal
from macfleet.resources.daemon import Daemon


@dataclass(frozen=True, slots=True)
class LaunchdService:
    """A service of the system domain.

    Attributes:
        kind: ``launchd_service``, or ``launchd_timer`` for a job with times.
        absent: whether it must not be there.
    """

    daemon: Daemon
    kind: str = "launchd_service"
    absent: bool = False
    needs: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """The kind and the label."""
        return f"{self.kind}.{self.daemon.label}"

    def probe(self) -> Probe:
        """Read the plist's digest, mode and owner, and what launchd has loaded under the label."""
        return Probe(self.daemon.probe(), self._parse)

    def desired(self) -> State:
        """The plist, the configuration launchd has loaded, and whether the daemon runs."""
        return {} if self.absent else self.daemon.desired()

    def change(self, actual: State | None) -> Change:
        """Compare; a difference of what is loaded or running is a restart, said in words."""
        if self.absent:
            return removal(self.address, actual)
        return self.daemon.explain(compare(self.address, self.desired(), actual), actual)

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Write the plist where it differs; unload, load and start where launchd differs."""
        if change.action is Action.DELETE:
            return (Run(self.daemon.removal(), become=True),)
        return self.daemon.steps({each.field for each in change.fields})

    def _parse(self, output: ProbeOutput) -> State | None:
        if output.exit != 0:
            raise ValueError(f"{self.daemon.label}: {output.stderr.strip() or 'no answer'}")
        return self.daemon.parse(output.stdout)
