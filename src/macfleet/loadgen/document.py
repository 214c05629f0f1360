"""Reads the JSON documents the client is given; the standard library alone, every problem reported."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping

from macfleet.loadgen.pacer import ARRIVALS
from macfleet.loadgen.target import Target
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import JsonObject
from macfleet.model.load import FixtureBody, LoadSpec
from macfleet.model.processes import MOST_PROCESSES

_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "Mapping[str, str]": (dict,),
    "tuple[FixtureBody, ...]": (list,),
}


def read_spec(text: str | bytes) -> LoadSpec:
    """Return the segment a JSON document describes.

    Raises:
        MacfleetError: with one diagnostic (E0901) for each field that is missing, unknown or wrong.
    """
    document = read_object(text)
    problems = [*_shape(document, LoadSpec)]
    if not problems:
        problems = [*_fixture_problems(document["fixtures"])]
    if problems:
        raise refused(*problems)
    fixtures = document["fixtures"]
    assert isinstance(fixtures, list)  # noqa: S101  (shown by _shape; tells the type checker)
    bodies = tuple(FixtureBody(item["id"], item["body"]) for item in fixtures)
    spec = LoadSpec(**{**document, "fixtures": bodies})  # type: ignore[arg-type]  # kinds checked above
    return checked(spec)


def checked(spec: LoadSpec) -> LoadSpec:
    """Return `spec` when a segment can be run from it (raises MacfleetError, E0901)."""
    problems = []
    try:
        Target.parse(spec.base_url)
    except ValueError as error:
        problems.append(str(error))
    rules = (
        (spec.route.startswith("/"), f"route {spec.route!r} does not start with a slash"),
        (bool(spec.fixtures), "there is no fixture to send"),
        (spec.concurrency >= 1, f"concurrency {spec.concurrency} is not at least 1"),
        (
            1 <= spec.processes <= MOST_PROCESSES,
            f"processes {spec.processes} is not between 1 and {MOST_PROCESSES}",
        ),
        (
            spec.duration > 0 and spec.warmup >= 0 and spec.grace >= 0,
            "duration must be positive, warmup and grace must not be negative",
        ),
        (
            spec.connect_timeout > 0 and spec.stall_timeout > 0,
            "connect_timeout and stall_timeout must be positive",
        ),
        (0 <= spec.rate < math.inf, f"rate {spec.rate!r} is not a number of requests a second"),
        (
            spec.arrivals in ARRIVALS,
            f"arrivals {spec.arrivals!r} is none of {', '.join(ARRIVALS)}",
        ),
    )
    problems += [words for holds, words in rules if not holds]
    if problems:
        raise refused(*problems)
    return spec


def read_object(text: str | bytes) -> JsonObject:
    """Return the JSON object in `text` (raises MacfleetError, E0901)."""
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise refused(f"the job is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise refused("the job is not a JSON object")
    return document


def refused(*problems: str) -> MacfleetError:
    """Return the error that names every problem of a job document."""
    why = "The load client runs only what it was told completely; it fills in no defaults of its own."
    mend = "Update macfleet on the controlling machine; both sides must be of one version."
    return MacfleetError(
        Diagnostic("E0901", f"the load client was given a job it cannot run: {problem}", why, mend)
        for problem in problems
    )


def _shape(document: JsonObject, shape: type[LoadSpec]) -> list[str]:
    fields = {field.name: field for field in dataclasses.fields(shape)}
    problems = [f"unknown field {name!r}" for name in sorted(set(document) - set(fields))]
    for name, field in fields.items():
        kinds = _KINDS[str(field.type)]
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if name not in document:
            if required:
                problems.append(f"field {name!r} is missing")
            continue
        value = document[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            problems.append(f"field {name!r} has the wrong type {type(value).__name__}")
    return problems


def _fixture_problems(fixtures: object) -> list[str]:
    assert isinstance(fixtures, list)  # noqa: S101  (shown by _shape)
    return [
        f"fixture {position} is not an id with a body"
        for position, item in enumerate(fixtures)
        if not (
            isinstance(item, dict) and isinstance(item.get("id"), str) and isinstance(item.get("body"), dict)
        )
    ]
