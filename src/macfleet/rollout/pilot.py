"""A short look at every arm and cell before the judged segments: it fixes how long they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from macfleet.analysis.validity import client_was_late
from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.model.load import LoadSpec, Sample, SegmentReport, Vantage
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.rollout.load_profile import LoadProfile
from macfleet.rollout.loadtest_left import PILOT
from macfleet.rollout.pilot_size import Pace, Size, Sizes, processes_for, size_cell
from macfleet.rollout.ports import Ports


@dataclass(frozen=True, slots=True)
class Pilot:
    """How the pilot of one node is run.

    Attributes:
        names: its arms in the order of a block.
        to: has an arm's engine run, and no other.
        spec: the first segment of an arm at a concurrency.
    """

    node: Node
    ports: Ports
    writer: RunWriter
    profile: LoadProfile
    names: tuple[str, ...]
    concurrencies: tuple[int, ...]
    to: Callable[[str], None]
    spec: Callable[[str, int], LoadSpec]

    def sizes(self) -> Sizes:
        """Measure, keep every record marked as the pilot's, and return what each cell is given.

        Ends with the arm that the segments begin with, which spares a change of engine.
        """
        looks = [
            self._look(arm, concurrency) for arm in reversed(self.names) for concurrency in self._turn_to(arm)
        ]
        late = [look.report.cpu_share for look in looks if look.late]
        processes = processes_for(late, self.node.client_processes)
        found = Sizes({c: self._size(c, looks) for c in self.concurrencies}, processes)
        document: dict[str, Json] = {
            "schema": 1,
            "judged": False,
            "seconds": self.profile.pilot,
            "client_processes": processes,
            "cells": [look.document() for look in looks],
            "sizes": [size.document() for size in found.of.values()],
        }
        self.writer.json(f"nodes/{self.node.name}/{PILOT}", document)
        for size in found.of.values():
            self.ports.events.emit(Event("loadtest.sized", self.node.name, size.document()))
        return found

    def _turn_to(self, arm: str) -> tuple[int, ...]:
        self.to(arm)
        return self.concurrencies

    def _size(self, concurrency: int, looks: Sequence[_Look]) -> Size:
        own = [look.pace for look in looks if look.pace.concurrency == concurrency]
        return size_cell(self.spec(self.names[0], concurrency).cell, own, self.profile)

    def _look(self, arm: str, concurrency: int) -> _Look:
        self.ports.go_on(self.node.name)
        spec = self.spec(arm, concurrency)
        # Its prompts are its own: those of the judged segments must not be in an engine's cache.
        spec = replace(spec, duration=self.profile.pilot, nonce_key=f"{spec.nonce_key} pilot")
        seconds = spec.warmup + spec.duration
        detail: dict[str, Json] = {"arm": arm, "cell": spec.cell, "seconds": seconds}
        self.ports.events.emit(Event("loadtest.pilot", self.node.name, detail))
        samples: list[Sample] = []
        with self.writer.lines(f"nodes/{self.node.name}/{arm}/pilot-{concurrency}.ndjson") as line:

            def keep(sample: Sample) -> None:
                samples.append(sample)
                line(sample.document())

            report = self.ports.load.measure(self.node, Vantage.NODE_LOOPBACK, spec, keep)
            line({"report": report.document(), "judged": False})
        return _Look(Pace.of(arm, concurrency, samples), report, late=client_was_late(report, samples))


@dataclass(frozen=True, slots=True)
class _Look:
    """What one arm's and cell's pilot showed."""

    pace: Pace
    report: SegmentReport
    late: bool

    def document(self) -> dict[str, Json]:
        took = sorted(self.pace.seconds)
        return {
            "arm": self.pace.arm,
            "cell": self.report.cell,
            "requests": len(took),
            "median_seconds": round(took[len(took) // 2], 3) if took else None,
            "late": self.late,
            "cpu_share": round(self.report.cpu_share, 3),
            "loop_lag_p99": round(self.report.loop_lag_p99, 6),
        }
