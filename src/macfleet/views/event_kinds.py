"""Every event that ``--output ndjson`` and ``json`` may tell, with what it holds: schema 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from macfleet.model.event import Event
from macfleet.model.json import Json
from macfleet.model.resource import Action
from macfleet.model.stage import Outcome
from macfleet.rollout.result import NodeOutcome

SCHEMA = 1
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of an event: a JSON type, what it means, whether it may be missing, which values there are."""

    name: str
    type: str
    meaning: str
    optional: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event."""

    name: str
    meaning: str
    fields: tuple[Field, ...] = ()


_ADDRESS = Field("address", "string", "the resource's address")
_ACTION = Field("action", "string", "what is done to it", values=tuple(map(str, Action)))
_CHANGE = (_ADDRESS, _ACTION)
_SECONDS = Field("seconds", "number", "from its first step to this moment", optional=True)
_ARM, _CELL = Field("arm", "string", "arm under test"), Field("cell", "string", "such as short×4")
_WORDS = Field("words", "string", "how it stands, for people")

KINDS: tuple[Kind, ...] = (
    Kind(
        "node.planned",
        "The node answered, and what it needs is known.",
        (
            Field("pending", "integer", "changes it needs"),
            Field("current", "boolean", "nothing is to be done or measured"),
        ),
    ),
    Kind(
        "node.unplanned",
        "The node did not answer, or what it needs cannot be said.",
        (Field("problem", "string", "why"),),
    ),
    Kind(
        "node.settled",
        "The stage ended for the node.",
        (Field("outcome", "string", "how", values=tuple(map(str, NodeOutcome))),),
    ),
    Kind("change.started", "The first step of a change runs.", _CHANGE),
    Kind(
        "change.followed",
        "A change that an earlier connection began goes on and is followed.",
        (*_CHANGE, Field("job", "string", "id of the detached job", optional=True)),
    ),
    Kind(
        "change.output",
        "A step that takes long printed something.",
        (*_CHANGE, Field("text", "string", "what it printed last", optional=True)),
    ),
    Kind(
        "change.noted",
        "Steps succeeded and have something to say, such as a mirror that was passed over.",
        (*_CHANGE, Field("text", "string", "what it is")),
    ),
    Kind("change.done", "Every step of a change succeeded.", (*_CHANGE, _SECONDS)),
    Kind("change.failed", "A step of a change failed.", (*_CHANGE, _SECONDS)),
    Kind(
        "part.brought",
        "A part of an image arrived on the node, proven.",
        (
            Field("part", "string", "its name, made of its SHA-256"),
            Field("bytes", "integer", "its size"),
            Field("sent", "integer", "bytes that left the controller for it now"),
            Field("from", "string", "node of the site it was fetched from", optional=True),
        ),
    ),
    Kind(
        "relay.failed",
        "A node did not get a part from its site, or a relay could not be removed.",
        (_WORDS,),
    ),
    Kind(
        "gate.judged",
        "A gate said whether the stage may go on for the node.",
        (
            Field("gate", "string", "the gate"),
            Field("outcome", "string", "what it said", values=tuple(map(str, Outcome))),
        ),
    ),
    Kind(
        "network.mode",
        "Stage 4 begins to measure a network mode.",
        (Field("mode", "string", "the mode", values=("bridge", "host")),),
    ),
    Kind(
        "loadtest.segment",
        "Stage 5 begins a segment.",
        (
            _ARM,
            _CELL,
            Field("segment", "integer", "its number within its arm, from 0"),
            Field("seconds", "number", "how long it takes, warm-up included"),
            Field("of", "integer", "segments of the node in all"),
        ),
    ),
    Kind(
        "loadtest.resumed",
        "Stage 5 goes on with what a run that broke off left of the node.",
        (
            Field("segments", "integer", "finished segments that are used"),
            Field("cut", "integer", "segments that were cut: kept, never judged, measured again"),
        ),
    ),
    Kind(
        "loadtest.omitted",
        "Stage 5 cannot measure an arm that belongs to the comparison.",
        (_ARM, Field("why", "string", "what keeps it from being measured")),
    ),
    Kind(
        "loadtest.pilot",
        "Stage 5 begins a pilot, from which the judged cells are sized; it is never judged itself.",
        (_ARM, _CELL, Field("seconds", "number", "how long it takes, warm-up included")),
    ),
    Kind(
        "loadtest.sized",
        "The pilot fixed how many segments a judged cell has in every arm.",
        (
            _CELL,
            Field("planned", "integer", "segments without a pilot"),
            Field("segments", "integer", "segments it is given"),
            Field("arm", "string", "the slowest arm, which decided; empty where no arm answered"),
            Field(
                "expected", "integer", "requests that arm yields at least in them, 0 where no arm answered"
            ),
            Field("minutes_lacking", "number", "minutes an arm that even the longest cell lacks"),
        ),
    ),
    Kind("loadtest.late", "The client was late, so the segment is measured again.", (_ARM, _CELL)),
    Kind(
        "lock.waiting",
        "Another run holds the node; this one waits for it.",
        (
            Field("holder", "string", "who holds it, for people"),
            Field("run", "string", "the run that holds it"),
            Field("lapses", "number", "seconds until its lock lapses"),
            Field("left", "number", "seconds this run still waits"),
        ),
    ),
    Kind("drain.admitted", "The guard lets the node leave; it is cordoned.", (_WORDS,)),
    Kind("drain.forced", "The guard said no and was overridden.", (_WORDS,)),
    Kind(
        "drain.queued",
        "Another controller moves the node; this one waits.",
        (Field("holder", "string", "who does"), Field("lease", "string", "name of the lease")),
    ),
    Kind("drain.turn", "The pool could not spare the node yet; it gets another turn.", (_WORDS,)),
    Kind(
        "drain.waiting",
        "Requests are still in flight.",
        (_WORDS, Field("left", "number", "seconds until the deadline")),
    ),
    Kind("drain.quiet", "Nothing is in flight any more.", (_WORDS, Field("polls", "integer", "zero polls"))),
    Kind("drain.reclosed", "A port of a node that drains was open again and is closed.", (_WORDS,)),
    Kind("drain.failed", "The drain ended without the node being drained.", (_WORDS,)),
    Kind("drain.cancelled", "The deadline came; what is in flight is cut.", (_WORDS,)),
    Kind(
        "drain.stopped",
        "The containers are proven gone.",
        (Field("containers", "integer", "how many there were"),),
    ),
    Kind("run.stopping", "Somebody asked the run to stop: nothing new begins.", (_WORDS,)),
    Kind("run.abandoned", "Somebody asked once more: the controller ended on the spot.", (_WORDS,)),
    Kind("undrain.started", "The engine is started and warms up behind the closed port."),
)


def document(event: Event, at: str) -> dict[str, Json]:
    """Return an event as one line's JSON object; `at` is an RFC 3339 time."""
    return {"schema": SCHEMA, "kind": event.kind, "node": event.node, "at": at, **event.data}


