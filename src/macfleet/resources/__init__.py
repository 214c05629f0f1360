"""Every resource type: pure values that give probe text, compare states and give steps."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from macfleet.resources.params import Params, Surroundings

if TYPE_CHECKING:
    from macfleet.resources.archive import ArchiveParams
    from macfleet.resources.compose_file import ComposeService, parse_compose
    from macfleet.resources.compose_project import ComposeProjectParams
    from macfleet.resources.docker_image import DockerImageParams, local_name, name_on
    from macfleet.resources.file import FileParams

    KINDS: tuple[type[Params], ...]

PLACES: Mapping[str, tuple[str, str]] = {
    "directory": ("directory", "DirectoryParams"),
    "file": ("file", "FileParams"),
    "download": ("download", "DownloadParams"),
    "archive": ("archive", "ArchiveParams"),
    "link": ("link", "LinkParams"),
    "line_in_file": ("line_in_file", "LineInFileParams"),
    "block": ("block", "BlockParams"),
    "homebrew_tap": ("homebrew_tap", "HomebrewTapParams"),
    "brew_formula": ("brew_formula", "BrewFormulaParams"),
    "colima_instance": ("colima_params", "ColimaInstanceParams"),
    "docker_image": ("docker_image", "DockerImageParams"),
    "compose_project": ("compose_project", "ComposeProjectParams"),
    "launchd_service": ("launchd_params", "LaunchdServiceParams"),
    "launchd_timer": ("launchd_timer", "LaunchdTimerParams"),
    "power_setting": ("power_setting", "PowerSettingParams"),
    "sysctl_limit": ("sysctl_limit", "SysctlLimitParams"),
    "mount_check": ("mount_check", "MountCheckParams"),
    "log_rotation": ("log_rotation", "LogRotationParams"),
    "cron": ("cron", "CronParams"),
    "firewall_rule": ("firewall_rule", "FirewallRuleParams"),
    "user_default": ("user_default", "UserDefaultParams"),
    "command": ("command", "CommandParams"),
}
"""Every kind with the module and the class of its parameters, so that a playbook imports what it names."""

__all__ = [
    "KINDS",
    "PLACES",
    "ArchiveParams",
    "ComposeProjectParams",
    "ComposeService",
    "DockerImageParams",
    "FileParams",
    "Params",
    "Surroundings",
    "local_name",
    "name_on",
    "params_of",
    "parse_compose",
]

_OTHERS = {
    "ComposeService": "compose_file",
    "local_name": "docker_image",
    "name_on": "docker_image",
    "parse_compose": "compose_file",
    **{name: module for module, name in PLACES.values()},
}


def params_of(kind: str) -> type[Params]:
    """Return the parameters of a kind; each knows how to build its resource (raises KeyError)."""
    module, name = PLACES[kind]
    found = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    if not (isinstance(found, type) and issubclass(found, Params)):
        raise TypeError(f"{module}.{name} is not the parameters of a kind")
    return found


def __getattr__(name: str) -> object:
    """Import what is named first; `KINDS` is the parameters of every kind."""
    if name == "KINDS":
        return tuple(params_of(kind) for kind in PLACES)
    if name not in _OTHERS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_OTHERS[name]}"), name)
