"""`macfleet init`: a new fleet folder, ready to edit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import click

from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.shell import quote

_TRUTHS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
SCAFFOLD = ("inventory", "playbooks", "roles", "contract")


@click.command(epilog="Example: macfleet init my-fleet")
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option("--name", default="", help="Name of the fleet; the folder's name unless given.")
@click.option("--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
def init(folder: Path, name: str, output: str) -> None:
    """Make a fleet folder: inventory, playbooks, roles, contract, settings, a git repository.

    Files that are there already are left alone.
    """
    if name and _spelt(name) != name:
        raise click.UsageError(
            f'--name "{name}": letters, digits, spaces, dots, hyphens and underscores only.'
        )
    try:
        made = make_fleet(folder, name or folder.resolve().name)
    except OSError as error:
        raise MacfleetError(_refused(folder, error)) from error
    if output == "json":
        from macfleet.views.terminal import show_json

        show_json({"schema": 1, "kind": "init", "folder": str(folder), "made": list(made)})
        return
    count = f"{len(made)} file{'' if len(made) == 1 else 's'} made"
    click.echo(f"{folder}: {count if made else 'everything was there already'}")
    enter = "" if folder == Path() else f"cd {quote(str(folder))}, "
    click.echo(
        f"Next: {enter}edit inventory/hosts.yml and images.yml, then: macfleet inventory check", err=True
    )


def make_fleet(folder: Path, name: str) -> list[str]:
    """Write what is missing of a fleet folder and return the paths that were made.

    What of `name` settings do not accept becomes hyphens (raises OSError, MacfleetError E0116).
    """
    from macfleet.cli.scaffold import GITIGNORE, IMAGES, SETTINGS, WEIGHTS

    source = scaffold_root()
    folder.mkdir(parents=True, exist_ok=True)
    made: list[str] = []
    for top in SCAFFOLD:
        made += _copy(source / top, folder / top, folder)
    texts = {
        "macfleet.yml": SETTINGS.format(name=_scalar(_spelt(name))),
        ".gitignore": GITIGNORE,
        "images.yml": IMAGES,
        "weights.lock": WEIGHTS,
    }
    for path, text in texts.items():
        if not (folder / path).exists():
            (folder / path).write_text(text, encoding="utf-8")
            made.append(path)
    if not (folder / ".git").exists():
        # A machine without git has a fleet folder all the same; what needs a commit says so.
        with suppress(FileNotFoundError, subprocess.TimeoutExpired):
            subprocess.run(["git", "init", "-q", "--", str(folder)], check=False, timeout=30)
    return made


def _spelt(name: str) -> str:
    """Return a name as settings accept it."""
    return re.sub(r"[^A-Za-z0-9 ._-]+", "-", name).lstrip(" ._-") or "fleet"


def _scalar(name: str) -> str:
    """Return a name as YAML reads it back: in quotes where it could be a number or a truth."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]*", name) and name.lower() not in _TRUTHS
    return name if plain else json.dumps(name)


def _refused(folder: Path, error: OSError) -> Diagnostic:
    place = error.filename or folder
    return Diagnostic(
        "E0123",
        f"no fleet folder can be made at {folder}",
        why=f"{place}: {error.strerror or error}.",
        mend="Name a folder of yours, new or there already: macfleet init my-fleet",
        exit_code=ExitCode.INTERNAL,
    )


def scaffold_root() -> Path:
    """Return the folder that holds the scaffold: inside the wheel, or the checkout's top.

    Raises:
        MacfleetError: E0116 when the installation carries none.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "scaffold", package.parents[1]):
        if all((root / top).is_dir() for top in SCAFFOLD):
            return root
    raise MacfleetError(
        Diagnostic(
            "E0116", "this installation carries no scaffold", mend="Install macfleet again from its wheel."
        )
    )


def _copy(source: Path, target: Path, base: Path) -> list[str]:
    made = []
    for path in sorted(source.rglob("*")):
        if path.is_dir() or path.name == "contract.lock":
            continue
        copy = target / path.relative_to(source)
        if copy.exists():
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        made.append(str(copy.relative_to(base)))
    return made
