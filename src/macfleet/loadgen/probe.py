"""Asks an endpoint for what its contract promises: routes, streaming, usage, errors as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass

from macfleet.loadgen.answer import Answer
from macfleet.loadgen.ask import ask
from macfleet.loadgen.document import read_object, refused
from macfleet.loadgen.exchange import EVENT_STREAM, Streamed
from macfleet.loadgen.shapes import (
    differences,
    error_differences,
    model_differences,
    stream_differences,
)
from macfleet.loadgen.target import Target
from macfleet.loadgen.wire import Ending
from macfleet.model.json import Json
from macfleet.model.load import EndpointReport, RouteCheck

TOKENS = 4
_PROMPT = "Say one word."


@dataclass(frozen=True, slots=True)
class PromisedRoute:
    """A route of the contract and the features it must have."""

    path: str
    stream: bool
    usage: bool


@dataclass(frozen=True, slots=True)
class ProbeJob:
    """What to ask; `timeout` is seconds to connect and seconds without a byte."""

    arm: str
    base_url: str
    routes: tuple[PromisedRoute, ...]
    model: str
    timeout: float


def probe(job: ProbeJob) -> EndpointReport:
    """Ask every promised route, one after the other, and report what each one keeps."""
    return asyncio.run(_probe(job))


def read_job(text: str | bytes) -> ProbeJob:
    """Return the job a JSON document describes (raises MacfleetError, E0901)."""
    document = read_object(text)
    routes = document.get("routes")
    arm, url, model = (document.get(name) for name in ("arm", "base_url", "model"))
    timeout = document.get("timeout", 30.0)
    if not (isinstance(arm, str) and isinstance(url, str) and isinstance(model, str)):
        raise refused("arm, base_url and model must be text")
    if not isinstance(timeout, int | float) or timeout <= 0:
        raise refused("timeout must be a positive number of seconds")
    if not isinstance(routes, list) or not all(isinstance(route, dict) for route in routes):
        raise refused("routes must be a list of objects")
    try:
        Target.parse(url)
    except ValueError as error:
        raise refused(str(error)) from error
    return ProbeJob(arm, url, tuple(_route(route) for route in routes), model, float(timeout))


def _route(route: Mapping[str, Json]) -> PromisedRoute:
    path = route.get("path")
    if not isinstance(path, str) or not path.startswith("/"):
        raise refused(f"route {path!r} is not a path")
    return PromisedRoute(path, route.get("stream") is True, route.get("usage") is True)


async def _probe(job: ProbeJob) -> EndpointReport:
    target = Target.parse(job.base_url)
    checks = [await _check(target, route, job) for route in job.routes]
    return EndpointReport(job.arm, job.base_url, tuple(checks))


async def _check(target: Target, route: PromisedRoute, job: ProbeJob) -> RouteCheck:
    body = _body(route, job.model)
    told = _Kept()
    try:
        if body is None:
            answer = await ask(target, "GET", route.path, patience=job.timeout)
            problems = _listing_problems(answer)
        else:
            encoded = json.dumps(body).encode()
            streams = route.stream
            answer = await ask(
                target, "POST", route.path, encoded, patience=job.timeout, streams=streams, answer=told
            )
            problems = _stream_problems(answer, route) if streams else _whole_problems(answer, route)
        notes = () if problems else _notes(answer, route, job.model, told.events)
        if body is not None:
            refused_badly, refusal_notes = await _refusal(target, route, job)
            problems += refused_badly
            notes += refusal_notes
    except TimeoutError:
        return RouteCheck(route.path, route.stream, 0, (f"no connection within {job.timeout:g} s",))
    except OSError as error:
        return RouteCheck(route.path, route.stream, 0, (f"no connection: {error}",))
    return RouteCheck(route.path, route.stream, answer.exchange.status, tuple(problems), notes)


class _Kept(Answer):
    """An answer that keeps the data of its events, to look at their shape afterwards."""

    __slots__ = ("events",)

    def __init__(self) -> None:
        super().__init__()
        self.events: list[bytes] = []

    def event(self, name: bytes, data: bytes, stamp: int) -> None:
        """Take one event, and keep all but the end."""
        if data and data != b"[DONE]" and not self.done:
            self.events.append(data)
        super().event(name, data, stamp)


def _notes(answer: Streamed, route: PromisedRoute, model: str, events: list[bytes]) -> tuple[str, ...]:
    if events:
        return stream_differences(route.path, events, usage=route.usage)
    notes = differences(route.path, answer.body())
    return notes + (model_differences(answer.body(), model) if route.path.endswith("/models") else ())


def _body(route: PromisedRoute, model: str) -> dict[str, Json] | None:
    """Return the smallest request the route understands, or None for a route that is read."""
    if route.path.endswith("/chat/completions"):
        messages: Json = [{"role": "user", "content": _PROMPT}]
        return {"model": model, "messages": messages, "max_tokens": TOKENS, **_streaming(route)}
    if route.path.endswith("/completions"):
        return {"model": model, "prompt": _PROMPT, "max_tokens": TOKENS, **_streaming(route)}
    if route.path.endswith("/embeddings"):
        return {"model": model, "input": _PROMPT}
    return None


def _streaming(route: PromisedRoute) -> dict[str, Json]:
    if not route.stream:
        return {}
    options: dict[str, Json] = {"stream_options": {"include_usage": True}} if route.usage else {}
    return {"stream": True, **options}


def _wire_problems(answer: Streamed) -> list[str]:
    exchange = answer.exchange
    if exchange.ending is not Ending.COMPLETE and not answer.answer.done:
        return [f"the answer ended early: {exchange.detail or exchange.ending}"]
    if exchange.status != 200:
        return [f"status {exchange.status} instead of 200: {answer.excerpt()}".rstrip(": ")]
    return []


def _listing_problems(answer: Streamed) -> list[str]:
    problems = _wire_problems(answer)
    if problems:
        return problems
    document = _object(answer.body())
    if document is None:
        return ["the body is not a JSON object"]
    return [] if isinstance(document.get("data"), list) else ["the body has no list under data"]


def _whole_problems(answer: Streamed, route: PromisedRoute) -> list[str]:
    problems = _wire_problems(answer)
    if problems:
        return problems
    document = _object(answer.body())
    if document is None:
        return ["the body is not a JSON object"]
    key = "data" if route.path.endswith("/embeddings") else "choices"
    listed = document.get(key)
    if not isinstance(listed, list) or not listed:
        problems.append(f"the body has no list under {key}")
    elif key == "choices" and answer.answer.first_gen is None:
        problems.append("no text was generated")
    if route.usage and not isinstance(document.get("usage"), dict):
        problems.append("the body has no usage")
    return problems


def _stream_problems(answer: Streamed, route: PromisedRoute) -> list[str]:
    problems = _wire_problems(answer)
    if problems:
        return problems
    if answer.exchange.content_type != EVENT_STREAM:
        return [f"content type {answer.exchange.content_type or 'missing'} instead of {EVENT_STREAM}"]
    told = answer.answer
    if told.error is not None:
        problems.append(f"an error inside a 200: {told.error}")
    if told.malformed is not None:
        problems.append(f"an event could not be read: {told.malformed}")
    if told.first_gen is None:
        problems.append("no text was generated")
    if not told.finished:
        problems.append("no choice gave a finish reason")
    if not told.done:
        problems.append("the stream did not end with [DONE]")
    if route.usage and told.completion_tokens is None:
        problems.append("no usage came although stream_options asked for it")
    return [*problems, *told.disorder]


async def _refusal(target: Target, route: PromisedRoute, job: ProbeJob) -> tuple[list[str], tuple[str, ...]]:
    """A request without a prompt must be refused with a JSON error, or clients cannot say what is wrong."""
    bad = json.dumps({"model": job.model}).encode()
    answer = await ask(target, "POST", route.path, bad, patience=job.timeout)
    document = _object(answer.body())
    if answer.exchange.status < 400:
        return [f"a request without a prompt was answered with status {answer.exchange.status}"], ()
    if document is None or "error" not in document:
        return ["a request without a prompt is not refused with a JSON body that has an error"], ()
    status = answer.exchange.status
    notes = () if status < 500 else (f"a request without a prompt is answered with status {status}",)
    return [], notes + error_differences(answer.body())


def _object(body: bytes) -> Mapping[str, object] | None:
    try:
        document: object = json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
