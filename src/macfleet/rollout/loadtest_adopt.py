"""Nodes that a run measured to the end before it broke off: never sealed itself, another takes them over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from macfleet.model.json import Json, JsonObject
from macfleet.model.ports import RunWriter
from macfleet.model.stage import StageName, StageRecord
from macfleet.rollout.ports import Ports

FACTS, SUMMARY = "facts.json", "summary.json"


@dataclass(frozen=True, slots=True)
class Adopted:
    """A measured node of a run that broke off.

    Attributes:
        record: what is known of its stage; it names the run.
        facts: as its ``facts.json`` holds them; cells: summaries of its cells.
    """

    record: StageRecord
    facts: JsonObject
    cells: tuple[Json, ...]

    @property
    def node(self) -> str:
        """Its name."""
        return self.record.node


def measured_before(
    stage: StageName, names: Iterable[str], resumes: str, ports: Ports
) -> tuple[Adopted, ...]:
    """Return which of the nodes only runs hold that `resumes` leads to and that were never sealed."""
    if stage is not StageName.LOADTEST or not resumes:
        return ()
    from macfleet.rollout.loadtest_left import MEASURED  # noqa: PLC0415  (brings all that measures)

    sealed = set(ports.runs.ids())
    found = []
    for name in names:
        record = ports.evidences.latest(name, stage)
        if record is None or record.run in sealed:
            continue
        files = ports.runs.left(resumes, f"nodes/{name}").get(record.run, {})
        if {MEASURED, FACTS, SUMMARY} <= set(files):
            cells = json.loads(files[SUMMARY])["cells"]
            found.append(Adopted(record, json.loads(files[FACTS]), tuple(cells)))
    return tuple(found)


def adopt(adopted: Sequence[Adopted], writer: RunWriter) -> None:
    """Bring what the nodes left into this run's folder."""
    for each in adopted:
        writer.adopt(each.record.run, f"nodes/{each.node}")


def record_anew(adopted: Sequence[Adopted], run: str, ports: Ports) -> None:
    """Let the evidence name the run that holds it, once that is sealed."""
    for each in adopted:
        ports.evidences.record(replace(each.record, run=run))


def result_row(each: Adopted) -> Mapping[str, Json]:
    """Return how the node stands in ``results.json``."""
    return {
        "node": each.node,
        "outcome": "current",
        "changed": [],
        "notes": [f"measured by run {each.record.run}, which broke off afterwards"],
        "problems": [],
    }
