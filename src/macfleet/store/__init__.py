"""Runs, journal and evidence on disk; each adapter is imported when it is first named."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macfleet.store.folder_runs import FolderRuns
    from macfleet.store.sql_state import SqlState

__all__ = ["FolderRuns", "SqlState"]

_PLACES = {"FolderRuns": "macfleet.store.folder_runs", "SqlState": "macfleet.store.sql_state"}


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PLACES[name]), name)
