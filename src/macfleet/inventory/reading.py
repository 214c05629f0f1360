"""YAML files of an inventory; what is wrong with one is noted, and the rest is read."""

from __future__ import annotations

from macfleet.documents import Document, parse_yaml
from macfleet.inventory.tree import Tree
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.ports import Files

ENDINGS = (".yml", ".yaml", ".json")


def read_text(files: Files, path: str, tree: Tree) -> bytes | None:
    """Return a file's bytes; None, with the problem noted, when it cannot be read or is encrypted."""
    try:
        text = files.read(path)
    except MacfleetError as error:
        tree.problems.extend(error.diagnostics)
        return None
    if text.startswith(b"$ANSIBLE_VAULT"):
        tree.problems.append(_vault(path))
        return None
    return text


def parse_file(files: Files, path: str, tree: Tree) -> Document | None:
    """Return a parsed YAML or JSON file; None, with the problems noted, when it does not parse."""
    text = read_text(files, path, tree)
    try:
        return None if text is None else parse_yaml(text, path)
    except MacfleetError as error:
        tree.problems.extend(error.diagnostics)
        return None


def _vault(path: str) -> Diagnostic:
    return Diagnostic(
        "E0202",
        "the file is encrypted with Ansible Vault, which is not read here",
        why="The inventory holds no secrets: it is printed, hashed and recorded with every run.",
        mend="Move secrets out of the inventory and keep the remaining variables as plain YAML.",
        where=Location(path),
    )
