"""The one rule that makes each request's bytes its own, so that prefix caches cannot flatter an arm.

The load client travels to nodes by itself, so this module uses the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from macfleet.model.json import Json

_GROUPS = 8


def nonce(contract_hash: str, cell: str, segment: int, index: int) -> str:
    """Return the nonce of one request: eight groups of three decimal digits.

    It depends on nothing but its arguments, so both arms and every node send the same bytes, in every
    week. `segment` counts within its arm, `index` within its segment. Decimal digits in groups of three
    take the same number of tokens whatever they are in tokenizers that split numbers by digit or by
    three digits; letters would not.
    """
    material = json.dumps([contract_hash, cell, segment, index], separators=(",", ":"))
    number = int.from_bytes(hashlib.sha256(material.encode()).digest()) % 1000**_GROUPS
    digits = f"{number:0{3 * _GROUPS}d}"
    return " ".join(digits[at : at + 3] for at in range(0, len(digits), 3))


def with_nonce(body: Mapping[str, Json], nonce: str) -> bytes:
    """Return the exact bytes to send: the body as compact ASCII JSON, the nonce at the prompt's very start.

    The prompt is the first message's content, else ``prompt``, else ``input``; in a list of prompts each
    one gets the nonce. The order of keys is kept: templates may render it.

    Raises:
        ValueError: the body has no text the nonce could be put before, or a number JSON cannot carry.
    """
    mark = f"{nonce}\n"
    if "messages" in body:
        marked: Json = _in_messages(body["messages"], mark)
        key = "messages"
    else:
        key = next((name for name in ("prompt", "input") if name in body), "")
        if not key:
            raise ValueError("the body has neither messages nor prompt nor input")
        marked = _in_prompt(body[key], mark, key)
    sent = {name: marked if name == key else value for name, value in body.items()}
    return json.dumps(sent, separators=(",", ":"), allow_nan=False).encode("ascii")


def _in_messages(messages: Json, mark: str) -> Json:
    if not _is_list(messages) or not messages or not isinstance(first := messages[0], Mapping):
        raise ValueError("messages is not a list that starts with a message")
    content = first.get("content")
    if isinstance(content, str):
        marked: Json = mark + content
    elif _is_list(content) and content:
        marked = _in_parts(content, mark)
    else:
        raise ValueError("the first message has no text content")
    return [{**first, "content": marked}, *messages[1:]]


def _in_parts(parts: Sequence[Json], mark: str) -> Sequence[Json]:
    first = parts[0]
    if isinstance(first, Mapping) and isinstance(text := first.get("text"), str):
        return [{**first, "text": mark + text}, *parts[1:]]
    return [{"type": "text", "text": mark}, *parts]


def _in_prompt(prompt: Json, mark: str, key: str) -> Json:
    if isinstance(prompt, str):
        return mark + prompt
    if _is_list(prompt) and prompt and all(isinstance(item, str) for item in prompt):
        return [f"{mark}{item}" for item in prompt]
    raise ValueError(f"{key} is neither text nor a list of texts")


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, list | tuple)
