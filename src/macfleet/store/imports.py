"""Results of other load generators as runs of kind ``imported``: shown beside ours, never judged."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from macfleet.analysis.summaries import summary_document
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import Json
from macfleet.model.ports import RunStore
from macfleet.model.run import RunManifest
from macfleet.store.imports_aiperf import aiperf, aiperf_records
from macfleet.store.imports_cells import Imported, ImportedCell
from macfleet.store.imports_guidellm import guidellm
from macfleet.store.imports_llmd import llmd
from macfleet.store.imports_reading import Values, read_documents
from macfleet.store.imports_vllm import vllm

KINDS = ("guidellm", "aiperf", "vllm", "llmd")
DOCUMENT = "import.json"
"""The file inside a run that says where its figures come from and what is not comparable."""
UNKNOWN_REQUESTS = "what was sent is not known: the file names no contract and no fixtures"
NOT_OUR_CLIENT = (
    "the client's own lateness was not recorded, so nobody can tell whether it spoiled the figures"
)


@dataclass(frozen=True, slots=True)
class Target:
    """What a file's figures are said to be about.

    Attributes:
        node: name of the node; arm: its arm; bucket: what the load is called.
        concurrency, rate: the load, where the file does not say it; 0 for what was not given.
    """

    node: str
    arm: str
    bucket: str = "imported"
    concurrency: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Source:
    """One file that was read: what it holds, its name and its SHA-256 as hex."""

    kind: str
    found: Imported
    file: str
    sha256: str


def read_import(path: Path, kind: str = "") -> Source:
    """Return what a load generator's file holds.

    Args:
        path: the file.
        kind: one of `KINDS`; empty to tell it from the content.

    Raises:
        MacfleetError: E1060 it cannot be read, E1061 it is no JSON, E1062 nobody knows its kind, every E1063
            for a value that cannot be used, E1064 no request was answered.
    """
    content, documents = read_documents(path)
    values = [Values(document, path.name) for document in documents]
    chosen = kind or _kind(values)
    if not chosen:
        raise MacfleetError(
            Diagnostic(
                "E1062",
                f"{path.name} is not a result that can be told apart",
                why="It has the marks of none of GuideLLM, AIPerf, vLLM bench and llm-d's Benchmark Report.",
                mend=f"Name what wrote it: --kind {'|'.join(KINDS)}",
            )
        )
    found = _parsed(chosen, values)
    problems = [problem for each in values for problem in each.problems]
    if not problems and not any(cell.ok for cell in found.cells):
        problems.append(
            Diagnostic(
                "E1064",
                f"{path.name} holds no request that was answered",
                why=f"It was read as the result of {found.tool}.",
                mend="Give the result of a finished measurement, or name another --kind.",
            )
        )
    if problems:
        raise MacfleetError(problems)
    return Source(chosen, found, path.name, hashlib.sha256(content).hexdigest())


def record_import(runs: RunStore, source: Source, target: Target, head: RunManifest) -> RunManifest:
    """Write a run of what was read and return its manifest.

    Args:
        runs: where it goes.
        source: what was read.
        target: node, arm and load it is about.
        head: id, who, why and state of the fleet folder; the rest is filled in.

    Raises:
        MacfleetError: E1065 the load is neither in the file nor given, E1066 two parts of the file have the
            same load.
    """
    found = source.found
    cells = [_with_load(cell, target) for cell in found.cells if cell.ok]
    _check(source, [cell.name(target.bucket) for cell in cells if cell.rate or cell.concurrency], len(cells))
    tool = f"{found.tool} {found.version}".strip()
    why = (
        f"imported from {tool}, not measured by macfleet",
        *found.differs,
        UNKNOWN_REQUESTS,
        NOT_OUR_CLIENT,
    )
    manifest = replace(
        head,
        kind="imported",
        stage="loadtest",
        contract="",
        sent="",
        nodes=(target.node,),
        arms=(target.arm,),
        vantage="unknown",
        started=_iso(found.started) or head.started,
        finished=_iso(found.finished) or head.finished,
        client_version=tool,
        client_archive="",
        short=True,
        profile={"judged": []},
    )
    writer = runs.create(manifest.id)
    writer.json(
        "summary.json",
        summary_document(cell.summary(target.node, target.arm, target.bucket, why) for cell in cells),
    )
    writer.json(DOCUMENT, _document(source, why))
    writer.finish(manifest)
    return manifest


def _kind(values: list[Values]) -> str:
    """Tell a file by keys that only its tool writes."""
    head = values[0].value
    if not isinstance(head, Mapping):
        return ""
    marks = {
        "guidellm": {"benchmarks"},
        "llmd": {"version", "run", "results"},
        "vllm": {"num_prompts", "completed"},
    }
    known = [kind for kind, keys in marks.items() if keys <= set(head)]
    if not known and (
        {"metadata", "metrics"} <= set(head) or {"request_latency", "request_count"} & set(head)
    ):
        known = ["aiperf"]
    return known[0] if len(known) == 1 else ""


def _parsed(kind: str, values: list[Values]) -> Imported:
    if kind == "vllm":
        return vllm(values)
    if kind == "aiperf" and values[0].at("metrics").value is not None:
        return aiperf_records(values)
    if len(values) > 1:
        values[0].refuse(f"a result of {kind} is one document, and this file has {len(values):,} of them")
    return {"guidellm": guidellm, "aiperf": aiperf, "llmd": llmd}[kind](values[0])


def _with_load(cell: ImportedCell, target: Target) -> ImportedCell:
    if cell.concurrency is not None:
        return cell
    return replace(cell, concurrency=target.concurrency or None, rate=target.rate)


def _check(source: Source, names: list[str], cells: int) -> None:
    problems = []
    if len(names) < cells:
        problems.append(
            Diagnostic(
                "E1065",
                f"{source.file} does not say how many requests were in flight, nor at what rate they came",
                why="Figures of unlike loads cannot stand in one row.",
                mend="Add --concurrency N, or --rate R for an open loop.",
            )
        )
    problems += [
        Diagnostic(
            "E1066",
            f"{source.file} holds {count} measurements of the load {name}",
            why="A run has one cell a load; which of them should stand cannot be guessed.",
            mend="Write each to a file of its own, and import those.",
        )
        for name, count in Counter(names).items()
        if count > 1
    ]
    if problems:
        raise MacfleetError(problems)


def _document(source: Source, why: tuple[str, ...]) -> dict[str, Json]:
    found = source.found
    return {
        "schema": 1,
        "kind": source.kind,
        "tool": found.tool,
        "version": found.version,
        "model": found.model,
        "file": source.file,
        "sha256": source.sha256,
        "not_comparable": list(why),
    }


def _iso(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds) or seconds > 4e9:
        return ""
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).isoformat(timespec="milliseconds")
