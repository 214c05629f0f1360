"""A plan somebody looked at and kept: whether a node still needs just that, and what is different by now."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.engine.plan import pending_by_address
from macfleet.engine.refusals import in_words
from macfleet.model.resource import Plan

_SHOWN = 4
"""Differences that are told one by one."""


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What somebody saw of one node.

    Attributes:
        digest: of the plan itself.
        plan: its pending changes as they were shown, which hold no secret.
    """

    digest: str
    plan: Plan

    def fits(self, found: Plan) -> bool:
        """Whether what is needed now is what was seen then."""
        return self.digest == found.digest


def why_other(seen: LookedAt | None, found: Plan) -> str:
    """Return in words how what is needed now differs from what was seen; None means that nobody looked."""
    if seen is None:
        return "The saved plan does not hold it, so nobody looked at what it needs."
    then, now = pending_by_address(seen.plan), pending_by_address(found)
    differing = [
        f"{address}: then {in_words(then.get(address))}, now {in_words(now.get(address))}"
        for address in sorted({*then, *now})
        if in_words(then.get(address)) != in_words(now.get(address))
    ]
    edited = seen.plan.compiled != found.compiled
    parts = ["Its playbook, a role, the inventory or a lock file was edited since."] if edited else []
    if then and not now:
        parts.append("Nothing is left to change.")
    elif differing:
        more = f"; and {len(differing) - _SHOWN} more" if len(differing) > _SHOWN else ""
        parts.append(f"{'; '.join(differing[:_SHOWN])}{more}.")
    return " ".join(parts) or f"It needs {len(now)} changes now, and they are not the ones that were saved."
