"""An id in words: what is said under it, why, what to do, and how a command ends with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from macfleet.model.json import Json
from macfleet.views.flow import fold


@dataclass(frozen=True, slots=True)
class Explained:
    """One id.

    Attributes:
        sort: ``error``, ``warning``, ``gate`` or ``threshold``.
        says: sentences that may be said under it; a value put in stands as ``<name>``.
        exit_codes: how a command ends; empty when it never ends one.
    """

    id: str
    sort: str
    says: tuple[str, ...]
    whys: tuple[str, ...] = ()
    mends: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = ()


def lines(found: Explained, width: int) -> Iterator[str]:
    """Yield the id with its sort, then each part that there is; `width` 0 folds nothing."""
    yield f"{found.id} ({found.sort})"
    for title, sentences in (("Says", found.says), ("Why", found.whys), ("What to do", found.mends)):
        if sentences:
            yield f"{title}:"
            for sentence in sentences:
                for line in sentence.splitlines():
                    yield from fold(f"  {line}", width, indent="    ")
    if found.exit_codes:
        yield f"Exit code: {' or '.join(map(str, found.exit_codes))}"


def document(found: Explained) -> dict[str, Json]:
    """Return it as JSON, schema 1."""
    return {
        "schema": 1,
        "kind": "explain",
        "id": found.id,
        "sort": found.sort,
        "says": list(found.says),
        "why": list(found.whys),
        "mend": list(found.mends),
        "exit_codes": list(found.exit_codes),
    }