def faults(found: Mapping[str, Json]) -> Iterator[str]:
    """Yield what of a line's object is not as its kind says."""
    kind = next((kind for kind in KINDS if kind.name == found.get("kind")), None)
    if kind is None:
        yield f"there is no kind {found.get('kind')!r}"
        return
    fields = {field.name: field for field in kind.fields}
    for name in sorted(set(found) - set(fields) - {"schema", "kind", "node", "at"}):
        yield f"{kind.name} has no {name}"
    for field in kind.fields:
        if field.name not in found and not field.optional:
            yield f"{kind.name} lacks {field.name}"
        elif field.name in found and not _fits(found[field.name], field):
            yield f"{kind.name}: {field.name} is {found[field.name]!r}"


def _fits(value: Json, field: Field) -> bool:
    right = isinstance(value, _TYPES[field.type]) and isinstance(value, bool) == (field.type == "boolean")
    return right and (not field.values or value in field.values)


def json_schema() -> dict[str, Json]:
    """Return the JSON Schema of one line."""
    return {"title": "macfleet event", "description": "One line of NDJSON.", "oneOf": [*map(_schema, KINDS)]}


def _schema(kind: Kind) -> dict[str, Json]:
    common: dict[str, Json] = {
        "schema": {"const": SCHEMA},
        "kind": {"const": kind.name},
        "node": {"type": "string"},
        "at": {"type": "string", "format": "date-time"},
    }
    own: dict[str, Json] = {
        field.name: {
            "type": field.type,
            "description": field.meaning,
            **({"enum": list(field.values)} if field.values else {}),
        }
        for field in kind.fields
    }
    needed = [*common, *(field.name for field in kind.fields if not field.optional)]
    return {
        "title": kind.name,
        "description": kind.meaning,
        "type": "object",
        "properties": {**common, **own},
        "required": needed,
        "additionalProperties": False,
    }
