"""The promised routes answer, streaming included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from macfleet.gates.gate import GateContext, held, missing, not_applicable, passed, record
from macfleet.model.stage import EndpointRequest, Evidence, EvidenceRequest, Verdict


@dataclass(frozen=True, slots=True)
class RoutesAnswer:
    """Probes one arm's endpoint from the node's loopback."""

    arm: str
    kind: str = "routes_answer"
    before: bool = False

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """An endpoint report of the arm, when the node declares it."""
        return (EndpointRequest(self._name, self.arm),) if self._declared(context) else ()

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold with every broken promise."""
        if not self._declared(context):
            return not_applicable(self.kind, context, f"the node declares no {self.arm} arm")
        if self._name not in evidence:
            return missing(self.kind, context, self._name)
        report = record(evidence[self._name])
        reasons = _told(report.get("routes"), "problems")
        if reasons or not report.get("keeps_promise"):
            shown = reasons or (f"{report.get('base_url')} gave no report",)
            mend = f"Look at the engine's log: macfleet exec -l {context.node.name} -- tail -n 40 …"
            return held(self.kind, context, shown, mend, (self._name,))
        where = f"{self.arm}: {report.get('base_url')}"
        notes = _told(report.get("routes"), "notes")
        return passed(self.kind, context, where, *notes, evidence=(self._name,))

    @property
    def _name(self) -> str:
        return f"endpoint.{self.arm}"

    def _declared(self, context: GateContext) -> bool:
        return self.arm in {str(arm) for arm in context.node.arms}


def _told(routes: object, key: str) -> tuple[str, ...]:
    found: list[str] = []
    for route in routes if isinstance(routes, Sequence) else ():
        row = record(route)
        stream = " streamed" if row.get("stream") else ""
        listed = row.get(key)
        texts = listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ()
        found += [f"{row.get('route')}{stream}: {text}" for text in texts]
    return tuple(found)
