"""Bridge and host mode were both measured on the node and the choice is locked."""

from __future__ import annotations

from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.stage import Evidence, EvidenceRequest, MeasureRequest, Verdict

_NAME = "network"
_MODES = ("bridge", "host")
_VANTAGES = ("in-container", "node-loopback", "client")


class NetworkProven:
    """Passes when every mode was measured from every vantage and answered without errors."""

    kind = "network_proven"
    before = False

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """The network proof of the node."""
        _ = context
        return (MeasureRequest(_NAME, "network"),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold on a path that was not measured or failed requests."""
        if _NAME not in evidence:
            return missing(self.kind, context, _NAME)
        proof = record(evidence[_NAME])
        paths = record(proof.get("paths"))
        reasons = []
        for mode in _MODES:
            for vantage in _VANTAGES:
                path = record(paths.get(f"{mode}/{vantage}/keep-alive"))
                if not path.get("n"):
                    reasons.append(
                        f"{mode} from {vantage} was not measured: {path.get('problem', 'no requests')}"
                    )
                elif path.get("errors"):
                    reasons.append(f"{mode} from {vantage}: {path['errors']} of {path['n']} requests failed")
        if reasons:
            mend = f"Look at the proof: macfleet rollout stage4 -l {context.node.name} --again"
            return held(self.kind, context, tuple(reasons), mend, (_NAME,))
        shown = f"{proof.get('mode')}: {proof.get('why')}"
        return passed(self.kind, context, shown, evidence=(_NAME,))
