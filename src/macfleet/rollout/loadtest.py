"""Stage 5's measurement on one node: identical cells on every arm, interleaved, the idle engine stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from macfleet.analysis.cells import summarise
from macfleet.analysis.summaries import summary_document
from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.model.load import LoadSpec
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.model.run import CellSummary
from macfleet.model.stage import EvidenceKey
from macfleet.rollout import arms, vm
from macfleet.rollout.desired import Desired
from macfleet.rollout.load_profile import Block, LoadProfile, blocks, judged_concurrency
from macfleet.rollout.loadtest_adopt import SUMMARY
from macfleet.rollout.loadtest_arms import ATTEMPTS, Changing, Chosen, choose, turn_seconds
from macfleet.rollout.loadtest_left import MEASURED, STORAGE, Left, after, take_over
from macfleet.rollout.loadtest_segment import Place, Take, measure_segment, token_lines_of
from macfleet.rollout.pilot import Pilot
from macfleet.rollout.pilot_size import Sizes, as_planned, read_sizes
from macfleet.rollout.ports import Ports
from macfleet.rollout.storage_proof import prove_storage, storage_drop


@dataclass(frozen=True, slots=True)
class Measured:
    """What one node's load test found: cells, and the evidence document for the gate."""

    cells: tuple[CellSummary, ...]
    evidence: dict[str, Json]


def measure_loadtest(
    node: Node,
    desired: Desired,
    ports: Ports,
    profile: LoadProfile,
    writer: RunWriter,
    *,
    key: EvidenceKey,
    resumes: str = "",
) -> Measured:
    """Measure every arm, write the artifacts, and leave every engine running again.

    `key` says of what the measurement is. Of the run that `resumes` names, and of those that went on with it,
    finished segments of the same key are used; what was cut is kept and measured again. How long each cell
    is, a pilot fixes before the first segment; a run that goes on keeps what was fixed.
    """
    transport = ports.transports.to(node)
    chosen = choose(node, ports)
    left = take_over(node, desired.contract.primary, key, resumes, ports, writer)
    if left.runs:
        detail: dict[str, Json] = {"segments": left.segments, "cut": len(left.cuts)}
        ports.events.emit(Event("loadtest.resumed", node.name, detail))
    lasts = turn_seconds(desired, profile)
    engines = Changing(node, chosen, profile, transport, writer, dict(left.engines), lasts)
    taken: list[_Taken] = []
    try:
        engines.clear()
        storage = left.storage or prove_storage(node, desired, transport, short=profile.short)
        if storage is not None:
            writer.json(f"nodes/{node.name}/{STORAGE}", storage)
        sizes = _fix_sizes(node, desired, ports, profile, writer, left, engines)
        work = _Work(node, desired, ports, profile, writer, left, chosen, sizes)
        for block in blocks(chosen.names, sizes.most):
            up: bool | None = None
            if not work.is_done(block):
                engines.to(block.arm)
                up = vm.is_up(transport)
            taken += work.measure(block, up=up)
    finally:
        engines.bring_back()
    found = _reduce(node, taken, profile, writer, left)
    about: dict[str, Json] = {
        "storage_drop": storage_drop(storage),
        "client_processes": sizes.processes,
        "sizes": [size.document() for size in sizes.of.values()],
        "engines": engines.engines,
        "not_measured": dict(chosen.not_measured),
    }
    return replace(found, evidence={**found.evidence, **about})


def _fix_sizes(
    node: Node,
    desired: Desired,
    ports: Ports,
    profile: LoadProfile,
    writer: RunWriter,
    left: Left,
    engines: Changing,
) -> Sizes:
    """Return how many segments each cell has: as it was fixed, or as a pilot finds where one is asked for.

    Where segments are there already nothing is fixed anew: a size that follows results would choose among
    them.
    """
    concurrencies = judged_concurrency(desired)
    if (fixed := read_sizes(left.pilot)) is not None:
        return fixed
    if not profile.pilot or left.takes:
        return as_planned(desired.contract.primary, concurrencies, profile, node.client_processes)

    def spec(arm: str, concurrency: int) -> LoadSpec:
        return _spec(Block(arm, 0), concurrency, node, desired, profile, node.client_processes)

    names = engines.chosen.names
    return Pilot(node, ports, writer, profile, names, concurrencies, engines.to, spec).sizes()


@dataclass(frozen=True, slots=True)
class _Taken:
    """Every attempt at one segment of one cell; the last one stands, and `place` is its."""

    arm: str
    segment: int
    takes: tuple[Take, ...]
    place: Place

    @property
    def standing(self) -> Take:
        """The attempt that is judged."""
        return self.takes[-1]


