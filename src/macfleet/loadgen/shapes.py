"""Where an answer differs from OpenAI's shape: what typed clients stumble over though the text came.

The shapes hold what the `openai` package 3.54 models as required, and the values it allows; whatever an
engine adds is its own affair. A difference is noted and fails no gate: engines differ in small things, and
most clients never look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

Shape = Callable[[object, str], Iterator[str]]
"""Yields what is wrong with a value at a place."""


def differences(route: str, body: bytes) -> tuple[str, ...]:
    """Return where a whole answer of `route` differs from its shape; empty for a route without one."""
    shape = next((shape for end, shape in _WHOLE.items() if route.endswith(end)), None)
    document = _document(body)
    return tuple(shape(document, "")) if shape and document is not None else ()


def stream_differences(route: str, events: Sequence[bytes], *, usage: bool) -> tuple[str, ...]:
    """Return where the data of a stream's events, without ``[DONE]``, differ in shape and order; once each.

    Args:
        route: path asked for.
        events: data of each event, as sent.
        usage: whether the request asked for a usage chunk.
    """
    documents = [document for data in events if (document := _document(data)) is not None]
    shape = next((shape for end, shape in _CHUNK.items() if route.endswith(end)), None)
    if shape is None or not documents:
        return ()
    found = [note for document in documents for note in shape(document, "a chunk's ")]
    found += _order(documents, usage=usage)
    return tuple(dict.fromkeys(found))


def model_differences(body: bytes, model: str) -> tuple[str, ...]:
    """Return whether a list of models leaves out the promised one."""
    document = _document(body)
    listed = document.get("data") if document is not None else None
    entries = listed if isinstance(listed, list) else []
    names = [each.get("id") for each in entries if isinstance(each, dict)]
    return () if model in names else (f"the list does not name the promised model {model}",)


def error_differences(body: bytes) -> tuple[str, ...]:
    """Return where the body of a refusal differs from OpenAI's error object."""
    document = _document(body)
    error = document.get("error") if document is not None else None
    if not isinstance(error, dict):
        return ("the error of a refusal is no object",) if error is not None else ()
    return tuple(f"a refusal's {note}" for note in _ERROR(error, "error."))


def _order(documents: Sequence[Mapping[str, object]], *, usage: bool) -> Iterator[str]:
    for name in ("id", "model", "created"):
        if len({json.dumps(document.get(name)) for document in documents}) > 1:
            yield f"{name} changes within one answer"
    first = _choices(documents[0])
    delta = first[0].get("delta") if first else None
    if isinstance(delta, dict) and "role" not in delta:
        yield "the first chunk names no role"
    last = documents[-1]
    if usage and (last.get("choices") != [] or not isinstance(last.get("usage"), dict)):
        yield "the last chunk is not the usage alone, with choices []"


def _choices(document: Mapping[str, object]) -> list[dict[str, object]]:
    choices = document.get("choices")
    return [each for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []


def _document(data: bytes) -> Mapping[str, object] | None:
    try:
        document: object = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _is(*kinds: type) -> Shape:
    def check(value: object, place: str) -> Iterator[str]:
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            yield f"{place} is {_name(value)}, not {' or '.join(_NAMES[kind] for kind in kinds)}"

    return check


def _one_of(*values: object) -> Shape:
    def check(value: object, place: str) -> Iterator[str]:
        if value not in values:
            shown = json.dumps(value)[:40] if isinstance(value, str | None) else _name(value)
            yield f"{place} is {shown}, not {' or '.join(json.dumps(each) for each in values)}"

    return check


def _each(shape: Shape) -> Shape:
    def check(value: object, place: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{place} is {_name(value)}, not a list"
            return
        for each in value:
            yield from shape(each, f"{place}[]")

    return check


def _object(**keys: Shape) -> Shape:
    """An object with these keys; one whose name ends in ``_`` may be missing or null."""

    def check(value: object, place: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{place.rstrip('.') or 'the body'} is {_name(value)}, not an object"
            return
        inside = place if not place or place.endswith((" ", ".")) else f"{place}."
        for key, shape in keys.items():
            name, optional = key.rstrip("_"), key.endswith("_")
            if name not in value and not optional:
                yield f"{inside}{name} is missing"
            elif not (optional and value.get(name) is None):
                yield from shape(value[name], f"{inside}{name}")

    return check


def _name(value: object) -> str:
    return _NAMES.get(type(value), "null")


_NAMES: Mapping[type, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "a truth value",
    list: "a list",
    dict: "an object",
}
_TEXT, _WHOLE_NUMBER = _is(str), _is(int)
_USAGE = _object(prompt_tokens=_WHOLE_NUMBER, completion_tokens=_WHOLE_NUMBER, total_tokens=_WHOLE_NUMBER)
_HEAD: Mapping[str, Shape] = {"id": _TEXT, "created": _WHOLE_NUMBER, "model": _TEXT, "usage_": _USAGE}
_ENDS = ("stop", "length", "tool_calls", "content_filter", "function_call")
_CHAT = _object(
    **_HEAD,
    object=_one_of("chat.completion"),
    choices=_each(
        _object(
            index=_WHOLE_NUMBER,
            finish_reason=_one_of(*_ENDS),
            message=_object(role=_one_of("assistant"), content_=_TEXT, tool_calls_=_is(list)),
        )
    ),
)
_CHAT_CHUNK = _object(
    **_HEAD,
    object=_one_of("chat.completion.chunk"),
    choices=_each(
        _object(
            index=_WHOLE_NUMBER,
            finish_reason_=_one_of(*_ENDS),
            delta=_object(role_=_TEXT, content_=_TEXT, tool_calls_=_is(list)),
        )
    ),
)
_TEXT_END = _one_of("stop", "length", "content_filter")
_COMPLETION = _object(
    **_HEAD,
    object=_one_of("text_completion"),
    choices=_each(_object(index=_WHOLE_NUMBER, finish_reason=_TEXT_END, text=_TEXT)),
)
# Streamed completions come in the same type; until the last one they have no reason to finish.
_COMPLETION_CHUNK = _object(
    **_HEAD,
    object=_one_of("text_completion"),
    choices=_each(_object(index=_WHOLE_NUMBER, finish_reason_=_TEXT_END, text=_TEXT)),
)
_EMBEDDINGS = _object(
    object=_one_of("list"),
    model=_TEXT,
    data=_each(_object(index=_WHOLE_NUMBER, object=_one_of("embedding"), embedding=_each(_is(float, int)))),
    usage=_object(prompt_tokens=_WHOLE_NUMBER, total_tokens=_WHOLE_NUMBER),
)
_MODELS = _object(
    object=_one_of("list"),
    data=_each(
        _object(id=_TEXT, created=_WHOLE_NUMBER, object=_one_of("model"), owned_by=_TEXT),
    ),
)
_ERROR = _object(message=_TEXT, type=_TEXT, param_=_TEXT, code_=_is(str, int))
# The longer ending first: both end in /completions.
_WHOLE: Mapping[str, Shape] = {
    "/chat/completions": _CHAT,
    "/completions": _COMPLETION,
    "/embeddings": _EMBEDDINGS,
    "/models": _MODELS,
}
_CHUNK: Mapping[str, Shape] = {"/chat/completions": _CHAT_CHUNK, "/completions": _COMPLETION_CHUNK}
