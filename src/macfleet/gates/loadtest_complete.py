"""Every arm of the node has valid evidence in every cell of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.json import Json
from macfleet.model.stage import Evidence, EvidenceRequest, MeasureRequest, Verdict

_NAME = "loadtest"


class LoadtestComplete:
    """Asks for complete and valid evidence; thresholds are judged when runs are compared."""

    kind = "loadtest_complete"
    before = False

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """The summary of what was measured."""
        _ = context
        return (MeasureRequest(_NAME, "loadtest"),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold on a cell that is missing, empty or INVALID; a short run passes and says so."""
        if _NAME not in evidence:
            return missing(self.kind, context, _NAME)
        report = record(evidence[_NAME])
        cells = report.get("cells")
        rows = [record(cell) for cell in cells] if isinstance(cells, Sequence) else []
        reasons = [reason for row in rows for reason in _faults(row)]
        left_out = record(report.get("not_measured"))
        arms = [str(arm) for arm in context.node.measured_arms if arm not in left_out]
        reasons += _gaps(rows, arms)
        if reasons:
            mend = f"Measure again: macfleet rollout stage5 -l {context.node.name} --again"
            return held(self.kind, context, tuple(reasons), mend, (_NAME,))
        shown = f"{len(rows)} cells"
        if report.get("short"):
            shown += ", short: passes the gate, cannot be signed"
        told = [f"{arm} was not measured: {why}" for arm, why in left_out.items()]
        return passed(self.kind, context, shown, *told, evidence=(_NAME,))


def _gaps(rows: Sequence[Mapping[str, Json]], arms: Sequence[str]) -> list[str]:
    """Name arms without any cell, and cells that another arm has."""
    if not rows and not arms:
        return ["nothing was measured"]
    measured = {(str(row.get("arm")), str(row.get("cell"))) for row in rows}
    known = {arm for arm, _ in measured}
    gaps = [f"arm {arm} was not measured" for arm in arms if arm not in known]
    return gaps + [
        f"{arm} {cell} was not measured"
        for arm in arms
        for cell in sorted({cell for _, cell in measured})
        if arm in known and (arm, cell) not in measured
    ]


def _faults(row: object) -> list[str]:
    cell = record(row if isinstance(row, dict) else {})
    name = f"{cell.get('arm')} {cell.get('cell')}"
    invalid = cell.get("invalid")
    texts = invalid if isinstance(invalid, Sequence) and not isinstance(invalid, str) else ()
    faults = [f"{name} INVALID: {text}" for text in texts]
    if not cell.get("ok"):
        faults.append(f"{name}: no request succeeded")
    return faults
