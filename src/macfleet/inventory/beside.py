"""Variable files beside the sources: `group_vars/` and `host_vars/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from macfleet.documents import nearest
from macfleet.inventory.names import ALWAYS_KNOWN, EVERYTHING, UNGROUPED
from macfleet.inventory.placing import Placer
from macfleet.inventory.ranges import has_range
from macfleet.inventory.reading import ENDINGS, parse_file
from macfleet.inventory.tree import GroupEntry, NodeEntry, Tree
from macfleet.model.diagnostic import Diagnostic, Location
from macfleet.model.ports import Files

FOLDERS = ("group_vars", "host_vars")
_BESIDE = 1


def read_beside(files: Files, tree: Tree, places: Sequence[str]) -> None:
    """Read the variable files in each of the folders where sources stand; later folders win."""
    for order, place in enumerate(dict.fromkeys(places)):
        _read(files, f"{place}group_vars", tree, tree.groups, order)
        _read(files, f"{place}host_vars", tree, tree.nodes, order)


def _read(
    files: Files,
    folder: str,
    tree: Tree,
    owners: Mapping[str, GroupEntry] | Mapping[str, NodeEntry],
    order: int,
) -> None:
    """Read `<name>`, `<name>.yml`, or every file below `<name>/`, where only one of these may be."""
    first: dict[str, str] = {}
    for path in files.list(folder):
        inside = path.removeprefix(f"{folder}/")
        if any(part.startswith(".") for part in inside.split("/")) or path.endswith("~"):
            continue
        name = _owner_name(inside)
        if name is None:
            continue
        if name == UNGROUPED and owners is tree.groups:
            tree.group(UNGROUPED, Location(path))
            tree.nest(EVERYTHING, UNGROUPED)
        owner = owners.get(name)
        if owner is None:
            tree.problems.append(_nobody(folder, path, name, owners))
            continue
        way = inside.partition("/")[0] + "/" * ("/" in inside)
        if first.setdefault(name, way) != way:
            tree.problems.append(_two_ways(folder, path, first[name], way))
            continue
        document = parse_file(files, path, tree)
        if document is None or document.value is None:
            continue
        placer = Placer(tree, document, (_BESIDE, order))
        if isinstance(document.value, Mapping):
            placer.assign(owner, {str(key): each for key, each in document.value.items()}, ())
        else:
            placer.problem(
                "E0203",
                "a variables file must be a mapping of variables",
                (),
                mend="Write `name: value` lines.",
            )


def _owner_name(inside: str) -> str | None:
    """Return whose variables a file holds; None for files Ansible does not read (README.md)."""
    first, slash, _ = inside.partition("/")
    ending = next((each for each in ENDINGS if inside.endswith(each)), "")
    last = inside.rpartition("/")[2]
    if not ending and ((slash and "." in last) or last.lower().endswith(".md")):
        return None
    return first if slash else inside.removesuffix(ending)


def _two_ways(folder: str, path: str, one: str, other: str) -> Diagnostic:
    return Diagnostic(
        "E0218",
        f'"{one}" and "{other}" in {folder} are for the same name',
        why="Ansible reads the first of them and passes over the other in silence.",
        mend="Keep one file, or one folder of files.",
        where=Location(path),
    )


def _nobody(folder: str, path: str, name: str, owners: Mapping[str, object]) -> Diagnostic:
    kind = "group" if folder.endswith("group_vars") else "node"
    guess = nearest(name, owners)
    why = f"Nothing would read this file: the inventory declares no {kind} of this name."
    if kind == "group" and name in ALWAYS_KNOWN:
        why = f'"{name}" is an implicit group; it follows from variables and carries none.'
    if kind == "node" and has_range(name):
        why = "Ranges belong into a hosts file; a variables file is for one node."
    return Diagnostic(
        "E0207",
        f'"{name}" is not a {kind} of the inventory',
        why=why,
        mend=f'did you mean "{guess}"?'
        if guess
        else f"Declare the {kind} in the hosts file, or remove the file.",
        where=Location(path),
    )
