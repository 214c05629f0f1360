"""Secret references: where each kind is read, and what is refused as a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock

from macfleet.documents import nearest
from macfleet.model.diagnostic import Diagnostic, MacfleetError, Severity
from macfleet.model.exit_codes import ExitCode
from macfleet.model.secret import Secret
from macfleet.sources.secret_command import output_of
from macfleet.sources.secret_file import text_of
from macfleet.sources.secret_keyring import Keyring, password_of, system_keyring
from macfleet.sources.secret_vault import vaulted

KINDS: Mapping[str, str] = {
    "env": "env:NAME",
    "file": "file:PATH",
    "cmd": "cmd:PROGRAM ARGUMENTS",
    "keyring": "keyring:SERVICE/USER",
    "vault": "vault:FILE#key.path",
}
_LEAST = 4
_COMMON = re.compile(r".{,7}|[a-z]{,10}|[A-Z][a-z]{,9}|[A-Z]{,10}|[0-9]{,10}", re.DOTALL)
"""What is likely to stand in output without being meant: short texts, words, numbers."""


class SecretReferences:
    """The `Secrets` port over environment, files, programs, the system's keyring and Ansible Vault.

    Each reference is read once, at first use; threads that want the same one wait for it.

    Args:
        root: the fleet folder; relative paths start and programs run there.
        learned: is told every secret before anybody else has it, so that output can be kept clean.
        warn: is told what is unsafe but not refused.
        vault_password: reference of the Ansible Vault password; empty leaves it to Ansible's own settings.
        deadline: seconds that a program or the keyring may take.
    """

    def __init__(
        self,
        root: Path,
        *,
        learned: Callable[[Secret], None],
        warn: Callable[[Diagnostic], None],
        environ: Mapping[str, str] = os.environ,
        vault_password: str = "",
        deadline: float = 30.0,
        keyring: Callable[[], Keyring] = system_keyring,
    ) -> None:
        self._root = root
        self._learned = learned
        self._warn = warn
        self._environ = environ
        self._vault_password = vault_password
        self._deadline = deadline
        self._keyring = keyring
        self._known: dict[str, Secret] = {}
        self._locks: dict[str, Lock] = {}
        self._guard = Lock()

    def resolve(self, reference: str) -> Secret:
        """Return the secret.

        Raises:
            MacfleetError: E1201 the reference is not understood; E1202 nothing is there; E1203 what is there
                cannot be a secret; E1204 a program or the keyring failed or took too long; E1205 an
                optional library or program is missing.
        """
        with self._guard:
            lock = self._locks.setdefault(reference, Lock())
        with lock:
            if reference not in self._known:
                secret = _checked(self._read(reference), reference)
                if _COMMON.fullmatch(secret.reveal().strip()):
                    self._warn(_common(reference))
                self._learned(secret)
                self._known[reference] = secret
            return self._known[reference]

    def _read(self, reference: str) -> str:
        kind, _, rest = reference.partition(":")
        if kind not in KINDS or not rest.strip():
            raise MacfleetError(_not_understood(reference))
        if kind == "env":
            return self._variable(rest)
        if kind == "file":
            return text_of(self._root, rest, self._warn)
        if kind == "cmd":
            return output_of(self._root, rest, self._deadline)
        if kind == "keyring":
            return password_of(rest, self._keyring, self._deadline)
        return vaulted(self._root, rest, self._password_of_the_vault(reference), self._deadline)

    def _variable(self, name: str) -> str:
        if name not in self._environ:
            raise MacfleetError(
                Diagnostic(
                    "E1202",
                    f"the environment variable {name} is not set",
                    why=f"A secret is wanted from env:{name}.",
                    mend=f"Set {name} where macfleet is started, or use another kind: {_all_kinds()}",
                    exit_code=ExitCode.USAGE,
                )
            )
        return self._environ[name]

    def _password_of_the_vault(self, reference: str) -> Secret | None:
        if not self._vault_password:
            return None
        if self._vault_password.startswith("vault:"):
            raise MacfleetError(
                Diagnostic(
                    "E1201",
                    f"the vault password cannot itself come from a vault: {self._vault_password}",
                    why=f"It is needed for {reference}.",
                    mend="Set MACFLEET_VAULT_PASSWORD to a reference such as keyring:ansible-vault/fleet",
                )
            )
        return self.resolve(self._vault_password)


def _checked(text: str, reference: str) -> Secret:
    """Refuse what could not be kept out of output, or what no login would take."""
    why = "It is most likely not what was meant to be stored there."
    if not text:
        problem = "is empty"
    elif "\0" in text:
        problem = "holds a NUL byte"
    elif len(text.strip()) < _LEAST:
        problem = f"has fewer than {_LEAST} characters"
        why = "Output is kept free of secrets by replacing them; so short a text stands everywhere."
    else:
        return Secret(text)
    raise MacfleetError(
        Diagnostic(
            "E1203",
            f"the secret {reference} {problem}",
            why=why,
            mend="Store the whole secret at that place.",
        )
    )


def _common(reference: str) -> Diagnostic:
    return Diagnostic(
        "E1207",
        f"the secret {reference} is short, one word or one number",
        why="Output is kept free of secrets by replacing them; this one is also replaced where the same "
        "characters mean something else: in names, figures and keys of documents.",
        mend="Use one of twelve characters or more, of several kinds.",
        severity=Severity.WARNING,
    )


def _not_understood(reference: str) -> Diagnostic:
    kind, colon, _ = reference.partition(":")
    # What stands there may be the secret itself, typed in the wrong place: it is not repeated.
    guess = nearest(kind, KINDS) if colon else ""
    meant = f"Did you mean {KINDS[guess]}? " if guess else ""
    return Diagnostic(
        "E1201",
        "this is not a secret reference",
        why="A reference says where a secret is kept; the secret itself never stands in a file of the fleet.",
        mend=f"{meant}Known: {_all_kinds()}",
    )


def _all_kinds() -> str:
    return " · ".join(KINDS.values())
