"""Every image was scanned for known vulnerabilities, and what was found keeps scan.yml."""

from __future__ import annotations

from macfleet.gates.gate import GateContext, held, not_applicable, passed
from macfleet.gates.scan_judgement import ScanJudgement
from macfleet.model.stage import Evidence, EvidenceRequest, Verdict

_UNSCANNED = ScanJudgement(("it was not scanned",))


class ImagesScanned:
    """Holds images whose scan breaks scan.yml, is too old or was never made."""

    kind = "images_scanned"
    before = True

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """Nothing of the node: scans are made on the controller and kept there."""
        _ = context
        return ()

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold with every finding that refuses an image; a pass says what was let pass and why."""
        _ = evidence
        if context.scans is None:
            return not_applicable(self.kind, context, "there is no scan.yml, so nothing asks for scans")
        found = {name: context.scans.get(name, _UNSCANNED) for name in sorted(context.images)}
        reasons = [f"{name}: {fault}" for name, each in found.items() for fault in each.refused]
        if reasons:
            mend = "Build the image with what mends them, then: macfleet image pin, macfleet image scan"
            return held(self.kind, context, tuple(reasons), mend)
        accepted = [f"{name}: {words}" for name, each in found.items() for words in each.accepted]
        return passed(self.kind, context, f"{len(found)} images scanned", *accepted)
