"""What roles and playbooks say that the inventory and the connections need before anything else is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from macfleet.documents import Document, parse_yaml
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.json import Json
from macfleet.model.ports import Files

ROLES = "roles"


def role_names(files: Files) -> tuple[str, ...]:
    """Return the names of all roles of the fleet folder, sorted."""
    return tuple(sorted({path.split("/")[1] for path in files.list(ROLES) if path.count("/") > 1}))


def declared_variables(files: Files, roles: Iterable[str] | None = None) -> Mapping[str, Json]:
    """Return the defaults of the roles (of all unless some are named) by variable name.

    Raises:
        MacfleetError: a defaults file cannot be read as a mapping.
    """
    declared: dict[str, Json] = {}
    for name in roles if roles is not None else role_names(files):
        document = mapping_in(files, defaults_file(name))
        if document is not None and isinstance(document.value, Mapping):
            for variable, default in document.value.items():
                declared.setdefault(variable, default)
    return declared


def hosts_of(files: Files, path: str) -> str:
    """Return what a playbook says at ``hosts:``; empty where only loading it can say what is wrong."""
    try:
        listed = parse_yaml(files.read(path), path).value
    except (MacfleetError, OSError):
        return ""
    play = listed[0] if isinstance(listed, list) and len(listed) == 1 else None
    hosts = play.get("hosts") if isinstance(play, Mapping) else None
    return hosts if isinstance(hosts, str) else ""


def defaults_file(role: str) -> str:
    """Return the path of a role's defaults."""
    return f"{ROLES}/{role}/defaults/main.yml"


def mapping_in(files: Files, path: str) -> Document | None:
    """Return a file of variables; None when it is missing or empty (raises MacfleetError E0305)."""
    document = optional(files, path)
    if document is None or document.value is None:
        return None
    if not isinstance(document.value, Mapping):
        kind = path.split("/")[-2]
        raise MacfleetError(document.diagnose("E0305", f"{kind} must be a mapping", on_value=True))
    return document


def optional(files: Files, path: str) -> Document | None:
    """Return a YAML file, None when it is missing (raises MacfleetError when it cannot be parsed)."""
    return parse_yaml(files.read(path), path) if files.exists(path) else None
