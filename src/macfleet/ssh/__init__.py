"""SSH: one kept connection a node, one script an exec, host keys nobody trusts blindly."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from macfleet.ssh.lean import import_paramiko

if TYPE_CHECKING:
    from macfleet.ssh.askpass import Passphrases
    from macfleet.ssh.connection import Connection
    from macfleet.ssh.enrolment import Enrolment, EnrolmentOutcome, enrol
    from macfleet.ssh.parcels import file_parcel
    from macfleet.ssh.pool import SshTransports

__all__ = [
    "Connection",
    "Enrolment",
    "EnrolmentOutcome",
    "Passphrases",
    "SshTransports",
    "enrol",
    "file_parcel",
]

_PLACES = {
    "Connection": "connection",
    "Enrolment": "enrolment",
    "EnrolmentOutcome": "enrolment",
    "Passphrases": "askpass",
    "SshTransports": "pool",
    "enrol": "enrolment",
    "file_parcel": "parcels",
}

_WITHOUT_PARAMIKO = ("askpass", "pool")


def __getattr__(name: str) -> object:
    """Import what is named first: most commands enrol nobody and send no files."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _PLACES[name] not in _WITHOUT_PARAMIKO:
        import_paramiko()
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
