"""Playbooks and roles: parsed with positions, rendered in a sandbox, compiled to resources."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macfleet.playbooks.compile import CompileContext, Compiler, compile_stage
    from macfleet.playbooks.defaults import declared_variables, hosts_of
    from macfleet.playbooks.load import load_stage
    from macfleet.playbooks.play import CompiledStage, Measure, ParsedPlaybook
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
    "hosts_of",
    "load_stage",
]

_PLACES = {
    "WHOLE": "tags",
    "CompileContext": "compile",
    "CompiledStage": "play",
    "Compiler": "compile",
    "Measure": "play",
    "ParsedPlaybook": "play",
    "TagChoice": "tags",
    "choose_tags": "tags",
    "compile_stage": "compile",
    "declared_variables": "defaults",
    "hosts_of": "defaults",
    "load_stage": "load",
}


def __getattr__(name: str) -> object:
    """Import what is named first: connections begin before templates and resource types are there."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
