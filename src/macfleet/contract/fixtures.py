"""Fixture files: one frozen request each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from macfleet.contract.border import FixtureFile
from macfleet.documents import Document, parse_yaml, validate
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json
from macfleet.model.load import FixtureBody
from macfleet.model.nonce import nonce, with_nonce


@dataclass(frozen=True, slots=True)
class Fixture:
    """A fixture as read.

    Attributes:
        path: relative to the contract's folder.
        sha256: of the file's bytes.
        value: the whole file as JSON, for the canonical hash.
    """

    path: str
    sha256: str
    value: Json
    body: FixtureBody
    min_tokens: int
    max_tokens: int


def parse_fixture(text: bytes, path: str, file: str) -> Fixture:
    """Read one fixture; `path` names it in the contract, `file` in diagnostics.

    Raises:
        MacfleetError: E0702 not JSON, E0703 unknown keys and wrong values, E0704 a body no nonce fits.
    """
    value = _parse_json(text, file)
    try:
        model = validate(Document(value, file), FixtureFile, code="E0703", kind="fixture")
    except MacfleetError:
        # Only now pay for positions: JSON is read again as YAML, which knows lines.
        model = validate(_with_positions(text, file, value), FixtureFile, code="E0703", kind="fixture")
    body = FixtureBody(model.id, model.body)
    try:
        with_nonce(body.body, nonce("", "", 0, 0))
    except ValueError as error:
        raise MacfleetError(_unmarkable(file, str(error))) from error
    bounds = model.expected_tokens
    return Fixture(path, hashlib.sha256(text).hexdigest(), value, body, bounds.min, bounds.max)


def matching(paths: Iterable[str], pattern: str) -> tuple[str, ...]:
    """Return the paths a pattern means, sorted; ``*`` stays within one folder and skips dot files."""
    wanted = pattern.split("/")
    return tuple(sorted(path for path in paths if _matches(path.split("/"), wanted)))


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, piece) and part.startswith(".") == piece.startswith(".")
        for part, piece in zip(parts, wanted, strict=True)
    )


def _parse_json(text: bytes, file: str) -> Json:
    try:
        value: Json = json.loads(
            text.decode("utf-8"), object_pairs_hook=_no_duplicates, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        where = Location(file, error.lineno, error.colno)
        lines = error.doc.splitlines()
        snippet = lines[error.lineno - 1][:200] if error.lineno <= len(lines) else ""
        raise MacfleetError(
            Diagnostic("E0702", f"not valid JSON: {error.msg}", where=where, snippet=snippet, span=1)
        ) from error
    except (ValueError, RecursionError) as error:
        raise MacfleetError(Diagnostic("E0702", f"not valid JSON: {error}", where=Location(file))) from error
    return value


def _no_duplicates(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'key "{key}" stands twice in one object')
        found[key] = value
    return found


def _no_constant(word: str) -> Json:
    raise ValueError(f"{word} is not a JSON number")


def _with_positions(text: bytes, file: str, value: Json) -> Document:
    try:
        document = parse_yaml(text, file)
    except MacfleetError:
        return Document(value, file)
    return document if document.value == value else Document(value, file)


def _unmarkable(file: str, problem: str) -> Diagnostic:
    return Diagnostic(
        "E0704",
        f"no nonce fits this body: {problem}",
        why="Each request gets a nonce at the very start of its prompt, so that no cache flatters an arm.",
        mend="Give the body messages whose first content is text, or a prompt or input that is text.",
        where=Location(file),
    )
