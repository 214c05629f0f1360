"""What changed between two promises, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeGuard

from macfleet.model.json import Json, JsonObject


def promise_changes(old: JsonObject, new: JsonObject) -> tuple[str, ...]:
    """Return one sentence per value of `contract.yml` that differs, sorted by key, version aside."""
    before = {key: value for key, value in old.items() if key != "version"}
    after = {key: value for key, value in new.items() if key != "version"}
    return tuple(_walk(before, after, ""))


def fixture_changes(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Return one sentence per fixture added, removed or edited, from sha256 by path."""
    words = []
    for path in sorted(set(old) | set(new)):
        if path not in new:
            words.append(f"fixture {path} was removed")
        elif path not in old:
            words.append(f"fixture {path} was added")
        elif old[path] != new[path]:
            words.append(f"fixture {path} was edited ({old[path][:8]}… → {new[path][:8]}…)")
    return tuple(words)


def _walk(old: Json, new: Json, path: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new)):
            inner = f"{path}.{key}" if path else key
            if key not in new:
                yield f"{inner} was removed (was {_show(old[key])})"
            elif key not in old:
                yield f"{inner} was added: {_show(new[key])}"
            else:
                yield from _walk(old[key], new[key], inner)
    elif _is_rows(old) and _is_rows(new) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _walk(before, after, f"{path}[{index}]")
    elif _show(old) != _show(new):
        yield f"{path}: {_show(old)} → {_show(new)}"


def _is_rows(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value)


def _show(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
