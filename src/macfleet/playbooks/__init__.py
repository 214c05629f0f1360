"""Playbooks and roles: parsed with positions, rendered in a sandbox, compiled to resources."""

from macfleet.playbooks.compile import CompileContext, Compiler, compile_stage
from macfleet.playbooks.load import load_stage
from macfleet.playbooks.play import CompiledStage, Measure, ParsedPlaybook
from macfleet.playbooks.roles import declared_variables
from macfleet.playbooks.tags import WHOLE, TagChoice, choose_tags

__all__ = [
    "WHOLE",
    "CompileContext",
    "CompiledStage",
    "Compiler",
    "Measure",
    "ParsedPlaybook",
    "TagChoice",
    "choose_tags",
    "compile_stage",
    "declared_variables",
    "load_stage",
]
