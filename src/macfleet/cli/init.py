"""`macfleet init`: a new fleet folder, ready to edit."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click

from macfleet.model.diagnostic import Diagnostic, MacfleetError

SCAFFOLD = ("inventory", "playbooks", "roles", "contract")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path())
@click.option("--name", default="", help="Name of the fleet; the folder's name unless given.")
def init(folder: Path, name: str) -> None:
    """Make a fleet folder: inventory, playbooks, roles, contract, settings, a git repository.

    Files that are there already are left alone.

    Example: macfleet init my-fleet
    """
    made = make_fleet(folder, name or folder.resolve().name)
    click.echo(f"{folder}: {len(made)} files made" if made else f"{folder}: everything was there already")
    click.echo("Next: edit inventory/hosts.yml and images.yml, then: macfleet inventory check", err=True)


def make_fleet(folder: Path, name: str) -> list[str]:
    """Write what is missing of a fleet folder and return the paths that were made."""
    from macfleet.cli.scaffold import GITIGNORE, IMAGES, SETTINGS, WEIGHTS

    source = scaffold_root()
    folder.mkdir(parents=True, exist_ok=True)
    made: list[str] = []
    for top in SCAFFOLD:
        made += _copy(source / top, folder / top, folder)
    texts = {
        "macfleet.yml": SETTINGS.format(name=name),
        ".gitignore": GITIGNORE,
        "images.yml": IMAGES,
        "weights.lock": WEIGHTS,
    }
    for path, text in texts.items():
        if not (folder / path).exists():
            (folder / path).write_text(text, encoding="utf-8")
            made.append(path)
    if not (folder / ".git").exists():
        subprocess.run(["git", "init", "-q", str(folder)], check=False, timeout=30)
    return made


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
