"""``vault:FILE#key.path``: a value of an Ansible Vault file, or one encrypted inside a plain YAML file.

Decrypting is left to ansible-core's own program: its Python modules promise nothing to others, and it finds
the password where its users have set it, in ansible.cfg or ANSIBLE_VAULT_PASSWORD_FILE.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import yaml

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.secret import Secret
from macfleet.sources.secret_command import run
from macfleet.sources.secret_file import contents, no_text, without_line_break

_HEAD = "$ANSIBLE_VAULT"
_PROGRAM = "ansible-vault"


def vaulted(root: Path, rest: str, password: Secret | None, deadline: float) -> str:
    """Return the value at ``FILE#key.path``, or the whole text of ``FILE`` when it is encrypted as a whole.

    Keys are separated by dots, items of a list are numbered from 0. `password` goes to the program's stdin;
    without one, Ansible's settings say where it is.

    Raises:
        MacfleetError: E1202 file or key is missing; E1203 what is there is not encrypted, or no text; E1204
            it could not be decrypted; E1205 ansible-vault is not installed.
    """
    path, _, key = rest.partition("#")
    place = root / Path(path).expanduser()
    try:
        text = contents(place, path).decode()
        if text.startswith(_HEAD):
            text = _decrypted(root, place, path, password, deadline)
            return _at(text, key, path) if key else without_line_break(text)
        value = _at(text, key, path) if key else ""
        if not value.startswith(_HEAD):
            raise MacfleetError(_plain(path, key))
        with tempfile.NamedTemporaryFile("w", suffix=".yml") as aside:
            aside.write(value)
            aside.flush()
            return _decrypted(root, Path(aside.name), path, password, deadline)
    except UnicodeDecodeError as error:
        raise MacfleetError(no_text(path, "is not UTF-8 text")) from error


def _decrypted(root: Path, place: Path, path: str, password: Secret | None, deadline: float) -> str:
    """Return the text of the encrypted file at `place`, which is, or was a value of, the user's `path`."""
    words = [_program(), "decrypt", "--output", "-"]
    if password is not None:
        words += ["--vault-password-file", "/dev/stdin"]
    stdin = b"" if password is None else password.reveal().encode()
    try:
        return run([*words, str(place)], root, deadline, name=_PROGRAM, stdin=stdin).decode()
    except MacfleetError as error:
        (found,) = error.diagnostics
        mend = _where_passwords_are() if found.code == "E1204" else found.mend
        raise MacfleetError(replace(found, where=Location(path), mend=mend)) from error


def _where_passwords_are() -> str:
    return (
        "Say where its password is: MACFLEET_VAULT_PASSWORD=keyring:SERVICE/USER or another reference,\n"
        "or in ansible.cfg of the fleet folder: vault_password_file, for several ids vault_identity_list."
    )


def _program() -> str:
    beside = Path(sys.executable).with_name(_PROGRAM)
    found = str(beside) if beside.is_file() else shutil.which(_PROGRAM)
    if found is None:
        raise MacfleetError(
            Diagnostic(
                "E1205",
                f"the program {_PROGRAM} is not installed",
                why="vault:FILE#key.path is decrypted by it; it is part of ansible-core.",
                mend="pip install 'macfleet[vault]'",
            )
        )
    return found


def _at(text: str, key: str, path: str) -> str:
    """Return the text at a key path of a YAML document; nothing of the document is put into an error."""
    try:
        # Scalars stay the text they are: a password such as 0123 or `yes` is no number and no boolean.
        value: object = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506  (it makes nothing but text)
    except yaml.YAMLError:
        raise MacfleetError(no_text(path, "holds no YAML, so it has no keys")) from None
    for part in key.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise MacfleetError(_missing(path, key, part))
    if not isinstance(value, str):
        raise MacfleetError(no_text(path, f"holds no single value at {key}"))
    return value


def _missing(path: str, key: str, part: str) -> Diagnostic:
    return Diagnostic(
        "E1202",
        f'the vault file has no "{part}" of {key}',
        why="Keys are separated by dots; items of a list are numbered from 0.",
        mend=f"Look with: {_PROGRAM} view {path}",
        where=Location(path),
    )


def _plain(path: str, key: str) -> Diagnostic:
    at = f"the value at {key}" if key else "the file"
    return Diagnostic(
        "E1203",
        f"{at} is not encrypted with Ansible Vault",
        why="A secret that stands in a file as plain text is no secret any more.",
        mend=f"Encrypt it: {_PROGRAM} encrypt {path}, or one value: {_PROGRAM} encrypt_string",
        where=Location(path),
    )
