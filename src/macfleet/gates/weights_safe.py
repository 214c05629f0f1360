"""No engine opens a model file whose header lies, and none is a pickle under another name."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from macfleet.facts.model_bytes import BEYOND
from macfleet.gates.gate import GateContext, held, missing, passed, record
from macfleet.model.resource import Probe
from macfleet.model.stage import Evidence, EvidenceRequest, ProbeRequest, Verdict

_NAME = "weights.headers"
# A cold disk and a slow line; what is brought is bounded by the gate's limit.
_SECONDS = 120.0


class WeightsSafe:
    """Reads the header of every locked weights file before an engine does; names prove nothing.

    Args:
        limit: bytes brought from the node at most, all files together.
        allow: patterns of paths that may be Python, or bytes that are no model and no text.
    """

    kind = "weights_safe"
    # Judged in the stage before a container starts, once per evidence: as a gate beforehand it would
    # bring megabytes of headers with every plan.
    before = False

    def __init__(self, limit: int, allow: Sequence[str]) -> None:
        self._limit = limit
        self._allow = tuple(allow)

    def needs(self, context: GateContext) -> tuple[EvidenceRequest, ...]:
        """What each file is by its first bytes: sound GGUF or safetensors, text, or why not."""
        # Most commands build the gate and never look into a model.
        from macfleet.facts.model_probe import header_script, parse_headers  # noqa: PLC0415

        script = header_script([file.path for file in context.weights], self._limit)
        probe = Probe(script, lambda output: parse_headers(output, self._limit), _SECONDS)
        return (ProbeRequest(_NAME, probe),)

    def judge(self, context: GateContext, evidence: Evidence) -> Verdict:
        """Hold with every file that is a pickle, lies about itself, or is not known."""
        if not context.weights:
            return held(
                self.kind, context, ("weights.lock names no file",), "Write weights.lock: path, size, sha256."
            )
        if _NAME not in evidence:
            return missing(self.kind, context, _NAME)
        found = record(evidence[_NAME])
        judged = {file.path: str(found.get(file.path, "missing")) for file in context.weights}
        reasons = tuple(
            f"{path}: {fault}" for path, said in judged.items() if (fault := self._fault(path, said))
        )
        if reasons:
            look = f"macfleet model verify --node -l {context.node.name}"
            mend = f"Take the model as GGUF or safetensors from whoever made it; look with: {look}"
            if any(BEYOND in reason for reason in reasons):
                mend = f"Raise limit: of {self.kind} in the playbook (40MiB at most); look with: {look}"
            return held(self.kind, context, reasons, mend, (_NAME,))
        kinds = sorted({said.removeprefix("ok ") for said in judged.values()} - {"text"})
        return passed(self.kind, context, "; ".join(kinds) or "no model file", evidence=(_NAME,))

    def _fault(self, path: str, said: str) -> str:
        """Return why a file is refused; empty when it is not."""
        from macfleet.facts.model_files import UNKNOWN  # noqa: PLC0415 (see `needs`)

        allowed = any(fnmatchcase(path, pattern) for pattern in self._allow)
        outcome, _, why = said.partition(" ")
        if outcome == "refused":
            return "" if allowed and why == UNKNOWN else why or "refused"
        if outcome != "ok":
            return f"it is {outcome}"
        if path.endswith(".py") and not allowed:
            return "it is Python, which an engine may be told to run"
        return ""
