"""What runs that broke off left of a node's load test: finished segments are used, cut ones only kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from macfleet import __version__
from macfleet.model.json import Json, JsonObject
from macfleet.model.load import Sample, SegmentReport
from macfleet.model.node import Node
from macfleet.model.ports import RunWriter
from macfleet.model.stage import EvidenceKey
from macfleet.rollout.loadtest_segment import Place, Take
from macfleet.rollout.ports import Ports

BEGUN = "begun.json"
STORAGE = "storage.json"
PILOT = "pilot.json"
MEASURED = "segments.json"
"""Written when all segments of a node are there."""
_ENGINE = re.compile(r"engine-([a-z-]+)\.json")
_RAW = re.compile(r"([a-z-]+)/(?:raw|cut)-(\d+)-(\d+)-(\d+)\.ndjson")
_LOOK = re.compile(r"[a-z-]+/pilot-\d+\.ndjson")
_UNSEEN = 1000
"""Indices left out after a cut: no client sends more in the second of records that may be lost."""


@dataclass(frozen=True, slots=True)
class Cut:
    """An attempt at a segment that did not come to its end: kept, never judged.

    Attributes:
        records: requests that were kept; last: the highest index of them, -1 for none.
        began, ended: the kept requests' first sending and last end, monotonic nanoseconds of the node.
    """

    place: Place
    cell: str
    records: int
    last: int
    began: int | None
    ended: int | None

    def document(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {
            "arm": self.place.arm,
            "cell": self.cell,
            "segment": self.place.segment,
            "records": self.records,
            "began": self.began,
            "ended": self.ended,
            "file": self.place.file("cut"),
            "judged": False,
        }


@dataclass(frozen=True, slots=True)
class Left:
    """What there is of a node's load test before it begins.

    Attributes:
        runs: the runs it comes from, oldest first.
        takes: finished attempts, in their order.
        unlike: what is different now from when those runs measured, so that nothing of them is used.
        storage: the storage proof, None where none was made.
        engines: what was recorded of each arm's engine, by arm.
        pilot: what the pilot found and fixed, None where none was made.
    """

    runs: tuple[str, ...] = ()
    takes: Mapping[Place, Take] = field(default_factory=dict)
    cuts: tuple[Cut, ...] = ()
    unlike: tuple[str, ...] = ()
    storage: JsonObject | None = None
    engines: Mapping[str, JsonObject] = field(default_factory=dict)
    pilot: JsonObject | None = None

    def of(self, arm: str, segment: int, concurrency: int) -> tuple[Take, ...]:
        """Return the finished attempts at one segment of one cell."""
        return tuple(self.takes[place] for place in self.places(arm, segment, concurrency))

    def places(self, arm: str, segment: int, concurrency: int) -> tuple[Place, ...]:
        """Return where those attempts stand, in the same order."""
        asked = (arm, segment, concurrency)
        return tuple(p for p in self.takes if (p.arm, p.segment, p.concurrency) == asked)

    @property
    def segments(self) -> int:
        """How many segments are there, each counted once however often it was attempted."""
        return len({(place.arm, place.segment, place.concurrency) for place in self.takes})

    def next_place(self, arm: str, segment: int, concurrency: int) -> tuple[Place, int]:
        """Return the first attempt that is not there yet, and the first index that nobody has sent."""
        places = [*self.takes, *(cut.place for cut in self.cuts)]
        own = [p for p in places if (p.arm, p.segment, p.concurrency) == (arm, segment, concurrency)]
        sent = [after(self.takes[place]) for place in own if place in self.takes]
        sent += [cut.last + 1 + _UNSEEN for cut in self.cuts if cut.place in own]
        attempt = max((place.attempt for place in own), default=-1) + 1
        return Place(arm, segment, concurrency, attempt), max(sent, default=0)

    def document(self) -> dict[str, Json]:
        """Return for the evidence what was gone on with."""
        return {
            "runs": list(self.runs),
            "reused": self.segments,
            "cut": [cut.document() for cut in self.cuts],
            "unlike": list(self.unlike),
        }


def after(take: Take) -> int:
    """Return the index after the last one a finished attempt sent."""
    return max((sample.index for sample in take.samples), default=-1) + 1


def take_over(
    node: Node, bucket: str, key: EvidenceKey, resumes: str, ports: Ports, writer: RunWriter
) -> Left:
    """Bring what the runs left that this one goes on with into its folder, and return it.

    What was measured of something else (another contract, image or version) is not used, nor what a run
    left that came to the end of its measuring: that was judged.

    Raises:
        MacfleetError: E0953 a sealed run of them is damaged.
    """
    folder = f"nodes/{node.name}"
    # Another client measures otherwise, and may have written other records.
    key = EvidenceKey({**key.parts, "macfleet": __version__})
    runs: list[str] = []
    unlike: set[str] = set()
    files: dict[str, str] = {}
    for run, found in (ports.runs.left(resumes, folder) if resumes else {}).items():
        if MEASURED in found:
            files.clear()
            continue
        told = _key(found.get(BEGUN, ""))
        runs.append(run)
        if told.digest == key.digest:
            files |= found
        else:
            unlike |= {*key.differs_from(told)} or {"what it measured"}
    left = _read(files, bucket, tuple(runs), tuple(sorted(unlike)))
    writer.json(f"{folder}/{BEGUN}", {"schema": 1, "key": dict(key.parts), "resumes": resumes})
    _keep(left, files, folder, writer)
    return left


def _keep(left: Left, files: Mapping[str, str], folder: str, writer: RunWriter) -> None:
    """Write what was left into this run's folder: whoever goes on with this one finds all of it there."""
    for place, take in left.takes.items():
        rows: list[JsonObject] = [*(sample.document() for sample in take.samples), take.document()]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        writer.text(f"{folder}/{place.file('raw')}", text)
        if events := files.get(place.file("events")):
            writer.text(f"{folder}/{place.file('events')}", events)
    for cut in left.cuts:
        place = cut.place
        text = files.get(place.file("raw")) or files.get(place.file("cut"), "")
        writer.text(f"{folder}/{place.file('cut')}", text)
        series = files.get(place.series) or files.get(f"cut-{place.series}", "")
        if series:
            writer.text(f"{folder}/cut-{place.series}", series)
    if left.pilot is not None:
        writer.json(f"{folder}/{PILOT}", left.pilot)
        for name in sorted(filter(_LOOK.fullmatch, files)):
            writer.text(f"{folder}/{name}", files[name])
    for arm, engine in left.engines.items():
        writer.json(f"{folder}/engine-{arm}.json", engine)
    if left.cuts:
        writer.json(f"{folder}/cut.json", [cut.document() for cut in left.cuts])


