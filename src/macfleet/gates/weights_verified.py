"""The weights are the bytes ``weights.lock`` names, and the container sees the same."""

from __future__ import annotations

from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.resource import Probe, ProbeOutput, State
from macfleet.model.shell import words
from macfleet.model.stage import Evidence, EvidenceRequest, ProbeRequest, Verdict

_NAME = "weights.sha256"
# A fast Mac hashes about 1 GB/s and more; half of that leaves room for a cold disk.
_BYTES_PER_SECOND = 400e6


class WeightsVerified:
    """Checksums every locked file on the node; reading them also warms the page cache."""

    kind = "weights_verified"
    before = False

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """The sha256 of every file, computed on the node."""
        paths = words(file.path for file in context.weights)
        limit = 30 + sum(file.size for file in context.weights) / _BYTES_PER_SECOND
        script = f"shasum -a 256 {paths}" if context.weights else ":"
        return (ProbeRequest(_NAME, Probe(script, _parse, limit)),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold with every file that is missing or differs."""
        if not context.weights:
            return held(
                self.kind, context, ("weights.lock names no file",), "Write weights.lock: path, size, sha256."
            )
        if _NAME not in evidence:
            return missing(self.kind, context, _NAME)
        found = record(evidence[_NAME])
        reasons = tuple(
            f"{file.path} is {str(found.get(file.path, 'missing'))[:12]}, not {file.sha256[:12]}"
            for file in context.weights
            if found.get(file.path) != file.sha256
        )
        if reasons:
            return held(self.kind, context, reasons, "Place the weights again.", (_NAME,))
        return passed(self.kind, context, f"{len(context.weights)} files", evidence=(_NAME,))


def _parse(output: ProbeOutput) -> State:
    pairs = (line.partition("  ") for line in output.stdout.splitlines() if "  " in line)
    return {path: digest for digest, _, path in pairs}
