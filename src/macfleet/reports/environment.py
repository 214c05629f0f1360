"""What differs around the figures, the image first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from macfleet.model.json import Json, JsonObject
from macfleet.reports.comparison import Difference, Environment

_ORDER = ("images", "versions", "accelerators", "blas", "network", "runtime", "mounts", "weights", "client")
"""Facts that can move a figure, in the order they are asked about; others describe the node itself."""

_SPOKEN = {"images": "image", "versions": "", "accelerators": "accelerator", "blas": "BLAS"}
_IDENTITY = frozenset({"node", "stage", "contract", "images", "compiled", "mounts", "network", "arms"})
"""Parts of an evidence key that stand beside versions and are no versions."""


def compare_environments(facts: Mapping[str, JsonObject]) -> Environment:
    """Compare the facts of several columns, given by title."""
    flat = {title: dict(_flatten(_relevant(each))) for title, each in facts.items()}
    names = sorted({name for each in flat.values() for name in each}, key=_rank)
    differences, same = [], {}
    for name in names:
        values = {title: each.get(name, "–") for title, each in flat.items()}
        if len(set(values.values())) > 1:
            differences.append(Difference(_spoken(name), values))
        elif len(values) > 0:
            same[_spoken(name)] = next(iter(values.values()))
    return Environment(_images(flat), tuple(differences), same)


def short(value: str) -> str:
    """Return a digest cut to the length people compare by eye; other text as it is."""
    head, _, rest = value.partition("sha256:")
    return f"{head}sha256:{rest[:12]}…" if len(rest) > 12 and not head.strip("@") else value


def _images(flat: Mapping[str, Mapping[str, str]]) -> str:
    pictures = [
        {name: value for name, value in each.items() if name.startswith("images.")} for each in flat.values()
    ]
    if not pictures or not all(pictures):
        return "not recorded"
    return "identical" if all(each == pictures[0] for each in pictures) else "changed"


def _relevant(facts: JsonObject) -> dict[str, Json]:
    found = {name: value for name, value in facts.items() if name in _ORDER}
    versions = found.get("versions")
    if isinstance(versions, Mapping):
        found["versions"] = {name: value for name, value in versions.items() if name not in _IDENTITY}
    return found


def _flatten(value: Json, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _flatten(value[key], f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list | tuple):
        yield prefix, ", ".join(sorted(_text(item) for item in value))
    elif value is not None:
        yield prefix, _text(value)


def _text(value: Json) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_text(item)}" for key, item in sorted(value.items()))
    return str(value)


def _rank(name: str) -> tuple[int, str]:
    return _ORDER.index(name.partition(".")[0]), name


def _spoken(name: str) -> str:
    head, _, rest = name.partition(".")
    singular = _SPOKEN.get(head, head)
    return f"{singular} {rest}".strip() if rest else singular or head
