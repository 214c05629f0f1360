"""Passphrases of private keys, asked for once a command."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable

from macfleet.model.secret import Secret

_PATIENCE = 120.0


class Passphrases:
    """Knows the passphrase of a private key by its path; threads may share it.

    A secret that is given is taken for every key; else the program of ``SSH_ASKPASS`` is asked, as ssh
    does without a terminal, once a key.

    Args:
        given: reads the secret when it is first needed; None when nobody gives one.
    """

    def __init__(self, given: Callable[[], Secret] | None = None) -> None:
        self._given = given
        self._known: dict[str, Secret | None] = {}
        self._lock = threading.Lock()

    def __call__(self, path: str) -> Secret | None:
        """Return the passphrase; None when nobody knows it. Raises MacfleetError of a bad reference."""
        with self._lock:
            if path not in self._known:
                self._known[path] = self._given() if self._given is not None else _asked(path)
            return self._known[path]


def _asked(path: str) -> Secret | None:
    program = os.environ.get("SSH_ASKPASS", "")
    if not program:
        return None
    try:
        done = subprocess.run(
            [program, f"Enter passphrase for key '{path}': "],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = done.stdout.decode("utf-8", "replace").removesuffix("\n").removesuffix("\r")
    return Secret(text) if done.returncode == 0 and text else None
