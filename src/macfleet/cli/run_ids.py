"""Ids of runs as people type them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from macfleet.model.diagnostic import Diagnostic, MacfleetError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from macfleet.store import FolderRuns


def find_runs(store: FolderRuns, given: Iterable[str]) -> list[str]:
    """Return full ids for ids or their beginnings; report every one that fits no run or several."""
    ids = store.ids()
    found: list[str] = []
    problems: list[Diagnostic] = []
    for text in given:
        fitting = [run_id for run_id in ids if run_id == text] or [r for r in ids if r.startswith(text)]
        if len(fitting) == 1:
            found.append(fitting[0])
        elif fitting:
            problems.append(
                Diagnostic("E0958", f"{text} fits {len(fitting)} runs", mend="Type more of the id.")
            )
        else:
            problems.append(Diagnostic("E0950", f"there is no run {text}", mend="macfleet run list"))
    if problems:
        raise MacfleetError(problems)
    return found
