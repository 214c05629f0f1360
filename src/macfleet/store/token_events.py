"""When each token came: raw lines of a run turned into Parquet, read back, and dropped when they are old."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from macfleet.model.json import JsonObject
from macfleet.model.run import TokenLines
from macfleet.store.sealing import sync

if TYPE_CHECKING:
    import polars as pl

EVENTS = "events.parquet"
DROPPED = "dropped.json"
"""The mark of a sealed run whose token events retention removed; added later, like a signature."""


def is_token_events(path: str) -> bool:
    """Whether a file of a run holds nothing but token events, which no figure comes from."""
    name = PurePosixPath(path).name
    return name == EVENTS or (name.startswith("events-") and name.endswith(".ndjson"))


def write_token_events(parts: Sequence[tuple[TokenLines, Path]], target: Path) -> bool:
    """Turn raw lines into Parquet, a stretch at a time: what is held in memory does not grow with them.

    One row an event: ``cell``, ``segment``, ``index`` of the request, ``event`` from 0, ``gap_ns`` since the
    request's event before (of its first one since the segment's window began, negative in the warm-up) and
    ``tokens``. Differences instead of times take a tenth less room.

    Returns:
        Whether there were any; nothing is written without.
    """
    import polars as pl  # noqa: PLC0415  (slow to import; most commands never look at raw figures)

    held = [(part, file) for part, file in parts if file.is_file() and file.stat().st_size]
    if not held:
        return False
    whole = pl.Int64()
    schema: dict[str, pl.DataType] = {
        "index": whole,
        "first": whole,
        "gaps": pl.List(whole),
        "each": pl.Int32(),
    }
    frames = [_rows(pl.scan_ndjson(file, schema=schema), part) for part, file in held]
    pl.concat(frames).sink_parquet(target, compression="zstd")
    return True


def with_times(events: pl.LazyFrame) -> pl.LazyFrame:
    """Return token events with a column ``t_ns``: nanoseconds since the segment's window began."""
    import polars as pl  # noqa: PLC0415  (slow to import; most commands never look at raw figures)

    request = ("cell", "segment", "index")
    return events.with_columns(pl.col("gap_ns").cum_sum().over(request, order_by="event").alias("t_ns"))


def dropped_of(folder: Path) -> Mapping[str, str]:
    """Return when each dropped file of a run was dropped, RFC 3339, by its path; empty for none."""
    try:
        document = json.loads((folder / DROPPED).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    files = document.get("files") if isinstance(document, Mapping) else None
    return {str(path): str(when) for path, when in files.items()} if isinstance(files, Mapping) else {}


def drop_token_events(folder: Path, droppable: Iterable[str], when: str) -> None:
    """Remove the droppable files of a sealed run that are there, and say in the run when that was.

    The mark is written first: a removal that was cut short leaves files that are still whole, not missing
    ones nobody accounts for. Manifest and signature stay as they are.

    Raises:
        OSError: the folder cannot be written to.
    """
    there = [path for path in droppable if (folder / path).is_file()]
    mark: JsonObject = {"schema": 1, "files": {**dropped_of(folder), **dict.fromkeys(there, when)}}
    with _writable(folder):
        aside = folder / f"{DROPPED}.new"
        aside.write_text(json.dumps(mark, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        sync(aside)
        aside.chmod(0o444)
        aside.rename(folder / DROPPED)
        sync(folder)
    for path in there:
        with _writable((folder / path).parent):
            (folder / path).unlink()


def _rows(lines: pl.LazyFrame, part: TokenLines) -> pl.LazyFrame:
    import polars as pl  # noqa: PLC0415  (slow to import; most commands never look at raw figures)

    count = pl.col("gaps").list.len() + 1
    return lines.select(
        pl.lit(part.cell).alias("cell"),
        pl.lit(part.segment, dtype=pl.Int32).alias("segment"),
        pl.col("index"),
        pl.int_ranges(0, count, dtype=pl.Int32).alias("event"),
        pl.concat_list(pl.col("first") - part.start, pl.col("gaps")).alias("gap_ns"),
        pl.col("each").alias("tokens"),
    ).explode("event", "gap_ns")


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """Let a read-only folder be written to for a moment."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    folder.chmod(0o755)
    try:
        yield
    finally:
        folder.chmod(mode)
