"""`contract.lock`: the frozen promise, and the refusal to change it silently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import yaml
from pydantic import Field, JsonValue

from macfleet.contract.difference import fixture_changes, promise_changes
from macfleet.contract.load import CONTRACT_FILE, ContractFolder
from macfleet.documents import Border, parse_yaml, validate
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import JsonObject

LOCK_FILE = "contract.lock"
_HEAD = (
    "# Written by `macfleet contract freeze`. Do not edit:\n"
    "# change the contract, raise its version, freeze again.\n"
)
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class ContractLock:
    """A frozen contract.

    Attributes:
        hash: canonical hash; sent: hash of the bytes to be sent.
        promise: `contract.yml` as it was frozen.
        fixtures: sha256 by path.
    """

    name: str
    version: int
    hash: str
    sent: str
    promise: JsonObject
    fixtures: Mapping[str, str]


def freeze(folder: ContractFolder, existing: ContractLock | None) -> str:
    """Return the text of `contract.lock`.

    Raises:
        MacfleetError: E0712, something changed since `existing` and the version was not raised.
    """
    contract = folder.contract
    if existing is not None and existing.name == contract.name and contract.version <= existing.version:
        words = diff(existing, lock_of(folder))
        if words or contract.version < existing.version:
            raise MacfleetError(_version_not_raised(folder, existing, words))
    return render_lock(lock_of(folder))


def check(folder: ContractFolder, lock: ContractLock | None) -> tuple[Diagnostic, ...]:
    """Return why the contract is not the frozen one; empty when it is."""
    if lock is None:
        return (_not_frozen(folder),)
    current = lock_of(folder)
    if current == lock:
        return ()
    if current.version > lock.version or current.name != lock.name:
        return (_stale_lock(folder, lock, diff(lock, current)),)
    return _edited(folder, lock, current)


def diff(old: ContractLock, new: ContractLock) -> tuple[str, ...]:
    """Return in words what changed, version aside; empty when both promise the same bytes."""
    words = promise_changes(old.promise, new.promise) + fixture_changes(old.fixtures, new.fixtures)
    if not words and (old.hash, old.sent) != (new.hash, new.sent) and old.version == new.version:
        return ("the hashes differ though promise and fixtures are the same: the lock was edited",)
    return words


def lock_of(folder: ContractFolder) -> ContractLock:
    """Return what would be frozen now."""
    contract = folder.contract
    return ContractLock(
        contract.name,
        contract.version,
        contract.hash,
        contract.sent_hash,
        folder.promise,
        dict(contract.fixture_hashes),
    )


def parse_lock(text: bytes, file: str) -> ContractLock:
    """Read a lock file (raises MacfleetError E0714 when it is damaged)."""
    model = validate(parse_yaml(text, file), _LockModel, code="E0714", kind="contract.lock")
    return ContractLock(model.contract, model.version, model.hash, model.sent, model.promise, model.fixtures)


def render_lock(lock: ContractLock) -> str:
    """Return a lock as the file's text; equal locks give equal bytes."""
    document = {
        "schema": 1,
        "contract": lock.name,
        "version": lock.version,
        "hash": lock.hash,
        "sent": lock.sent,
        "promise": lock.promise,
        "fixtures": dict(sorted(lock.fixtures.items())),
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


class _LockModel(Border):
    schema_: Annotated[Literal[1], Field(alias="schema")]
    contract: str
    version: Annotated[int, Field(strict=True, ge=1)]
    hash: _Sha256
    sent: _Sha256
    promise: dict[str, JsonValue]
    fixtures: dict[str, _Sha256]


def _version_not_raised(folder: ContractFolder, lock: ContractLock, words: tuple[str, ...]) -> Diagnostic:
    fresh = lock.version + 1
    return Diagnostic(
        "E0712",
        f"contract {lock.name} changed but its version is still {folder.contract.version}",
        why=f"Frozen as version {lock.version}. " + _sentence(words),
        mend=f"Set version: {fresh} in {folder.root}/{CONTRACT_FILE}, then: macfleet contract freeze",
        where=folder.version_at,
    )


def _not_frozen(folder: ContractFolder) -> Diagnostic:
    return Diagnostic(
        "E0713",
        f"contract {folder.contract.name} is not frozen",
        why="A measurement is worth something only against a promise that cannot change under it.",
        mend="macfleet contract freeze",
        where=Location(f"{folder.root}/{LOCK_FILE}"),
    )


def _stale_lock(folder: ContractFolder, lock: ContractLock, words: tuple[str, ...]) -> Diagnostic:
    contract = folder.contract
    return Diagnostic(
        "E0715",
        f"the lock holds {lock.name} version {lock.version}, "
        f"the contract is {contract.name} version {contract.version}",
        why=_sentence(words),
        mend="macfleet contract freeze",
        where=Location(f"{folder.root}/{LOCK_FILE}"),
    )


def _edited(folder: ContractFolder, lock: ContractLock, current: ContractLock) -> tuple[Diagnostic, ...]:
    mend = (
        f"Undo the edit, or set version: {lock.version + 1} in {folder.root}/{CONTRACT_FILE} "
        "and run: macfleet contract freeze"
    )
    why = f"{lock.name} was frozen as version {lock.version} ({lock.hash[:12]}…); runs rest on these bytes."
    found = [
        Diagnostic("E0716", words, why=why, mend=mend, where=_place(folder, words))
        for words in diff(lock, current)
    ]
    if not found:
        summary = f"the contract's version {current.version} is below the frozen {lock.version}"
        found.append(Diagnostic("E0716", summary, why=why, mend=mend, where=folder.version_at))
    return tuple(found)


def _place(folder: ContractFolder, words: str) -> Location:
    named = next((path for path in folder.contract.fixture_hashes if f" {path} " in words), CONTRACT_FILE)
    return Location(f"{folder.root}/{named}")


def _sentence(words: tuple[str, ...]) -> str:
    return f"Changed: {'; '.join(words)}." if words else "Nothing else changed."
