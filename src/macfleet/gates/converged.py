"""The node is as the stage wants it."""

from __future__ import annotations

from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.stage import Evidence, EvidenceRequest, PlanRequest, Verdict


class Converged:
    """Passes when the plan was empty after applying."""

    kind = "converged"
    before = False

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """The plan as it was left."""
        _ = context
        return (PlanRequest("plan"),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold while changes are left."""
        if "plan" not in evidence:
            return missing(self.kind, context, "plan")
        left = record(evidence["plan"]).get("left")
        if left != 0:
            count = left if isinstance(left, int) else "an unknown number of"
            reasons = (f"{count} resources still differ",)
            return held(self.kind, context, reasons, "Run the stage again.", ("plan",))
        return passed(self.kind, context, evidence=("plan",))
