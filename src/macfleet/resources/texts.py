"""Which text a change leads to: files that are written whole, blocks of files, and fields that are text."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.model.resource import Action, Change, Put, Resource
from macfleet.resources.block import Block
from macfleet.resources.compose_project import ComposeProject
from macfleet.resources.cron import Cron
from macfleet.resources.file import File
from macfleet.resources.launchd_service import LaunchdService
from macfleet.resources.line_in_file import LineInFile
from macfleet.resources.link import Link
from macfleet.resources.log_rotation import LogRotation
from macfleet.resources.sysctl_limit import SysctlLimit
from macfleet.resources.user_default import UserDefault

_FIELDS: tuple[tuple[type, tuple[str, ...]], ...] = (
    (Cron, ("line",)),
    (LineInFile, ("line",)),
    (Link, ("target",)),
    (SysctlLimit, ("hard", "value")),
    (UserDefault, ("type", "value")),
)
"""Fields of a change that are the text itself."""


@dataclass(frozen=True, slots=True)
class WantedText:
    """A text of a file as it is wanted.

    Attributes:
        content: of the file, or of what stands between the markers; empty where it goes.
        between: lines that stand around it in the file; None for the whole file.
        hidden: whether it is a secret, or not for everybody to read.
    """

    path: str
    content: bytes
    become: bool = False
    between: tuple[str, str] | None = None
    hidden: bool = False


def wanted_texts(resource: Resource, change: Change) -> tuple[WantedText, ...]:
    """Return the texts of files that a change writes or removes; none for a kind without any."""
    if isinstance(resource, File):
        secret = not isinstance(resource.content, bytes)
        content = resource.content if isinstance(resource.content, bytes) else b""
        hidden = secret or _private(resource.mode)
        return (WantedText(resource.path, content, resource.become, hidden=hidden),)
    if isinstance(resource, Block):
        content = f"{resource.block}\n".encode() if resource.block else b""
        return (WantedText(resource.path, content, resource.become, resource.markers),)
    if isinstance(resource, LaunchdService | SysctlLimit):
        gone = change.action is Action.DELETE
        plist = b"" if gone else resource.daemon.plist()
        return (WantedText(resource.daemon.path, plist),)
    if isinstance(resource, LogRotation):
        gone = change.action is Action.DELETE
        return (WantedText(resource.path, b"" if gone else resource.content),)
    if isinstance(resource, ComposeProject):
        puts = (step for step in resource.steps(change) if isinstance(step, Put))
        return tuple(WantedText(put.path, put.content, put.become, hidden=_private(put.mode)) for put in puts)
    return ()


def changed_fields(resource: Resource, change: Change) -> tuple[str, ...]:
    """Return the fields of a change that are text as lines, what goes before what comes."""
    names = next((names for kind, names in _FIELDS if isinstance(resource, kind)), ())
    lines: list[str] = []
    for each in change.fields:
        if each.field in names:
            label = f"{each.field} " if len(names) > 1 else ""
            lines += [f"-{label}{line}" for line in _lines(each.before)]
            lines += [f"+{label}{line}" for line in _lines(each.after)]
    return tuple(lines)


def _private(mode: str) -> bool:
    return not int(mode, 8) & 0o004


def _lines(value: object) -> list[str]:
    return [] if value is None else str(value).splitlines()
