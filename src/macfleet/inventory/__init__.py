"""Inventory: parse, merge, select; Ansible's layouts, stricter."""

from macfleet.inventory.explain import Branch, explain, graph
from macfleet.inventory.fleet import Contender, Group, Inventory
from macfleet.inventory.listing import Scripts
from macfleet.inventory.load import load_inventory
from macfleet.inventory.select import select
from macfleet.inventory.settings import (
    DeclaredVariable,
    FleetSettings,
    Retention,
    SettingOrigin,
    load_settings,
    trace_settings,
    with_environment,
)

__all__ = [
    "Branch",
    "Contender",
    "DeclaredVariable",
    "FleetSettings",
    "Group",
    "Inventory",
    "Retention",
    "Scripts",
    "SettingOrigin",
    "explain",
    "graph",
    "load_inventory",
    "load_settings",
    "select",
    "trace_settings",
    "with_environment",
]
