"""Old runs leave the disk: whole, or not at all."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from macfleet.rollout.run_prune import KeptRun
from macfleet.store.folder_writer import PARTIAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from macfleet.store.folder_runs import FolderRuns

# Begins with a dot and ends as an unfinished run does, so that nothing takes it for a run of either kind.
_GOING = f".pruned{PARTIAL}"
_STAMP = re.compile(r"\d{8}T\d{6}Z")


def runs_on_disk(runs: FolderRuns) -> Iterator[KeptRun]:
    """Yield every run of a store, sealed or not (raises MacfleetError E0952: a manifest is damaged)."""
    for run_id in runs.ids():
        manifest, folder = runs.manifest(run_id), runs.folder(run_id)
        ended = dt.datetime.fromisoformat(manifest.finished).timestamp()
        there = [folder / path for path in manifest.droppable if (folder / path).is_file()]
        events = sum(path.stat().st_size for path in there)
        yield KeptRun(run_id, ended, _size(folder), events=events)
    for run_id in runs.unfinished():
        folder = runs.root / f"{run_id}{PARTIAL}"
        yield KeptRun(run_id, _begun(run_id, folder), _size(folder), finished=False)


def remove_runs(runs: FolderRuns, gone: list[KeptRun]) -> None:
    """Remove runs; one whose removal was cut short is no run any more, and goes with the next.

    Raises:
        OSError: a folder cannot be moved or removed.
    """
    for run in gone:
        name = run.id if run.finished else f"{run.id}{PARTIAL}"
        (runs.root / name).rename(runs.root / f".{run.id}{_GOING}")
    for left in runs.root.glob(f".*{_GOING}"):
        _drop(left)


def _drop(folder: Path) -> None:
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        path.chmod(0o755)
    shutil.rmtree(folder)


def _begun(run_id: str, folder: Path) -> float:
    """Return when a run began: its id says so, else its folder."""
    if found := _STAMP.match(run_id):
        with suppress(ValueError):
            return dt.datetime.strptime(found[0], "%Y%m%dT%H%M%S%z").timestamp()
    return folder.stat().st_mtime


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