def _read(files: Mapping[str, str], bucket: str, runs: tuple[str, ...], unlike: tuple[str, ...]) -> Left:
    takes: dict[Place, Take] = {}
    cuts: dict[Place, Cut] = {}
    for name, text in sorted(files.items()):
        if not (match := _RAW.fullmatch(name)):
            continue
        place = Place(match[1], int(match[2]), int(match[3]), int(match[4]))
        rows = _rows(text)
        samples = tuple(Sample(**row) for row in rows if "report" not in row)
        if rows and "report" in rows[-1]:
            takes[place] = _take(samples, rows[-1])
        else:
            cuts[place] = _cut(place, f"{bucket}×{place.concurrency}", samples)
    order = sorted(takes, key=lambda place: place.attempt)
    return Left(
        runs,
        {place: takes[place] for place in order},
        tuple(cut for place, cut in cuts.items() if place not in takes),
        unlike,
        json.loads(files[STORAGE]) if STORAGE in files else None,
        {match[1]: json.loads(files[name]) for name in files if (match := _ENGINE.fullmatch(name))},
        json.loads(files[PILOT]) if PILOT in files else None,
    )


def _rows(text: str) -> list[dict[str, Any]]:
    """Return the whole lines up to the first that is none: what was being written when all ended."""
    found: list[dict[str, Any]] = []
    for line in text.split("\n")[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _take(samples: tuple[Sample, ...], last: Mapping[str, Any]) -> Take:
    engine = last["engine"]
    return Take(
        samples,
        SegmentReport(**last["report"]),
        tuple(last["series"]),
        engine["before"],
        engine["after"],
        engine["foreign"],
        last["up"],
    )


def _cut(place: Place, cell: str, samples: Sequence[Sample]) -> Cut:
    return Cut(
        place,
        cell,
        records=len(samples),
        last=max((sample.index for sample in samples), default=-1),
        began=min((sample.t_send for sample in samples if sample.t_send is not None), default=None),
        ended=max((sample.t_close for sample in samples), default=None),
    )


def _key(text: str) -> EvidenceKey:
    found = json.loads(text)["key"] if text else {}
    return EvidenceKey({str(name): str(value) for name, value in found.items()})
