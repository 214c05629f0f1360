"""Every bind source and every weights file is there before a container could be started without it."""

from __future__ import annotations

from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.resource import Probe, ProbeOutput, State
from macfleet.model.shell import words
from macfleet.model.stage import Evidence, EvidenceRequest, ProbeRequest, Verdict

_NAME = "layout.sources"


class BindSources:
    """Holds on a weights folder or file that is missing: an engine would bind an empty directory."""

    kind = "bind_sources"
    before = True

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """Kind of each source: directory, file with size, or missing."""
        weights = [file.path for file in context.weights]
        folder = [context.node.roots.weights] if context.node.roots else []
        script = f"""for path in {words([*folder, *weights])}; do
  if [ -d "$path" ]; then echo "directory $path"
  elif [ -f "$path" ]; then echo "$(/usr/bin/stat -f %z "$path") $path"
  else echo "missing $path"; fi
done"""
        return (ProbeRequest(_NAME, Probe(script if folder or weights else ":", _parse, 10)),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold with every missing or wrongly sized source."""
        if _NAME not in evidence:
            return missing(self.kind, context, _NAME)
        found = record(evidence[_NAME])
        reasons = []
        if context.node.roots is None:
            reasons.append("the inventory declares no roots")
        elif found.get(context.node.roots.weights) != "directory":
            reasons.append(f"bind source {context.node.roots.weights} is missing")
        for file in context.weights:
            size = found.get(file.path, "missing")
            if size != str(file.size):
                reasons.append(
                    f"{file.path} is missing"
                    if size == "missing"
                    else f"{file.path} has {size} bytes, not {file.size}"
                )
        if reasons:
            mend = (
                f"Put the weights there, or mend roots: macfleet inventory explain {context.node.name}.roots"
            )
            return held(self.kind, context, tuple(reasons), mend, (_NAME,))
        return passed(self.kind, context, evidence=(_NAME,))


def _parse(output: ProbeOutput) -> State:
    pairs = (line.partition(" ") for line in output.stdout.splitlines() if line.strip())
    return {path: kind for kind, _, path in pairs}
