"""The keys of files and what lies beside them, read once a command."""

from __future__ import annotations

import base64
import contextlib
import copy
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import paramiko
from paramiko.pkey import PublicBlob, UnknownKeyType

from macfleet.model.secret import Secret
from macfleet.model.shell import quote

Passphrase = Callable[[str], Secret | None]


class KeyUnusable(Exception):
    """A private key cannot be used; says why."""


class PrivateKeys:
    """The private keys of a command; threads may share it.

    Decrypting one takes as long as whoever chose its passphrase wanted, so it is done once, not once a node.

    Args:
        passphrase: knows a key's passphrase by its path, or returns None.
    """

    def __init__(self, passphrase: Passphrase) -> None:
        self._passphrase = passphrase
        self._known: dict[str, paramiko.PKey | str] = {}
        self._halves: dict[str, bytes | None] = {}
        self._certificates: dict[str, PublicBlob | None] = {}
        self._lock = threading.Lock()

    def load(self, path: str) -> paramiko.PKey:
        """Return a key that the caller may put a certificate into (raises KeyUnusable)."""
        with self._lock:
            if path not in self._known:
                self._known[path] = self._read(path)
            found = self._known[path]
        if isinstance(found, str):
            raise KeyUnusable(found)
        return copy.copy(found)

    def public_half(self, path: str) -> bytes | None:
        """Return the public key beside a private one, or in the file itself when it is a public key."""
        with self._lock:
            if path not in self._halves:
                self._halves[path] = _public_half(path)
            return self._halves[path]

    def certificate(self, path: str) -> PublicBlob | None:
        """Return the certificate of a file; None when it cannot be read: ssh passes over it, too."""
        with self._lock:
            if path not in self._certificates:
                self._certificates[path] = _certificate(path)
            return self._certificates[path]

    def _read(self, path: str) -> paramiko.PKey | str:
        """Return the key, or why there is none."""
        try:
            key = paramiko.PKey.from_path(path)
        except TypeError:  # cryptography's answer where a passphrase is wanted
            return _exposed(path) or self._unlocked(path)
        except FileNotFoundError:
            return "there is no such file"
        except OSError as error:
            return error.strerror or str(error)
        except (ValueError, UnknownKeyType, paramiko.SSHException):
            return "it is no private key"
        return _exposed(path) or key

    def _unlocked(self, path: str) -> paramiko.PKey | str:
        phrase = self._passphrase(path)
        if phrase is None:
            return "it needs a passphrase and the agent does not hold it"
        try:
            # paramiko says str; cryptography, below it, takes bytes only.
            return paramiko.PKey.from_path(path, phrase.reveal().encode())  # type: ignore[arg-type]
        except (TypeError, ValueError, OSError, paramiko.SSHException):
            return "the passphrase is not the right one"


def _exposed(path: str) -> str:
    """Return why a key is not taken that others on this machine may read; ssh takes none such either."""
    found = Path(path).stat()
    if found.st_uid != os.getuid() or not found.st_mode & 0o077:
        return ""
    return f"others may read it (mode {stat.S_IMODE(found.st_mode):04o}); chmod 600 {quote(path)}"


def _public_half(path: str) -> bytes | None:
    try:
        text = Path(f"{path.removesuffix('.pub')}.pub").read_text(encoding="utf-8")
        return base64.b64decode(text.split()[1])
    except (OSError, ValueError, IndexError):
        return None


def _certificate(path: str) -> PublicBlob | None:
    with contextlib.suppress(OSError, ValueError):
        return PublicBlob.from_string(Path(path).read_text(encoding="utf-8"))
    return None
