"""The JSON of ``manifest.json`` and back, checked field by field."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.run import RunManifest

SCHEMA = 1


class ManifestBorder(BaseModel):
    """What a manifest of schema 1 holds; see `macfleet.model.run.RunManifest` for each field."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str
    kind: str
    stage: str
    contract: str
    sent: str
    git_commit: str
    git_dirty: bool
    nodes: list[str]
    arms: list[str]
    vantage: str
    started: str
    finished: str
    who: str
    why: str
    client_version: str
    client_archive: str = ""
    short: bool = True
    profile: dict[str, JsonValue] = {}
    simulated: list[str] = []
    files: dict[str, str] = {}
    droppable: list[str] = []
    schema_version: int


def manifest_document(manifest: RunManifest) -> dict[str, Json]:
    """Return the document of ``manifest.json``."""
    document = asdict(manifest)
    document["schema_version"] = document.pop("schema")
    return document


def parse_manifest(text: bytes, file: str, run_id: str) -> RunManifest:
    """Return the manifest in `text`.

    Raises:
        MacfleetError: E0952 it is damaged, of a newer schema, or another run's.
    """
    try:
        border = ManifestBorder.model_validate_json(text)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise MacfleetError(_damaged(file, run_id, "; ".join(problems))) from error
    if border.schema_version != SCHEMA:
        raise MacfleetError(_damaged(file, run_id, f"schema {border.schema_version} is not {SCHEMA}"))
    if border.id != run_id:
        raise MacfleetError(_damaged(file, run_id, f"it describes run {border.id}"))
    fields = border.model_dump()
    fields["schema"] = fields.pop("schema_version")
    for name in ("nodes", "arms", "simulated", "droppable"):
        fields[name] = tuple(fields[name])
    return RunManifest(**fields)


def _damaged(file: str, run_id: str, why: str) -> Diagnostic:
    return Diagnostic(
        "E0952",
        f"{file} cannot be read as a manifest",
        why=f"{why}.",
        mend=f"Restore the folder of run {run_id} from a copy, or leave the run out.",
        exit_code=ExitCode.INTERNAL,
    )
