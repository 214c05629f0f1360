"""Reading every source into one tree: hosts files, folders of them, programs, and variables beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from macfleet.documents import parse_yaml
from macfleet.inventory.beside import FOLDERS, read_beside
from macfleet.inventory.hosts_ini import place_ini
from macfleet.inventory.hosts_yaml import place_yaml
from macfleet.inventory.listing import Scripts, place_listing
from macfleet.inventory.names import EVERYTHING, UNGROUPED
from macfleet.inventory.placing import Placer
from macfleet.inventory.reading import ENDINGS, read_text
from macfleet.inventory.tree import Tree
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.ports import Files

INI_ENDINGS = (".ini", ".cfg")
# What Ansible passes over in a folder of sources.
PASSED_OVER = (
    ".pyc",
    ".pyo",
    ".swp",
    ".bak",
    "~",
    ".rpm",
    ".md",
    ".txt",
    ".rst",
    ".orig",
    ".cfg",
    ".retry",
)
# Folders for Ansible itself, which it passes over as well.
NO_SOURCES = (*FOLDERS, "vars_plugins")
_INLINE = 0
_YAML_START = re.compile(rb"(?:---|\{|[\"']?[\w.-]+[\"']?\s*:(?:\s|$))")


def read_tree(files: Files, paths: Sequence[str], scripts: Scripts | None = None) -> Tree:
    """Read every source and the variable files beside them; problems are collected in the tree.

    Args:
        files: where sources are read.
        paths: hosts files, folders, programs; later ones win.
        scripts: runs programs; without it a program is a problem.
    """
    tree = Tree()
    reader = _Reader(files, scripts, tree)
    sources = [source for path in paths for source in reader.sources(path)]
    for order, source in enumerate(sources):
        reader.read(source, (_INLINE, order))
    read_beside(files, tree, [_place(files, path) for path in paths])
    _settle_ungrouped(tree)
    _refuse_cycles(tree)
    return tree


@dataclass(frozen=True, slots=True)
class _Reader:
    files: Files
    scripts: Scripts | None
    tree: Tree

    def sources(self, path: str) -> tuple[str, ...]:
        """Return the file, or the files of a folder in the order Ansible reads them."""
        if self.files.exists(path):
            return (path,)
        folder = f"{path.rstrip('/')}/"
        inside = sorted(self._inside(path, folder), key=lambda found: found.split("/"))
        if not inside:
            why = "A source is a YAML or INI file in Ansible's layout, a program, or a folder of these."
            mend = "Name one with -i PATH, or set `inventory:` in macfleet.yml."
            if "," in path:
                mend = "A list such as a,b, is not read: write its nodes into a file."
            summary = f'there is no inventory at "{path}"'
            self.tree.problems.append(Diagnostic("E0201", summary, why=why, mend=mend, where=Location(path)))
        return tuple(inside)

    def read(self, source: str, rank: tuple[int, int]) -> None:
        """Read one file in whichever format it is; what is wrong is noted."""
        try:
            if not source.endswith((*ENDINGS, *INI_ENDINGS)) and self.scripts and self.scripts.runs(source):
                place_listing(self.tree, self.scripts.list(source), source, rank)
                return
            text = read_text(self.files, source, self.tree)
            if text is None:
                return
            if source.endswith(".toml") or text.startswith(b"#!"):
                self.tree.problems.append(_not_a_hosts_file(source, runs=self.scripts is not None))
            elif _is_yaml(source, text):
                place_yaml(Placer(self.tree, parse_yaml(text, source), rank))
            else:
                place_ini(self.tree, text, source, rank)
        except MacfleetError as error:
            self.tree.problems.extend(error.diagnostics)

    def _inside(self, path: str, folder: str) -> Iterator[str]:
        for found in self.files.list(path.rstrip("/")):
            parts = found.removeprefix(folder).split("/")
            passed_over = any(part.startswith(".") or part.endswith(PASSED_OVER) for part in parts)
            deep = next((part for part in parts[1:-1] if part in FOLDERS), "")
            if deep and not passed_over:
                self.tree.problems.append(_too_deep(found, deep))
            elif not passed_over and not any(part in NO_SOURCES for part in parts):
                yield found


def _is_yaml(source: str, text: bytes) -> bool:
    """Decide by the name's ending, else by the first line that says something."""
    if source.endswith((*ENDINGS, *INI_ENDINGS)):
        return source.endswith(ENDINGS)
    lines = (line.strip() for line in text.removeprefix(b"\xef\xbb\xbf").splitlines())
    first = next((line for line in lines if line and not line.startswith((b"#", b";"))), b"")
    return _YAML_START.match(first) is not None


def _not_a_hosts_file(source: str, *, runs: bool) -> Diagnostic:
    where = Location(source)
    if source.endswith(".toml"):
        mend = "Write the same groups as YAML."
        return Diagnostic("E0203", "TOML inventories are not read here", mend=mend, where=where)
    why = "A program is run with --list; as a hosts file its text means nothing."
    if source.endswith((*ENDINGS, *INI_ENDINGS)):
        summary, mend = "the file is a program named like a hosts file", "Give it another ending."
    elif runs:
        summary, mend = "the file is a program, and it is not executable", f"chmod +x {source}"
    else:
        summary, mend = "the file is a program, and this command runs none", "Save what it prints for --list."
    return Diagnostic("E0203", summary, why=why, mend=mend, where=where)


def _too_deep(path: str, name: str) -> Diagnostic:
    return Diagnostic(
        "E0218",
        f'this "{name}" is not read',
        why="Variable files belong beside the source that is named, not into a folder below it.",
        mend=f"Move it to the {name}/ at the top of the source, or name the folder as a source of its own.",
        where=Location(path),
    )


def _place(files: Files, path: str) -> str:
    """Return the folder, with a slash, where the variables of a source stand."""
    if not files.exists(path):
        return f"{path.rstrip('/')}/"
    return path[: path.rindex("/") + 1] if "/" in path else ""


def _settle_ungrouped(tree: Tree) -> None:
    """A written `ungrouped` holds exactly the nodes that are in no other group, as in Ansible."""
    group = tree.groups.get(UNGROUPED)
    if group is None:
        return
    for node in tree.nodes.values():
        if set(node.groups) - {EVERYTHING, UNGROUPED}:
            node.groups.pop(UNGROUPED, None)
            group.nodes.pop(node.name, None)
        elif UNGROUPED not in node.groups:
            node.groups[UNGROUPED] = None
            group.nodes[node.name] = None


def _refuse_cycles(tree: Tree) -> None:
    """Report each group that is below itself, and cut there so that the rest can be checked."""
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        for child in list(tree.groups[name].children):
            if child in (*way, name):
                ring = " > ".join((*way, name, child)[(*way, name).index(child) :])
                tree.problems.append(
                    Diagnostic(
                        "E0208",
                        f"groups are inside one another: {ring}",
                        mend=f"Take {child} out of the `children` of {name}, or the other way round.",
                        where=tree.groups[child].where,
                    )
                )
                del tree.groups[name].children[child]
                del tree.groups[child].parents[name]
            elif child not in done:
                walk(child, (*way, name))
        done.add(name)

    for name in list(tree.groups):
        if name not in done:
            walk(name, ())