@dataclass(frozen=True, slots=True)
class _Work:
    """One node's load test on its way."""

    node: Node
    desired: Desired
    ports: Ports
    profile: LoadProfile
    writer: RunWriter
    left: Left
    chosen: Chosen
    sizes: Sizes

    def _cells(self, segment: int) -> tuple[int, ...]:
        """Return the concurrencies of the cells that have a segment of this number."""
        return tuple(c for c in judged_concurrency(self.desired) if self.sizes.has(c, segment))

    def is_done(self, block: Block) -> bool:
        """Whether every cell of the block was measured by a run that this one goes on with."""
        return all(_stands(self.left.of(block.arm, block.segment, c)) for c in self._cells(block.segment))

    def measure(self, block: Block, *, up: bool | None) -> list[_Taken]:
        """Measure a segment of every cell; one that the client itself was late for is measured again.

        Lateness says nothing about the engine, so measuring again does not choose among results; what was
        put aside is kept in the run, and later requests go on with the next index, so that no prompt comes
        twice.
        """
        found = []
        for concurrency in self._cells(block.segment):
            takes = list(self.left.of(block.arm, block.segment, concurrency))
            places = list(self.left.places(block.arm, block.segment, concurrency))
            place, index = self.left.next_place(block.arm, block.segment, concurrency)
            spec = _spec(block, concurrency, self.node, self.desired, self.profile, self.sizes.processes)
            while not _stands(takes):
                self.ports.go_on(self.node.name)
                spec = replace(spec, first_index=index)
                takes.append(self._segment(spec, place, up=up))
                places.append(place)
                place, index = replace(place, attempt=place.attempt + 1), after(takes[-1])
                if not _stands(takes):
                    late: dict[str, Json] = {"arm": spec.arm, "cell": spec.cell}
                    self.ports.events.emit(Event("loadtest.late", self.node.name, late))
            found.append(_Taken(block.arm, block.segment, tuple(takes), places[-1]))
        return found

    def _segment(self, spec: LoadSpec, place: Place, *, up: bool | None) -> Take:
        return measure_segment(
            spec,
            place,
            self.node,
            self.ports,
            self.writer,
            of=self._count(),
            up=up,
            token_events=self.profile.token_events,
        )

    def _count(self) -> int:
        """Segments of the node that are still to be measured when it begins."""
        everything = blocks(self.chosen.names, self.sizes.most)
        return sum(
            not _stands(self.left.of(b.arm, b.segment, c)) for b in everything for c in self._cells(b.segment)
        )


def _stands(takes: Sequence[Take]) -> bool:
    """Whether an attempt is to be judged: one that the client was in time for, or the last one allowed."""
    return len(takes) >= ATTEMPTS or bool(takes and not takes[-1].late)


def _spec(
    block: Block, concurrency: int, node: Node, desired: Desired, profile: LoadProfile, processes: int
) -> LoadSpec:
    contract = desired.contract
    route = next((r.path for r in contract.routes if r.stream), contract.routes[0].path)
    return LoadSpec(
        base_url=arms.base_url(node, block.arm),
        route=route,
        fixtures=contract.bucket(contract.primary).fixtures,
        cell=f"{contract.primary}×{concurrency}",
        segment=block.segment,
        arm=block.arm,
        concurrency=concurrency,
        duration=profile.window,
        warmup=profile.warmup,
        grace=contract.client.stall_timeout,
        nonce_key=contract.hash,
        keep_alive=contract.client.keep_alive,
        connect_timeout=contract.client.connect_timeout,
        stall_timeout=contract.client.stall_timeout,
        # A process without a stream has nothing to do.
        processes=min(processes, concurrency),
    )


def _reduce(
    node: Node, taken: Sequence[_Taken], profile: LoadProfile, writer: RunWriter, left: Left
) -> Measured:
    folder = f"nodes/{node.name}"
    standing = [each.standing for each in taken]
    spoiled = [take for each in taken for take in each.takes[:-1]]
    samples = [sample for take in standing for sample in take.samples]
    reports = [take.report for take in standing]
    series = [row for take in standing for row in take.series]
    for number, take in enumerate(spoiled):
        path = f"{folder}/{take.report.arm}/aside-{number}.json"
        writer.json(path, [sample.document() for sample in take.samples])
    writer.json(f"{folder}/vm.json", vm.document((e.arm, e.segment, e.standing.up) for e in taken))
    writer.json(f"{folder}/engine.json", [take.engine() for take in standing])
    for arm in sorted({report.arm for report in reports}):
        writer.samples(f"{folder}/{arm}/samples.parquet", [s for s in samples if s.arm == arm])
        lines = [token_lines_of(folder, e.place, e.standing.report) for e in taken if e.arm == arm]
        writer.events(f"{folder}/{arm}/events.parquet", lines)
    writer.series(f"{folder}/series.parquet", series)
    if spoiled:
        writer.json(f"{folder}/spoiled.json", [take.report.document() for take in spoiled])
    writer.json(f"{folder}/{MEASURED}", [report.document() for report in reports])
    accelerators = {str(arm): node.accelerator(arm) for arm in node.measured_arms}
    cells = summarise(
        samples, reports, series, node=node.name, accelerators=accelerators, foreign=_foreign(standing)
    )
    writer.json(f"{folder}/{SUMMARY}", summary_document(cells))
    rows: list[Json] = [
        {"arm": c.arm, "cell": c.cell, "n": c.n, "ok": c.ok, "invalid": list(c.invalid), "minutes": c.minutes}
        for c in cells
    ]
    archives = sorted({report.archive for report in reports if report.archive})
    evidence: dict[str, Json] = {
        "short": profile.short,
        "cells": rows,
        "segments": profile.segments,
        "archives": archives,
        "summary": summary_document(cells),
        "measured_again": len(spoiled),
        **({"resumed": left.document()} if left.runs else {}),
    }
    return Measured(cells, evidence)


def _foreign(takes: Sequence[Take]) -> dict[tuple[str, str], list[str]]:
    """Return by arm and cell what the engine served that was not ours."""
    found: dict[tuple[str, str], list[str]] = {}
    for take in takes:
        if take.foreign:
            told = f"segment {take.report.segment}: {take.foreign}"
            found.setdefault((take.report.arm, take.report.cell), []).append(told)
    return found
