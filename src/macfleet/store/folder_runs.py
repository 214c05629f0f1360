"""Runs as folders: written aside, sealed with digests, then never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.json import Json
from macfleet.model.run import RunManifest
from macfleet.store.folder_writer import PARTIAL, FolderWriter
from macfleet.store.manifests import parse_manifest
from macfleet.store.sealing import digest_of, files_below
from macfleet.store.token_events import DROPPED, drop_token_events, dropped_of

if TYPE_CHECKING:
    import polars as pl

IMPORTED = "imported.json"
"""The mark of a run that came in a bundle."""
_BEGUN = "begun.json"
_ADDED_LATER = ("manifest.json", "signature", IMPORTED, DROPPED)


@dataclass(frozen=True, slots=True)
class FolderRuns:
    """Recorded runs below one folder, usually ``.macfleet/runs`` of a fleet folder.

    A run being written is ``<id>.partial``; its new name is the last thing that happens to it.

    Attributes:
        only_own: leave runs that came in bundles out of `ids`: another fleet's node may have the same name.
    """

    root: Path
    only_own: bool = False

    def create(self, run_id: str) -> FolderWriter:
        """Open a run's folder for writing; one that was interrupted is gone on with.

        Raises:
            MacfleetError: E0951 the run is finished, or its id could not be a folder's name.
        """
        self.checked(run_id)
        final = self.root / run_id
        if final.exists():
            raise MacfleetError(
                Diagnostic(
                    "E0951", f"run {run_id} is finished and cannot be written again", mend="Use a new id."
                )
            )
        partial = self.root / f"{run_id}{PARTIAL}"
        partial.mkdir(parents=True, exist_ok=True)
        return FolderWriter(run_id, partial, final)

    def ids(self) -> tuple[str, ...]:
        """Ids of finished runs, oldest first."""
        folders = [path.parent for path in self._manifests()]
        return tuple(
            sorted(path.name for path in folders if not (self.only_own and (path / IMPORTED).is_file()))
        )

    @property
    def own(self) -> FolderRuns:
        """The runs that were recorded here."""
        return replace(self, only_own=True)

    def unfinished(self) -> tuple[str, ...]:
        """Ids of runs that were begun and never sealed, oldest first."""
        names = [path.name for path in self.root.glob(f"*{PARTIAL}") if not path.name.startswith(".")]
        return tuple(sorted(name.removesuffix(PARTIAL) for name in names))

    def left(self, run_id: str, folder: str) -> dict[str, dict[str, str]]:
        """Read what a run left below `folder`, and the runs that went on with it, oldest first.

        Raises:
            MacfleetError: E0950 no id; E0952, E0953 a sealed run of them is damaged.
        """
        self.checked(run_id)
        found: dict[str, dict[str, str]] = {}
        for place in sorted(self.root.glob(f"*/{folder}/{_BEGUN}")):
            run = place.relative_to(self.root).parts[0].removesuffix(PARTIAL)
            if run_id in (run, _resumed(place)):
                found[run] = self._texts(run, folder, place.parent)
        return found

    def _texts(self, run: str, folder: str, place: Path) -> dict[str, str]:
        names = [name for name in files_below(place) if name.endswith((".json", ".ndjson"))]
        if (self.root / run).is_dir():
            files = self.manifest(run).files
            damages = [
                _damage(run, path, files.get(path), self.root / run)
                for path in (f"{folder}/{name}" for name in names)
            ]
            if problems := [each for each in damages if each]:
                raise MacfleetError(problems)
        return {name: (place / name).read_text(encoding="utf-8") for name in names}

    def imported(self, run_id: str) -> bool:
        """Whether a run came in a bundle from elsewhere (raises MacfleetError E0950)."""
        return (self.folder(run_id) / IMPORTED).is_file()

    def manifest(self, run_id: str) -> RunManifest:
        """Read a run's manifest.

        Raises:
            MacfleetError: E0950 there is no such run; E0952 the manifest is damaged or of a newer schema.
        """
        path = self.folder(run_id) / "manifest.json"
        return parse_manifest(path.read_bytes(), str(path), run_id)

    def document(self, run_id: str, path: str) -> Json:
        """Read one JSON document of a run.

        Raises:
            MacfleetError: E0950 no such run; E0954 no such file; E0953 it is not JSON.
        """
        return _read_json(self._file(run_id, path), run_id)

    def samples(self, run_id: str, *paths: str) -> pl.LazyFrame:
        """Open Parquet files of a run as one without reading them yet (raises MacfleetError E0950, E0954)."""
        import polars as pl  # noqa: PLC0415  (slow to import; most commands never look at raw figures)

        return pl.scan_parquet([self._file(run_id, path) for path in paths], glob=False)

    def folder(self, run_id: str) -> Path:
        """Return where a finished run lies (raises MacfleetError E0950)."""
        self.checked(run_id)
        folder = self.root / run_id
        if not (folder / "manifest.json").is_file():
            begun = (self.root / f"{run_id}{PARTIAL}").is_dir()
            raise MacfleetError(
                Diagnostic(
                    "E0950",
                    f"run {run_id} was never finished" if begun else f"there is no run {run_id}",
                    why=f"Finished runs lie in {self.root}.",
                    mend="macfleet run list",
                )
            )
        return folder

    def verify(self, run_id: str) -> tuple[Diagnostic, ...]:
        """Compare every file with the manifest; return what differs, sorted by path.

        A file that retention dropped differs in nothing: what was sealed says that it may go.

        Codes: E0953 a file's content changed; E0954 a file is missing; E0955 a file was added.

        Raises:
            MacfleetError: E0950, E0952 as `manifest` does.
        """
        manifest = self.manifest(run_id)
        folder = self.folder(run_id)
        present = set(files_below(folder)) - set(_ADDED_LATER)
        found = [
            _damage(run_id, path, manifest.files.get(path), folder)
            for path in sorted(present | (set(manifest.files) - set(self.dropped(run_id))))
        ]
        return tuple(each for each in found if each is not None)

    def dropped(self, run_id: str) -> dict[str, str]:
        """Return the files that retention dropped, with when it did, RFC 3339.

        Only what the manifest calls droppable counts, and only while it is gone.

        Raises:
            MacfleetError: E0950, E0952 as `manifest` does.
        """
        folder, droppable = self.folder(run_id), self.manifest(run_id).droppable
        told = dropped_of(folder)
        return {path: told[path] for path in droppable if path in told and not (folder / path).is_file()}

    def drop_token_events(self, run_id: str, when: str) -> None:
        """Remove the token events of a sealed run; `when`, RFC 3339, stands in the run for them.

        Raises:
            MacfleetError: E0950, E0952 as `manifest` does.
            OSError: the folder cannot be written to.
        """
        drop_token_events(self.folder(run_id), self.manifest(run_id).droppable, when)

    def _file(self, run_id: str, path: str) -> Path:
        file = self.folder(run_id) / path
        if not file.is_file():
            raise MacfleetError(_missing(run_id, path))
        return file

    def _manifests(self) -> Iterable[Path]:
        return (path for path in self.root.glob("*/manifest.json") if path.parent.suffix != PARTIAL)

    @staticmethod
    def checked(run_id: str) -> str:
        """Return an id that may be a folder's name (raises MacfleetError E0950 for any other text)."""
        plain = run_id.replace("-", "").replace("_", "").replace(".", "")
        if not plain.isalnum() or run_id.startswith(".") or run_id.endswith(PARTIAL) or os.sep in run_id:
            raise MacfleetError(
                Diagnostic("E0950", f"{run_id!r} is not the id of a run", mend="macfleet run list")
            )
        return run_id


