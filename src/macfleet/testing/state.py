"""Journal and evidence held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import JsonObject
from macfleet.model.stage import StageName, StageRecord


@dataclass(slots=True)
class FakeEvidences:
    """An `Evidences` that keeps every record in `records`, oldest first."""

    records: list[StageRecord] = field(default_factory=list)

    def latest(self, node: str, stage: StageName) -> StageRecord | None:
        """The newest record of the stage on the node."""
        found = [record for record in self.records if (record.node, record.stage) == (node, stage)]
        return found[-1] if found else None

    def record(self, record: StageRecord) -> None:
        """Keep a record."""
        self.records.append(record)


@dataclass(slots=True)
class FakeJournal:
    """A `Journal` in memory.

    Attributes:
        runs: nodes by run id, in the order the runs began.
        notes: (run, node, kind, detail) as noted.
        settled: outcome by (run, node); the last one counts.
        ended: outcome by run id.
    """

    runs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: list[tuple[str, str, str, JsonObject]] = field(default_factory=list)
    settled: dict[tuple[str, str], str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)

    def begin(self, run_id: str, command: str, nodes: Sequence[str], detail: JsonObject) -> None:
        """Note that a run started; a resumed run keeps its first nodes."""
        self.runs.setdefault(run_id, tuple(nodes))
        self.notes.append((run_id, "", command, detail))

    def note(self, run_id: str, node: str, kind: str, detail: JsonObject) -> None:
        """Note one thing that happened to a node."""
        self.notes.append((run_id, node, kind, detail))

    def note_all(self, run_id: str, node: str, notes: Sequence[tuple[str, JsonObject]]) -> None:
        """Note kinds and details in their order."""
        self.notes += [(run_id, node, kind, detail) for kind, detail in notes]

    def settle(self, run_id: str, node: str, outcome: str) -> None:
        """Note how the run ended for a node."""
        self.settled[run_id, node] = outcome

    def end(self, run_id: str, outcome: str) -> None:
        """Note how the run ended."""
        self.ended[run_id] = outcome

    def unsettled(self, run_id: str) -> tuple[str, ...]:
        """Nodes of the run that are not ``ok`` (raises MacfleetError E0956 for an unknown run)."""
        if run_id not in self.runs:
            raise MacfleetError(Diagnostic("E0956", f"the journal knows no run {run_id}"))
        return tuple(node for node in self.runs[run_id] if self.settled.get((run_id, node)) != "ok")

    def last(self) -> str:
        """Id of the newest run, empty when there is none."""
        return next(reversed(self.runs), "")
