"""`macfleet compare --anew`: every figure from the requests themselves, instead of what summaries say."""

from __future__ import annotations

from dataclasses import replace

from macfleet.executors.threads import ThreadExecutor
from macfleet.model.run import CellSummary
from macfleet.reports.loaded import LoadedRun, Selection
from macfleet.store import FolderRuns
from macfleet.store.records import differing, summarise_records

READERS = 2
"""Runs held at once: one is read while another is reduced. A thread more would only cost memory."""


def reduced_anew(store: FolderRuns, chosen: Selection) -> Selection:
    """Replace what summaries say by what the requests give; say where there are none, or they disagree.

    Raises:
        MacfleetError: E0950, E0952 to E0954 a run cannot be read; E1007 its reports are none.
    """
    by_id = {run.manifest.id: run for run in chosen.runs}
    answers = ThreadExecutor(READERS).each(tuple(by_id), lambda run_id: _reduced(store, by_id[run_id]))
    runs, notes = [], list(chosen.notes)
    for answer in answers.values():
        if isinstance(answer, Exception):
            raise answer
        run, said = answer
        runs.append(run)
        notes += said
    return Selection(tuple(runs), tuple(notes))


def _reduced(store: FolderRuns, run: LoadedRun) -> tuple[LoadedRun, list[str]]:
    """Return a run with the figures its requests give, and what there is to say about them."""
    cells: list[CellSummary] = []
    notes = []
    for node in run.measured:
        accelerators = {cell.arm: cell.accelerator for cell in run.of(node)}
        found = summarise_records(store, run.manifest.id, node, accelerators)
        if found is None:
            notes.append(f"{run.manifest.id} keeps no requests of {node}: its summary is shown")
        elif other := differing(run.of(node), found):
            notes.append(
                f"{run.manifest.id}: the requests of {node} give other figures than its summary says: "
                f"{', '.join(other)}"
            )
        cells += run.of(node) if found is None else found
    return replace(run, cells=tuple(cells)), notes