def _resumed(begun: Path) -> str:
    """Return the run that the work in a folder went on with, empty for none."""
    try:
        document = json.loads(begun.read_bytes())
    except ValueError:
        return ""
    return str(document.get("resumes") or "") if isinstance(document, dict) else ""


def _read_json(file: Path, run_id: str) -> Json:
    try:
        document: Json = json.loads(file.read_bytes())
    except ValueError as error:
        raise MacfleetError(
            Diagnostic(
                "E0953",
                f"{file} is damaged: {error}",
                mend=f"macfleet run verify {run_id}",
                exit_code=ExitCode.INTERNAL,
            )
        ) from error
    return document


def _damage(run_id: str, path: str, recorded: str | None, folder: Path) -> Diagnostic | None:
    if recorded is None:
        return _finding("E0955", f"run {run_id}: {path} was added after the run was sealed")
    if not (folder / path).is_file():
        return _missing(run_id, path)
    if digest_of(folder / path) != recorded:
        return _finding("E0953", f"run {run_id}: {path} is damaged: its content is not what was recorded")
    return None


def _missing(run_id: str, path: str) -> Diagnostic:
    return _finding("E0954", f"run {run_id}: {path} is missing")


def _finding(code: str, summary: str) -> Diagnostic:
    return Diagnostic(
        code,
        summary,
        why="A run cannot be changed once it is finished; its manifest holds the digest of every file.",
        mend="Restore the folder from a copy, or measure again.",
        exit_code=ExitCode.HELD,
    )
