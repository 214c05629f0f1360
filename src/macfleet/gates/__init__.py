"""Gates: one file a type, written out here; a gate says what evidence it needs and judges it purely."""

from macfleet.gates.build import KINDS, build_gate
from macfleet.gates.gate import Gate, GateContext, WeightsFile

__all__ = ["KINDS", "Gate", "GateContext", "WeightsFile", "build_gate"]
