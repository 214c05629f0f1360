"""One cell of one arm, measured on the side: recorded, said to be ad hoc, never judged or signed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from macfleet import __version__
from macfleet.analysis.cells import summarise
from macfleet.analysis.summaries import summary_document
from macfleet.engine import observe
from macfleet.facts.versions import probes
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.load import LoadSpec
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.model.quantity import iso
from macfleet.model.run import CellSummary, RunManifest
from macfleet.model.stage import StageName
from macfleet.rollout import arms
from macfleet.rollout.desired import Desired
from macfleet.rollout.loadtest_left import MEASURED
from macfleet.rollout.loadtest_segment import Place, measure_segment, token_lines_of
from macfleet.rollout.ports import Ports
from macfleet.rollout.record import facts_document
from macfleet.rollout.result import NodeOutcome, NodeResult

KIND = "ad-hoc"
_MOST_IN_FLIGHT = 256
"""Of an open loop: far above what an engine of a Mac answers at once."""


@dataclass(frozen=True, slots=True)
class AdHoc:
    """What somebody wants to see measured.

    Attributes:
        bucket: of the contract; empty for its primary one.
        concurrency: requests kept in flight in a closed loop.
        rate: requests a second offered, whatever the engine manages; 0 for a closed loop.
        arrivals: ``constant`` or ``poisson``, of an open loop.
        duration, warmup: seconds of the window, and of load before it.
        token_events: whether the run keeps when each token came.
    """

    arm: str
    bucket: str = ""
    concurrency: int = 1
    rate: float = 0.0
    arrivals: str = "constant"
    duration: float = 60.0
    warmup: float = 5.0
    token_events: bool = True

    def cell(self, bucket: str) -> str:
        """Return the cell's name."""
        return f"{bucket}@{self.rate:.4g}/s" if self.rate else f"{bucket}×{self.concurrency}"


@dataclass(frozen=True, slots=True)
class AdHocResult:
    """What was measured; `problems` are of nodes that were not."""

    manifest: RunManifest
    cells: tuple[CellSummary, ...]
    problems: tuple[Diagnostic, ...]


def measure_ad_hoc(
    wish: AdHoc, nodes: Sequence[Node], desired: Desired, ports: Ports, *, run_id: str, who: str, why: str
) -> AdHocResult:
    """Load one arm of each node as it stands, nodes of one hardware in turn, and record it.

    Nothing is drained, stopped or started: requests of others make the cell INVALID. The nonces are the
    run's own, so that no prompt is in a cache from an earlier one; they are not those of the contract.

    Raises:
        MacfleetError: E1070 no such bucket, E1071 an arm that a node does not have; or what kept every
            node from being measured. No run is recorded then.
    """
    _check(wish, nodes, desired)
    started = ports.clock.now()
    writer = ports.runs.create(run_id)
    found = _in_turn(nodes, ports, lambda node: _one(wish, node, desired, ports, writer))
    measured = [each for each in found if isinstance(each, _Measured)]
    problems = [p for each in found if isinstance(each, MacfleetError) for p in each.diagnostics]
    if not measured:
        raise MacfleetError(problems)
    cells = tuple(cell for each in measured for cell in each.cells)
    writer.json("summary.json", summary_document(cells))
    manifest = _manifest(wish, measured, desired)
    finished = iso(ports.clock.now())
    manifest = replace(manifest, id=run_id, who=who, why=why, started=iso(started), finished=finished)
    writer.finish(manifest)
    return AdHocResult(ports.runs.manifest(run_id), cells, tuple(problems))


def _in_turn(
    nodes: Sequence[Node], ports: Ports, work: Callable[[Node], _Measured | MacfleetError]
) -> list[_Measured | MacfleetError]:
    """Work on nodes at once, on those of one hardware one after the other."""
    groups: dict[str, tuple[Node, ...]] = {}
    for node in nodes:
        name = node.hardware or node.name
        groups[name] = (*groups.get(name, ()), node)
    found: list[_Measured | MacfleetError] = []
    for answer in ports.executor.each(
        tuple(groups), lambda name: [work(node) for node in groups[name]]
    ).values():
        if isinstance(answer, Exception):
            raise answer
        found += answer
    return found


