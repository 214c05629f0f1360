"""`macfleet run sign`, `export` and `import`: runs that somebody stands for, carried to others."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from macfleet.cli.completed import RunId
from macfleet.cli.fleet import FleetContext, fleet_command
from macfleet.cli.run_ids import find_runs
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from macfleet.model.json import Json
    from macfleet.store.bundles import Bundle

_SIGNERS = "allowed_signers"
_OWN_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")

signers_option = click.option(
    "--allowed-signers",
    "signers",
    type=click.Path(path_type=Path),
    metavar="F",
    help=f"OpenSSH allowed-signers file (default: {_SIGNERS} of the fleet folder, where there is one).",
)


@click.command(epilog="Example: macfleet run sign 20261123T0412 --key ~/.ssh/id_ed25519")
@click.argument("run_id", metavar="RUN", type=RunId())
@click.option("--key", type=click.Path(path_type=Path), metavar="F", help="SSH key to sign with.")
@fleet_command
def sign(fleet: FleetContext, run_id: str, key: Path | None) -> int:
    """Sign a load test with an SSH key, or say every reason why it cannot be signed.

    What cannot be signed: a short run, an INVALID or inconclusive judged cell, missing evidence, a fleet
    folder with uncommitted changes, a VM that was up in the bare arm.
    """
    from macfleet.analysis.thresholds import load_thresholds
    from macfleet.reports.loaded import load_run
    from macfleet.reports.signable import unsignable
    from macfleet.store.signing import sign_folder

    found = find_runs(fleet.runs, [run_id])[0]
    if key is None:
        raise MacfleetError(_no_key(found))
    damaged = fleet.runs.verify(found)
    if damaged:
        raise MacfleetError(damaged)
    run = load_run(fleet.runs, found)
    vm = {node: _vm_during_bare(fleet, found, node) for node in run.manifest.nodes}
    problems = unsignable(run, vm, load_thresholds(fleet.files))
    if problems:
        raise MacfleetError(problems)
    signed = sign_folder(fleet.runs.folder(found), key.expanduser())
    _say(fleet, "signed", f"✓ {found}  signed ({signed.key})", {"run": found, "key": signed.key})
    return ExitCode.DONE


def _no_key(run_id: str) -> Diagnostic:
    """Name a key that is there, or say how one is made (E0122)."""
    there = next((key for key in _OWN_KEYS if Path(key).expanduser().is_file()), "")
    typed = f"macfleet run sign {run_id} --key {there or _OWN_KEYS[0]}"
    make = f"Make one: ssh-keygen -t ed25519 -f {_OWN_KEYS[0]}\nThen: {typed}"
    return Diagnostic(
        "E0122",
        f"no key was named to sign run {run_id} with",
        why="A signature is worth what its key is: others list it in their allowed signers.",
        mend=f"With yours: {typed}" if there else make,
    )


@click.command(epilog="Example: macfleet run export 20261123T0412 /tmp/run.tar")
@click.argument("run_id", metavar="RUN", type=RunId())
@click.argument("target", metavar="FILE.tar", type=click.Path(path_type=Path))
@click.option("--unsigned", "bare", is_flag=True, help="Pack a run that nobody signed.")
@fleet_command
def export(fleet: FleetContext, run_id: str, target: Path, bare: bool) -> int:
    """Pack a signed run into one file that others can verify and compare."""
    from macfleet.store.bundles import export_run, unsigned
    from macfleet.store.signing import check_folder

    found = find_runs(fleet.runs, [run_id])[0]
    if not bare and not check_folder(fleet.runs.folder(found)).present:
        raise MacfleetError(unsigned(found))
    bundle = export_run(fleet.runs, found, target.absolute())
    words = f"✓ {found}  {bundle.files} files → {target}  {bundle.signed.words}\n  sha256 {bundle.sha256}"
    _say(fleet, "exported", words, _document(bundle))
    return ExitCode.DONE


@click.command("import", epilog="Example: macfleet run import /tmp/run.tar")
@click.argument("source", metavar="FILE.tar", type=click.Path(path_type=Path))
@signers_option
@fleet_command
def import_(fleet: FleetContext, source: Path, signers: Path | None) -> int:
    """Unpack a bundle after checking all of it; the run is marked as imported."""
    import datetime as dt

    from macfleet.store.bundles import import_run

    bundle = import_run(
        fleet.runs,
        source.absolute(),
        who=fleet.who,
        when=dt.datetime.now(tz=dt.UTC).isoformat(timespec="seconds"),
        allowed_signers=allowed_signers(fleet, signers),
        must_be_signed=signers is not None,
    )
    words = f"✓ {bundle.run_id}  {bundle.files} files verified, {bundle.signed.words}"
    if not bundle.new:
        words = f"· {bundle.run_id}  is here already, {bundle.signed.words}"
    _say(fleet, "imported", words, {**_document(bundle), "new": bundle.new})
    return ExitCode.DONE


def allowed_signers(fleet: FleetContext, given: Path | None) -> Path | None:
    """Return the file that names whose signatures count: the one given, else the fleet folder's own."""
    if given is not None:
        return given.expanduser().absolute()
    own = fleet.root / _SIGNERS
    return own if own.is_file() else None


def _vm_during_bare(fleet: FleetContext, run_id: str, node: str) -> bool | None:
    path = f"nodes/{node}/vm.json"
    if path not in fleet.runs.manifest(run_id).files:
        return None
    document = fleet.runs.document(run_id, path)
    said = document.get("vm_during_bare") if isinstance(document, Mapping) else None
    return said if isinstance(said, bool) else None


def _document(bundle: Bundle) -> dict[str, Json]:
    return {
        "run": bundle.run_id,
        "files": bundle.files,
        "sha256": bundle.sha256,
        "signature": bundle.signed.words,
        "key": bundle.signed.key,
        "signer": bundle.signed.signer,
    }


def _say(fleet: FleetContext, kind: str, words: str, document: dict[str, Json]) -> None:
    if fleet.output == "json":
        json.dump({"schema": 1, "kind": kind, **document}, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    from macfleet.views.terminal import show

    show(words.splitlines())
