"""Stage 5's measurement on one node: identical cells on every arm, interleaved, the idle engine stopped."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from macfleet.analysis.cells import summarise
from macfleet.analysis.sampler import parse_series
from macfleet.analysis.summaries import summary_document
from macfleet.analysis.validity import client_was_late
from macfleet.facts.sampler import sampler_script
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.model.load import LoadSpec, Sample, SegmentReport, Vantage
from macfleet.model.node import Arm, Node
from macfleet.model.ports import RunWriter, Transport
from macfleet.model.run import CellSummary
from macfleet.rollout import arms, vm
from macfleet.rollout.desired import Desired
from macfleet.rollout.load_profile import Block, LoadProfile, blocks, judged_concurrency
from macfleet.rollout.ports import Ports

# How often one segment is measured at most when the client itself is late.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """What one node's load test found: cells, and the evidence document for the gate."""

    cells: tuple[CellSummary, ...]
    evidence: dict[str, Json]


def measure_loadtest(
    node: Node, desired: Desired, ports: Ports, profile: LoadProfile, writer: RunWriter
) -> Measured:
    """Measure every declared arm, write the artifacts, and leave every engine running again."""
    names = tuple(str(arm) for arm in node.arms)
    transport = ports.transports.to(node)
    samples: list[Sample] = []
    reports: list[SegmentReport] = []
    series: list[dict[str, Json]] = []
    spoiled: list[SegmentReport] = []
    states: list[tuple[str, int, bool | None]] = []
    try:
        _prepare_vm("", node, profile, transport)
        for arm in names:
            arms.stop(node, arm, transport)
        running = ""
        for block in blocks(names, profile.segments):
            if running and running != block.arm:
                arms.stop(node, running, transport)
            if running != block.arm:
                _prepare_vm(block.arm, node, profile, transport)
                arms.start(node, block.arm, transport)
            running = block.arm
            states.append((block.arm, block.segment, vm.is_up(transport)))
            found = _measure_block(block, node, desired, ports, profile, writer)
            samples += found.samples
            reports += found.reports
            series += found.series
            spoiled += found.spoiled
    finally:
        _bring_back(names, node, profile, transport)
    writer.json(f"nodes/{node.name}/vm.json", vm.document(states))
    return _reduce(node, samples, reports, spoiled, series, profile, writer)


def _bring_back(names: Sequence[str], node: Node, profile: LoadProfile, transport: Transport) -> None:
    """Start every engine again; one that will not start does not keep the others down."""
    problems: list[MacfleetError] = []
    starts: list[Callable[[], None]] = [lambda: _prepare_vm("", node, profile, transport)]
    starts += [functools.partial(arms.start, node, arm, transport) for arm in names]
    for start in starts:
        try:
            start()
        except MacfleetError as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _prepare_vm(arm: str, node: Node, profile: LoadProfile, transport: Transport) -> None:
    """Have the VM down for a bare arm and up for any other, as a run that was cut may have left it down.

    A VM that idles takes memory from the bare arm. A short run, which nobody can sign, leaves it up: a stop
    and a start would take longer than its segments; the run records that it was up.
    """
    if str(Arm.CONTAINER) not in node.arms:
        return
    if arm in vm.NEEDS_NO_VM:
        if not profile.short:
            vm.stop(node, transport)
    elif vm.is_up(transport) is False:
        vm.start(node, transport)


@dataclass(frozen=True, slots=True)
class _Found:
    samples: tuple[Sample, ...]
    reports: tuple[SegmentReport, ...]
    series: tuple[dict[str, Json], ...]
    spoiled: tuple[SegmentReport, ...] = ()


