"""The node × stage matrix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from macfleet.model.json import Json
from macfleet.model.quantity import iso
from macfleet.model.stage import StageName, StageRecord
from macfleet.rollout.desired import ORDER, number
from macfleet.views.symbols import OUTCOMES
from macfleet.views.table import lines as table

Records = Mapping[tuple[str, StageName], StageRecord | None]
_DAY = 86400.0
_STALE = 7 * _DAY


def lines(names: Sequence[str], records: Records, now: float, width: int = 0) -> Iterator[str]:
    """Yield one row a node: each stage's outcome and the age of its evidence; `width` 0 folds nothing."""
    heads = ("node", *(f"{number(stage)} {stage}" for stage in ORDER))
    rows = [(name, *(_cell(records.get((name, stage)), now) for stage in ORDER)) for name in names]
    yield from table(heads, rows, width, gap="  ")


def document(names: Sequence[str], records: Records, now: float) -> dict[str, Json]:
    """Return the matrix as JSON with absolute times."""
    rows: list[Json] = []
    for name in names:
        for stage in ORDER:
            record = records.get((name, stage))
            rows.append(
                {
                    "node": name,
                    "stage": str(stage),
                    "outcome": str(record.outcome) if record else None,
                    "finished": iso(record.finished) if record else None,
                    "stale": bool(record and now - record.finished > _STALE),
                    "run": record.run if record else None,
                }
            )
    return {"schema": 1, "kind": "rollout-status", "rows": rows}


def _cell(record: StageRecord | None, now: float) -> str:
    if record is None:
        return "· none"
    age = now - record.finished
    stale = " stale" if age > _STALE else ""
    return f"{OUTCOMES[record.outcome]} {_age(age)}{stale}"


def _age(seconds: float) -> str:
    for size, unit in ((_DAY, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "now"
