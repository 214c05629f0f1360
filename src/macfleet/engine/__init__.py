"""Observe, plan, apply, verify: against ports, one exec for probes and one per dependency level."""

from macfleet.engine.apply import Applied, apply_plan
from macfleet.engine.observe import Observation, ask, observe
from macfleet.engine.plan import dependency_levels, depends_on, make_plan
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
