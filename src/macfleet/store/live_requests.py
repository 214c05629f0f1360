"""Requests of a load test that goes on: raw lines read as they are added, without holding them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from macfleet.model.json import JsonObject
from macfleet.rollout.loadtest_watch import NodeProgress, SoFar, standing
from macfleet.store.folder_runs import FolderRuns
from macfleet.store.folder_writer import PARTIAL


class LiveRequests:
    """What the raw lines of a run say so far; each is read once, and what was read stays known.

    A run being written is in ``<id>.partial``; its raw lines go when a node's are turned into Parquet.
    """

    def __init__(self, runs: FolderRuns, run_id: str) -> None:
        self._folder = runs.root / f"{FolderRuns.checked(run_id)}{PARTIAL}"
        self._sealed = runs.root / run_id
        self._files: dict[tuple[str, str], _Followed] = {}

    def told(self, progress: NodeProgress) -> NodeProgress:
        """Return a node's progress with its figures up to now, and why cells cannot be judged."""
        cells: dict[tuple[str, str], SoFar] = {}
        for each in standing(progress.begun):
            known = self._files.setdefault(
                (progress.node, each.file), _Followed(self._folder / "nodes" / progress.node / each.file)
            )
            known.read()
            place = each.arm, each.cell
            cells[place] = cells.get(place, SoFar()).joined(known.found)
        return replace(progress, cells=cells, invalid=self._invalid(progress.node))

    def _invalid(self, node: str) -> tuple[str, ...]:
        """Return why cells of a node cannot be judged, as its summary says where it was written."""
        for folder in (self._folder, self._sealed):
            try:
                document = json.loads((folder / "nodes" / node / "summary.json").read_bytes())
            except (OSError, ValueError):
                continue
            cells = document.get("cells") if isinstance(document, dict) else None
            return tuple(
                f"{cell.get('arm')} {cell.get('cell')}: {why}"
                for cell in (cells if isinstance(cells, Sequence) else ())
                if isinstance(cell, dict)
                for why in cell.get("invalid") or ()
            )
        return ()


class _Followed:
    """One file of raw lines that grows."""

    def __init__(self, path: Path) -> None:
        self.found = SoFar()
        self._path = path
        self._at = 0

    def read(self) -> None:
        """Take in the whole lines that were added; a file that is gone added none."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                added = file.read()
        except FileNotFoundError:
            return
        whole = added.rfind(b"\n") + 1
        self._at += whole
        for line in added[:whole].splitlines():
            row = _row(line)
            if row is not None and "report" not in row:
                self.found.take(row)


def _row(line: bytes) -> JsonObject | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
