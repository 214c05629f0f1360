"""``keyring:SERVICE/USER``: the keychain of the operator's system, through the library `keyring`."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import Protocol, cast

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.shell import quote


class Keyring(Protocol):
    """What is used of the library: its module fits."""

    def get_password(self, service_name: str, username: str) -> str | None:
        """Return the password, None when there is none."""


def system_keyring() -> Keyring:
    """Return the library (raises MacfleetError E1205 when it is not installed)."""
    try:
        return cast("Keyring", importlib.import_module("keyring"))
    except ImportError as error:
        raise MacfleetError(
            Diagnostic(
                "E1205",
                "the library keyring is not installed",
                why="keyring:SERVICE/USER reads the system's keychain through it.",
                mend="pip install 'macfleet[keyring]'",
            )
        ) from error


def password_of(rest: str, keyring: Callable[[], Keyring], deadline: float) -> str:
    """Return the password of ``SERVICE/USER``; the service may hold slashes, the user none.

    Raises:
        MacfleetError: E1201 one of both is missing; E1202 the keychain does not have it; E1204 it is locked,
            absent, or asked a person and got no answer in `deadline` seconds; E1205 the library is missing.
    """
    service, _, user = rest.rpartition("/")
    if not service or not user:
        raise MacfleetError(
            Diagnostic("E1201", f"keyring:{rest} names no user", mend="Write keyring:SERVICE/USER.")
        )
    found, trouble = _asked(keyring(), service, user, deadline)
    if trouble:
        raise MacfleetError(
            Diagnostic(
                "E1204",
                f"the keychain gave no answer for {service}/{user}: {trouble}",
                why="It may be locked, or there is none in this session.",
                mend="Unlock it, or use another kind of reference.",
            )
        )
    if found is None:
        raise MacfleetError(
            Diagnostic(
                "E1202",
                f"the keychain has no password for {service}/{user}",
                mend=f"keyring set {quote(service)} {quote(user)}",
            )
        )
    return found


def _asked(keyring: Keyring, service: str, user: str, deadline: float) -> tuple[str | None, str]:
    """Ask in a thread: a keychain that shows a dialogue can block for ever."""
    answers: list[tuple[str | None, str]] = []

    def ask() -> None:
        try:
            answers.append((keyring.get_password(service, user), ""))
        except Exception as error:  # noqa: BLE001  (each backend raises what it likes)
            answers.append((None, f"{type(error).__name__}: {error}"))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(deadline)
    return answers[0] if answers else (None, f"nothing in {deadline:g} s")