def _measure_block(
    block: Block, node: Node, desired: Desired, ports: Ports, profile: LoadProfile, writer: RunWriter
) -> _Found:
    """Measure a segment of every cell; one that the client itself was late for is measured again.

    Lateness says nothing about the engine, so measuring again does not choose among results; what was put
    aside is kept in the run, and later requests go on with the next index, so that no prompt comes twice.
    """
    samples: list[Sample] = []
    reports: list[SegmentReport] = []
    series: list[dict[str, Json]] = []
    spoiled: list[SegmentReport] = []
    for concurrency in judged_concurrency(desired):
        spec = _spec(block, concurrency, node, desired, profile)
        for attempt in range(_ATTEMPTS):
            ports.go_on(node.name)
            raw = f"nodes/{node.name}/{block.arm}/raw-{block.segment}-{concurrency}-{attempt}.ndjson"
            own, report, rows = _measure_segment(
                spec, node, ports, writer, raw, of=_count(node, desired, profile)
            )
            if attempt + 1 == _ATTEMPTS or not client_was_late(report, own):
                break
            spoiled.append(report)
            writer.json(raw.replace("raw-", "aside-").replace("ndjson", "json"), [s.document() for s in own])
            ports.events.emit(Event("loadtest.late", node.name, {"arm": spec.arm, "cell": spec.cell}))
            spec = replace(spec, first_index=max((s.index for s in own), default=-1) + 1)
        samples += own
        reports.append(report)
        series += rows
    return _Found(tuple(samples), tuple(reports), tuple(series), tuple(spoiled))


def _measure_segment(
    spec: LoadSpec, node: Node, ports: Ports, writer: RunWriter, raw: str, *, of: int
) -> tuple[list[Sample], SegmentReport, list[dict[str, Json]]]:
    """Load and sample side by side, each on a thread of its own over the one connection."""
    samples: list[Sample] = []
    reports: list[SegmentReport] = []
    seconds = spec.warmup + spec.duration
    detail: dict[str, Json] = {"arm": spec.arm, "cell": spec.cell, "segment": spec.segment}
    ports.events.emit(Event("loadtest.segment", node.name, {**detail, "seconds": seconds, "of": of}))

    def load() -> str:
        with writer.lines(raw) as line:

            def keep(sample: Sample) -> None:
                samples.append(sample)
                line(sample.document())

            reports.append(ports.load.measure(node, Vantage.NODE_LOOPBACK, spec, keep))
        return ""

    def sample() -> str:
        return _sampled(ports.transports.to(node), round(seconds) + 2)

    answers = ports.executor.each((load, sample), lambda work: work())
    for answer in answers.values():
        if isinstance(answer, Exception):
            raise answer
    rows = [_labelled(dict(row), spec, reports) for row in parse_series(str(answers[sample]))]
    return samples, reports[0], rows


def _count(node: Node, desired: Desired, profile: LoadProfile) -> int:
    return len(node.arms) * profile.segments * len(judged_concurrency(desired))


def _spec(block: Block, concurrency: int, node: Node, desired: Desired, profile: LoadProfile) -> LoadSpec:
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
    )


def _sampled(transport: Transport, seconds: int) -> str:
    return transport.run(sampler_script(seconds), deadline=seconds + 60).stdout.decode("utf-8", "replace")


def _labelled(row: dict[str, Json], spec: LoadSpec, reports: Sequence[SegmentReport]) -> dict[str, Json]:
    """Say which cell's window a row of the series fell into; outside of it it belongs to none."""
    moment = row.get("t_wall_ns")
    inside = isinstance(moment, int) and any(
        report.wall_start <= moment <= report.wall_start + report.window_end - report.window_start
        for report in reports
    )
    return {**row, "arm": spec.arm, "segment": spec.segment, "cell": spec.cell if inside else None}


def _reduce(
    node: Node,
    samples: Sequence[Sample],
    reports: Sequence[SegmentReport],
    spoiled: Sequence[SegmentReport],
    series: Sequence[dict[str, Json]],
    profile: LoadProfile,
    writer: RunWriter,
) -> Measured:
    folder = f"nodes/{node.name}"
    for arm in sorted({report.arm for report in reports}):
        writer.samples(f"{folder}/{arm}/samples.parquet", [s for s in samples if s.arm == arm])
    writer.series(f"{folder}/series.parquet", series)
    writer.json(f"{folder}/segments.json", [report.document() for report in reports])
    if spoiled:
        writer.json(f"{folder}/spoiled.json", [report.document() for report in spoiled])
    accelerators = {str(arm): accelerator_of(node, arm) for arm in node.arms}
    cells = summarise(samples, reports, series, node=node.name, accelerators=accelerators)
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
    }
    return Measured(cells, evidence)


def accelerator_of(node: Node, arm: Arm) -> str:
    """Return ``metal``, ``vulkan`` or ``cpu`` as the inventory says; a Linux container has no Metal."""
    if arm in (Arm.CONTAINER, Arm.BARE_CPU):
        return "cpu"
    return str(node.variables.get("accelerator") or "metal")
