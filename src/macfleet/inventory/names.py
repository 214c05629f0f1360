"""What nodes, groups and variables may be called; node names become parts of paths and commands."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address

from macfleet.model.node import Ownership

EVERYTHING = "all"
UNGROUPED = "ungrouped"
STATES = ("active", "cordoned", "drained", "draining")
IMPLICIT_KINDS = ("ownership", "chip", "pool", "provider", "site", "environment")
ALWAYS_KNOWN = frozenset({EVERYTHING, UNGROUPED, *STATES, *(str(kind) for kind in Ownership)})

NODE_RULE = (
    "A node name is 1 to 63 letters, digits, dots, hyphens and underscores, begins and ends with a letter "
    "or digit and holds no two dots in a row, or it is an IPv6 address: it becomes part of file names and "
    "commands."
)
GROUP_RULE = "A group name is letters, digits, dots, hyphens and underscores and begins with a letter or _."
VARIABLE_RULE = "A variable name is letters, digits and underscores and begins with a letter or _."

_NODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_GROUP = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_node_name(name: str) -> bool:
    """Whether `NODE_RULE` holds."""
    return (_NODE.fullmatch(name) is not None and ".." not in name) or is_ipv6(name)


def is_ipv6(name: str) -> bool:
    """Whether the name is an IPv6 address without a zone."""
    try:
        IPv6Address(name)
    except AddressValueError:
        return False
    return "%" not in name


def is_group_name(name: str) -> bool:
    """Whether `GROUP_RULE` holds."""
    return _GROUP.fullmatch(name) is not None


def is_variable_name(name: str) -> bool:
    """Whether `VARIABLE_RULE` holds."""
    return _VARIABLE.fullmatch(name) is not None
