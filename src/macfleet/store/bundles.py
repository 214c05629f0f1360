"""Runs carried between fleets: a tar whose bytes follow from the run alone, checked before anything lands."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.store.folder_runs import IMPORTED, FolderRuns
from macfleet.store.folder_writer import PARTIAL
from macfleet.store.manifests import parse_manifest
from macfleet.store.sealing import digest_of, make_read_only, sync
from macfleet.store.signing import SIGNATURE, Signed, check_folder
from macfleet.store.token_events import DROPPED, dropped_of

_MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_LARGEST_HEAD = 16 << 20
_LARGEST_FILE = 4 << 30
_MOST_FILES = 20_000


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was packed or unpacked.

    Attributes:
        files: number of the run's files, manifest and signature included.
        sha256: of the bundle itself.
        signed: state of the signature.
        new: False when the same run was here already.
    """

    run_id: str
    files: int
    sha256: str
    signed: Signed
    new: bool = True


def export_run(runs: FolderRuns, run_id: str, target: Path) -> Bundle:
    """Pack a run; the same run gives the same bytes on every machine.

    Raises:
        MacfleetError: E0953 to E0955 and E0962 the run is damaged, E0965 `target` is there already.
    """
    folder = runs.folder(run_id)
    signed = check_folder(folder)
    problems = [*runs.verify(run_id), *([signed.problem] if signed.problem else [])]
    if target.exists():
        problems.append(
            Diagnostic("E0965", f"{target} is there already", mend="Name another file, or remove it.")
        )
    if problems:
        raise MacfleetError(problems)
    gone = runs.dropped(run_id)
    added = [*([SIGNATURE] if signed.present else []), *([DROPPED] if gone else [])]
    names = [_MANIFEST, *added, *sorted(set(runs.manifest(run_id).files) - set(gone))]
    aside = target.with_name(f"{target.name}.new")
    with tarfile.open(aside, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            _pack(tar, f"{run_id}/{name}", folder / name)
    sync(aside)
    aside.rename(target)
    return Bundle(run_id, len(names), digest_of(target), signed)


def import_run(
    runs: FolderRuns,
    source: Path,
    *,
    who: str,
    when: str,
    allowed_signers: Path | None = None,
    must_be_signed: bool = False,
) -> Bundle:
    """Unpack a bundle into the runs, marked as imported, once all of it was checked.

    Args:
        runs: where it lands.
        source: the bundle.
        who: who imports; it stands in the mark, with `when`.
        when: RFC 3339.
        allowed_signers: whose signatures count; with it a good signature by any other key is refused.
        must_be_signed: refuse a bundle nobody signed.

    Raises:
        MacfleetError: every problem: E0966 not a bundle, E0967 a member that may not be in one,
            E0953 and E0954 damaged and missing files, E0955 files the manifest does not name, E0962 and E0963
            a signature that does not hold, E0968 unsigned, E0969 another run of that id is here.
    """
    runs.root.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".import-", suffix=PARTIAL, dir=runs.root))
    try:
        run_id, count = _unpack(source, staging)
        signed = _check(staging / run_id, allowed_signers, must_be_signed=must_be_signed)
        mark = {"schema": 1, "bundle": source.name, "sha256": digest_of(source), "who": who, "when": when}
        done = Bundle(run_id, count, str(mark["sha256"]), signed)
        final = runs.root / run_id
        if final.exists() or final.with_name(f"{run_id}{PARTIAL}").exists():
            _refuse_another(final, staging / run_id)
            return Bundle(run_id, count, done.sha256, signed, new=False)
        (staging / run_id / IMPORTED).write_text(json.dumps(mark, indent=1) + "\n")
        for path in (staging / run_id).rglob("*"):
            sync(path)
        (staging / run_id).rename(final)
        sync(runs.root)
        make_read_only(final)
        return done
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _pack(tar: tarfile.TarFile, name: str, file: Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = file.stat().st_size
    entry.mode = 0o444
    with file.open("rb") as stream:
        tar.addfile(entry, stream)


def _unpack(source: Path, staging: Path) -> tuple[str, int]:
    """Write the members below `staging`; return the run's id and the number of files."""
    try:
        with source.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            return _members(tar, staging)
    except FileNotFoundError as error:
        raise MacfleetError(_no_bundle(f"there is no file {source}", "")) from error
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise MacfleetError(_no_bundle(f"{source} is not a bundle, or it is damaged", str(error))) from error


def _members(tar: tarfile.TarFile, staging: Path) -> tuple[str, int]:
    entries = _entries(tar)
    first = next(entries, None)
    if first is None or PurePosixPath(first.name).name != _MANIFEST or first.size > _LARGEST_HEAD:
        raise MacfleetError(_no_bundle("a bundle begins with the manifest of a run", ""))
    run_id = PurePosixPath(first.name).parent.as_posix()
    folder = staging / FolderRuns.checked(run_id)
    head = _content(tar, first).read()
    manifest = parse_manifest(head, first.name, run_id)
    wanted = {**manifest.files, SIGNATURE: "", DROPPED: ""}
    seen: set[str] = set()
    problems: list[Diagnostic] = []
    for entry in entries:
        name = entry.name.removeprefix(f"{run_id}/")
        problem = _refused(entry, name, wanted, seen)
        if problem is None:
            seen.add(name)
            digest = _write(folder / name, _content(tar, entry))
            problem = _damaged(run_id, name) if wanted[name] not in ("", digest) else None
        if problem is not None:
            problems.append(problem)
            if len(problems) > 20:
                break
    gone = set(manifest.droppable) & set(dropped_of(folder))
    problems += [_missing(run_id, name) for name in sorted(set(manifest.files) - seen - gone)]
    if problems:
        raise MacfleetError(problems)
    _write(folder / _MANIFEST, io.BytesIO(head))
    return run_id, len(seen) + 1


def _entries(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for position, entry in enumerate(tar):
        if position > _MOST_FILES:
            raise MacfleetError(_no_bundle(f"more than {_MOST_FILES:,} members", ""))
        yield entry


def _refused(entry: tarfile.TarInfo, name: str, wanted: dict[str, str], seen: set[str]) -> Diagnostic | None:
    """Say why a member may not be unpacked; what passes is a regular file the manifest names, once."""
    parts = PurePosixPath(entry.name)
    if not entry.isreg():
        return _alien(entry.name, "it is a link, a folder or a device; a bundle holds regular files only")
    if parts.is_absolute() or ".." in parts.parts or "\\" in entry.name or parts.as_posix() != entry.name:
        return _alien(entry.name, "its path leaves the run's folder")
    if name not in wanted or name == entry.name:
        return _alien(entry.name, "the manifest does not name it", "E0955")
    if name in seen:
        return _alien(entry.name, "it is there twice")
    return _alien(entry.name, "it is larger than 4 GiB") if entry.size > _LARGEST_FILE else None


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    found = tar.extractfile(entry)
    if found is None:
        raise MacfleetError(_alien(entry.name, "it has no content"))
    return found


def _write(target: Path, source: IO[bytes]) -> str:
    """Copy a file, its folders made; return its SHA-256 as hex."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as stream:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            stream.write(chunk)
    return digest.hexdigest()


def _check(folder: Path, allowed_signers: Path | None, *, must_be_signed: bool) -> Signed:
    signed = check_folder(folder, allowed_signers)
    if signed.problem is not None:
        raise MacfleetError(signed.problem)
    if must_be_signed and not signed.present:
        raise MacfleetError(unsigned(folder.name))
    return signed


def unsigned(run_id: str) -> Diagnostic:
    """Return what is said of a run that must be signed and is not."""
    return Diagnostic(
        "E0968",
        f"run {run_id} is not signed",
        why="Nobody stands for its figures.",
        mend=f"Where it was measured: macfleet run sign {run_id} --key KEY",
        exit_code=ExitCode.HELD,
    )


def _refuse_another(here: Path, given: Path) -> None:
    same = (here / _MANIFEST).is_file() and digest_of(here / _MANIFEST) == digest_of(given / _MANIFEST)
    if not same:
        raise MacfleetError(
            Diagnostic(
                "E0969",
                f"another run {here.name} is here already",
                why="The bundle holds a run of the same id with other content.",
                mend=f"macfleet run verify {here.name}",
                exit_code=ExitCode.HELD,
            )
        )


def _no_bundle(summary: str, why: str) -> Diagnostic:
    return Diagnostic(
        "E0966",
        summary,
        why=f"{why[:1].upper()}{why[1:]}." if why else "",
        mend="Make one with: macfleet run export RUN FILE.tar",
    )


def _alien(name: str, why: str, code: str = "E0967") -> Diagnostic:
    return _finding(code, f"{name} may not be in this bundle: {why}")


def _damaged(run_id: str, name: str) -> Diagnostic:
    return _finding("E0953", f"run {run_id}: {name} is damaged: its content is not what was recorded")


def _missing(run_id: str, name: str) -> Diagnostic:
    return _finding("E0954", f"run {run_id}: {name} is missing")


def _finding(code: str, summary: str) -> Diagnostic:
    return Diagnostic(
        code,
        summary,
        why="Nothing of the bundle was kept.",
        mend="Ask for the bundle again.",
        exit_code=ExitCode.HELD,
    )
