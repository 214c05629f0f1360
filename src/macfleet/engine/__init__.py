"""Observe, plan, apply, verify: against ports, one exec for probes and one per dependency level."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from macfleet.engine.observe import Observation, ask, observe
from macfleet.engine.plan import dependency_levels, depends_on, make_plan

if TYPE_CHECKING:
    from macfleet.engine.apply import Applied, apply_plan
    from macfleet.engine.redial import Redial

__all__ = [
    "Applied",
    "Observation",
    "Redial",
    "apply_plan",
    "ask",
    "dependency_levels",
    "depends_on",
    "make_plan",
    "observe",
]

_ACTING = {"Applied": "apply", "apply_plan": "apply", "Redial": "redial"}


def __getattr__(name: str) -> object:
    """Import what acts when it is named first: whoever only looks needs none of it."""
    if name not in _ACTING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ACTING[name]}"), name)