def _manifest(wish: AdHoc, measured: Sequence[_Measured], desired: Desired) -> RunManifest:
    """Return the head of the run, all but who, when and why."""
    lab = any((each.result.facts.get("facts.system") or {}).get("simulated") == "lab" for each in measured)
    return RunManifest(
        id="",
        kind=KIND,
        stage=str(StageName.LOADTEST),
        contract=desired.contract.hash,
        # The bodies are the contract's, the nonces are not: nothing else was sent these bytes.
        sent="",
        git_commit=desired.commit,
        git_dirty=desired.dirty,
        nodes=tuple(each.result.node for each in measured),
        arms=(wish.arm,),
        vantage="node-loopback",
        started="",
        finished="",
        who="",
        why="",
        client_version=__version__,
        client_archive=", ".join(sorted({each.archive for each in measured if each.archive})),
        profile={
            "duration": wish.duration,
            "warmup": wish.warmup,
            "segments": 1,
            "judged": [],
            "rate": wish.rate,
            "arrivals": wish.arrivals if wish.rate else "",
        },
        simulated=("lab of simulated Mac nodes on one Linux machine",) if lab else (),
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """One node's part."""

    result: NodeResult
    cells: tuple[CellSummary, ...]
    archive: str


def _one(
    wish: AdHoc, node: Node, desired: Desired, ports: Ports, writer: RunWriter
) -> _Measured | MacfleetError:
    try:
        ports.go_on(node.name)
        return _measure(wish, node, desired, ports, writer)
    except MacfleetError as error:
        return error


def _measure(wish: AdHoc, node: Node, desired: Desired, ports: Ports, writer: RunWriter) -> _Measured:
    transport = ports.transports.to(node)
    seen = observe(node.name, (), transport, nonce=ports.nonce, extra=probes())
    result = NodeResult(node.name, NodeOutcome.UNCHANGED, facts=seen.extra)
    beside = [str(arm) for arm in node.arms if arms.is_running(node, str(arm), transport)]
    if wish.arm not in beside:
        raise MacfleetError(_not_running(node, wish.arm))
    spec = _spec(wish, node, desired, writer.id)
    place = Place(wish.arm, 0, spec.concurrency)
    take = measure_segment(spec, place, node, ports, writer, of=1, up=None, token_events=wish.token_events)
    folder = f"nodes/{node.name}"
    writer.json(f"{folder}/facts.json", facts_document(node, result, desired))
    engines: list[Json] = [take.engine()]
    writer.json(f"{folder}/engine.json", engines)
    others: list[Json] = [arm for arm in beside if arm != wish.arm]
    writer.json(f"{folder}/beside.json", {"schema": 1, "engines_running": others})
    reports: list[Json] = [take.report.document()]
    writer.json(f"{folder}/{MEASURED}", reports)
    writer.samples(f"{folder}/{wish.arm}/samples.parquet", take.samples)
    lines = token_lines_of(folder, place, take.report)
    writer.events(f"{folder}/{wish.arm}/events.parquet", [lines])
    writer.series(f"{folder}/series.parquet", take.series)
    foreign = {(spec.arm, spec.cell): [take.foreign]} if take.foreign else {}
    accelerators = {str(arm): node.accelerator(arm) for arm in node.arms}
    cells = summarise(
        take.samples, [take.report], take.series, node=node.name, accelerators=accelerators, foreign=foreign
    )
    return _Measured(result, cells, take.report.archive)


def _spec(wish: AdHoc, node: Node, desired: Desired, run_id: str) -> LoadSpec:
    contract = desired.contract
    bucket = wish.bucket or contract.primary
    concurrency = _MOST_IN_FLIGHT if wish.rate else wish.concurrency
    route = next((each.path for each in contract.routes if each.stream), contract.routes[0].path)
    return LoadSpec(
        base_url=arms.base_url(node, wish.arm),
        route=route,
        fixtures=contract.bucket(bucket).fixtures,
        cell=wish.cell(bucket),
        segment=0,
        arm=wish.arm,
        concurrency=concurrency,
        duration=wish.duration,
        warmup=wish.warmup,
        grace=contract.client.stall_timeout,
        nonce_key=f"{contract.hash} {run_id}",
        keep_alive=contract.client.keep_alive,
        connect_timeout=contract.client.connect_timeout,
        stall_timeout=contract.client.stall_timeout,
        rate=wish.rate,
        arrivals=wish.arrivals,
        processes=min(node.client_processes, concurrency),
    )


def _check(wish: AdHoc, nodes: Sequence[Node], desired: Desired) -> None:
    problems = []
    known = [bucket.name for bucket in desired.contract.buckets]
    if wish.bucket and wish.bucket not in known:
        problems.append(
            Diagnostic(
                "E1070",
                f"the contract has no bucket {wish.bucket}",
                mend=f"One of: {', '.join(known)}.",
                exit_code=ExitCode.USAGE,
            )
        )
    problems += [
        Diagnostic(
            "E1071",
            f"the node has no arm {wish.arm}",
            mend=f"One of: {', '.join(map(str, node.arms))}, or declare it under arms:.",
            node=node.name,
            exit_code=ExitCode.USAGE,
        )
        for node in nodes
        if wish.arm not in node.arms
    ]
    if problems:
        raise MacfleetError(problems)


def _not_running(node: Node, arm: str) -> Diagnostic:
    return Diagnostic(
        "E1072",
        f"the {arm} engine does not answer on /health",
        why="An ad-hoc load starts and stops nothing.",
        mend=f"See the node: macfleet status -l {node.name}\nBring it back: macfleet undrain {node.name}",
        node=node.name,
        exit_code=ExitCode.NODE_FAILED,
    )
