"""The contract is frozen and is the one that goes into every artifact."""

from __future__ import annotations

from macfleet.gates.gate import GateContext, held, passed
from macfleet.model.stage import Evidence, EvidenceRequest, Verdict


class ContractFrozen:
    """Passes with the canonical hash; an edited fixture was refused before any node was asked."""

    kind = "contract_frozen"
    before = True

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """Nothing of the node."""
        _ = context
        return ()

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Name the hash."""
        _ = evidence
        if not context.contract.hash:
            return held(self.kind, context, ("the contract has no hash",), "Type: macfleet contract freeze")
        contract = context.contract
        return passed(self.kind, context, f"{contract.name} v{contract.version} {contract.hash[:12]}")
