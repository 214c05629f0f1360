"""Events as they are told: each that a run emits is of the schema, and the schema knows each that can be."""

import json
import re
from pathlib import Path

import pytest

from macfleet.model.event import Event
from macfleet.rollout.witness import _TOLD
from macfleet.views.event_kinds import KINDS, document, faults, json_schema

SOURCE = Path(__file__).parents[2] / "src/macfleet"
AT = "2026-11-23T04:12:05.000+00:00"


def test_every_kind_that_the_source_emits_is_in_the_schema():
    texts = [path.read_text() for path in (SOURCE / "rollout").glob("*.py")]
    emitted = set(_TOLD.values())
    for text in texts:
        emitted |= set(re.findall(r'Event\(\s*"([a-z.]+)"', text))
        emitted |= set(re.findall(r'_say\(ports, "([a-z.]+)"', text))
    interrupts = (SOURCE / "cli/interrupts.py").read_text()
    emitted |= set(re.findall(r'_say\(fleet, "([a-z.]+)"', interrupts))
    known = {kind.name for kind in KINDS}
    assert emitted - known == set()
    assert known - emitted == set()  # nothing is promised that never happens


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_accepts_what_it_says_and_refuses_anything_else(kind):
    samples = {"string": "x", "integer": 3, "number": 0.5, "boolean": True}
    data = {f.name: f.values[0] if f.values else samples[f.type] for f in kind.fields}
    assert list(faults(document(Event(kind.name, "mac-01", data), AT))) == []
    assert list(faults(document(Event(kind.name, "mac-01", {**data, "more": 1}), AT)))
    for field in kind.fields:
        less = {name: value for name, value in data.items() if name != field.name}
        assert bool(list(faults(document(Event(kind.name, "mac-01", less), AT)))) is not field.optional
        wrong = {**data, field.name: [1]}
        assert list(faults(document(Event(kind.name, "mac-01", wrong), AT)))


def test_the_schema_has_one_entry_a_kind_and_allows_nothing_else():
    schema = json.loads(json.dumps(json_schema()))
    assert [each["title"] for each in schema["oneOf"]] == [kind.name for kind in KINDS]
    for each in schema["oneOf"]:
        assert each["additionalProperties"] is False
        assert set(each["required"]) <= set(each["properties"])


def test_an_unknown_kind_is_a_fault():
    assert list(faults({"kind": "node.exploded"})) == ["there is no kind 'node.exploded'"]
