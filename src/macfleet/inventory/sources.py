"""Reading Ansible's YAML layout: hosts files, `group_vars/` and `host_vars/` beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from macfleet.documents import Document, nearest, parse_yaml
from macfleet.inventory.names import (
    ALWAYS_KNOWN,
    EVERYTHING,
    GROUP_RULE,
    NODE_RULE,
    VARIABLE_RULE,
    is_group_name,
    is_node_name,
    is_variable_name,
)
from macfleet.inventory.ranges import RangeProblem, expand, has_range
from macfleet.inventory.tree import Assignment, GroupEntry, NodeEntry, Path, Tree
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json
from macfleet.model.ports import Files

GROUP_KEYS = ("children", "hosts", "vars")
ENDINGS = (".yml", ".yaml", ".json")
_INLINE, _BESIDE = 0, 1


def read_tree(files: Files, paths: Sequence[str]) -> Tree:
    """Read every source and the variable files beside them; problems are collected in the tree."""
    tree = Tree()
    sources = [source for path in paths for source in _sources(files, path, tree)]
    for order, source in enumerate(sources):
        document = _parse(files, source, tree)
        if document is not None:
            _Hosts(tree, document, (_INLINE, order)).read()
    folders = dict.fromkeys(_folder(source) for source in sources)
    for order, folder in enumerate(folders):
        _read_beside(files, f"{folder}group_vars", tree, tree.groups, order)
        _read_beside(files, f"{folder}host_vars", tree, tree.nodes, order)
    _refuse_cycles(tree)
    return tree


def _sources(files: Files, path: str, tree: Tree) -> tuple[str, ...]:
    if files.exists(path):
        return (path,)
    folder = f"{path.rstrip('/')}/"
    inside = tuple(
        found
        for found in files.list(path)
        if "/" not in found.removeprefix(folder) and found.endswith(ENDINGS)
    )
    if not inside:
        tree.problems.append(
            Diagnostic(
                "E0201",
                f'there is no inventory at "{path}"',
                why="A source is a YAML file, or a folder with YAML files, in Ansible's layout.",
                mend="Name one with -i PATH, or set `inventory:` in macfleet.yml.",
                where=Location(path),
            )
        )
    return inside


def _parse(files: Files, path: str, tree: Tree) -> Document | None:
    try:
        text = files.read(path)
        if text.startswith(b"$ANSIBLE_VAULT"):
            tree.problems.append(_vault(path))
            return None
        return parse_yaml(text, path)
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


def _folder(source: str) -> str:
    return source[: source.rindex("/") + 1] if "/" in source else ""


@dataclass(slots=True)
class _Hosts:
    """Walks one hosts file."""

    tree: Tree
    document: Document
    rank: tuple[int, int]

    def read(self) -> None:
        """Take in every group at the top of the file; each but `all` is a child of `all`."""
        value = self.document.value
        if value is None:
            return
        if not isinstance(value, Mapping):
            self._problem(
                "E0203",
                "an inventory file must be a mapping of groups",
                (),
                mend="Start the file with `all:`; see `macfleet docs hosts`.",
            )
            return
        for name, body in value.items():
            self._group(str(name), body, (str(name),), EVERYTHING)

    def _group(self, name: str, body: Json, path: Path, parent: str) -> None:
        if not is_group_name(name):
            self._problem("E0205", f'"{name}" cannot be a group', path, why=GROUP_RULE)
            return
        group = self.tree.group(name, self.document.at(*path))
        if name != EVERYTHING:
            self.tree.nest(parent, name)
        elif len(path) > 1:
            self._problem("E0208", '"all" cannot be a child: every group is below it', path)
        for key, inside in self._mapping(body, path, f'group "{name}"').items():
            below = (*path, key)
            if key == "vars":
                self._assign(group, self._mapping(inside, below, f'"vars" of group "{name}"'), below)
            elif key == "hosts":
                for node, variables in self._mapping(inside, below, f'"hosts" of group "{name}"').items():
                    self._nodes(group, node, variables, (*below, node))
            elif key == "children":
                for child, its in self._mapping(inside, below, f'"children" of group "{name}"').items():
                    self._group(child, its, (*below, child), name)
            else:
                self._unknown_key(name, key, below)

    def _nodes(self, group: GroupEntry, name: str, variables: Json, path: Path) -> None:
        try:
            names = expand(name)
        except RangeProblem as problem:
            self._problem(
                "E0206",
                f'range "{name}": {problem}',
                path,
                mend="Bounds are inclusive and grow: mac-[01:10], mac-[a:f], mac-[1:9:2].",
            )
            return
        for each in names:
            if not is_node_name(each):
                self._bad_node(each, path)
                return
        body = self._mapping(variables, path, f'node "{name}"')
        for each in names:
            node = self.tree.node(each, self.document.at(*path))
            group.nodes[each] = None
            node.groups[group.name] = None
            self._assign(node, body, path)

    def _bad_node(self, name: str, path: Path) -> None:
        host, colon, port = name.rpartition(":")
        mend = f"Write {host}: {{ansible_port: {port}}}." if colon and port.isdigit() else ""
        self._problem("E0205", f'"{name}" cannot be a node', path, why=NODE_RULE, mend=mend)

    def _assign(self, owner: GroupEntry | NodeEntry, variables: Mapping[str, Json], path: Path) -> None:
        assign(self.tree, owner, variables, self.document, path, self.rank)

    def _mapping(self, value: Json, path: Path, what: str) -> Mapping[str, Json]:
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return {str(key): inside for key, inside in value.items()}
        self._problem(
            "E0203", f"{what} must be a mapping (a key and a colon on each line)", path, on_value=True
        )
        return {}

    def _unknown_key(self, group: str, key: str, path: Path) -> None:
        guess = nearest(key, GROUP_KEYS)
        mend = (
            f'did you mean "{guess}"?'
            if guess
            else "A variable belongs under `vars:`, a node under `hosts:`."
        )
        why = f"A group holds {', '.join(GROUP_KEYS)}."
        self._problem("E0204", f'unknown key "{key}" in group "{group}"', path, why=why, mend=mend)

    def _problem(
        self, code: str, summary: str, path: Path, *, why: str = "", mend: str = "", on_value: bool = False
    ) -> None:
        found = self.document.diagnose(code, summary, *path, why=why, mend=mend, on_value=on_value)
        self.tree.problems.append(found)


def assign(
    tree: Tree,
    owner: GroupEntry | NodeEntry,
    variables: Mapping[str, Json],
    document: Document,
    path: Path,
    rank: tuple[int, int],
) -> None:
    """Note every variable set for an owner; impossible names are problems."""
    for name, value in variables.items():
        place = (*path, name)
        if is_variable_name(name):
            owner.assignments.append(Assignment(name, value, document, place, rank))
        else:
            summary = f'"{name}" cannot be a variable'
            tree.problems.append(document.diagnose("E0205", summary, *place, why=VARIABLE_RULE))


def _read_beside(
    files: Files,
    folder: str,
    tree: Tree,
    owners: Mapping[str, GroupEntry] | Mapping[str, NodeEntry],
    order: int,
) -> None:
    """Read `group_vars/` or `host_vars/`: `<name>`, `<name>.yml`, or every file below `<name>/`."""
    for path in files.list(folder):
        inside = path.removeprefix(f"{folder}/")
        if any(part.startswith(".") for part in inside.split("/")) or path.endswith("~"):
            continue
        name = _owner_name(inside)
        if name is None:
            continue
        owner = owners.get(name)
        if owner is None:
            tree.problems.append(_nobody(folder, path, name, owners))
            continue
        document = _parse(files, path, tree)
        if document is not None and document.value is not None:
            _assign_file(tree, owner, document, (_BESIDE, order))


def _assign_file(
    tree: Tree, owner: GroupEntry | NodeEntry, document: Document, rank: tuple[int, int]
) -> None:
    if isinstance(document.value, Mapping):
        assign(tree, owner, {str(key): each for key, each in document.value.items()}, document, (), rank)
    else:
        tree.problems.append(document.diagnose("E0203", "a variables file must be a mapping of variables"))


def _owner_name(inside: str) -> str | None:
    """Return whose variables a file holds; None for files Ansible does not read (README.md)."""
    first, slash, _ = inside.partition("/")
    ending = next((each for each in ENDINGS if inside.endswith(each)), "")
    last = inside.rpartition("/")[2]
    if not ending and ((slash and "." in last) or last.lower().endswith(".md")):
        return None
    return first if slash else inside.removesuffix(ending)


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


def _refuse_cycles(tree: Tree) -> None:
    """Report each group that is below itself, and cut there so that the rest can be checked."""
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        for child in list(tree.groups[name].children):
            if child in (*way, name):
                ring = " > ".join((*way, name, child)[(*way, name).index(child) :])
                tree.problems.append(
                    Diagnostic(
                        "E0208", f"groups are inside one another: {ring}", where=tree.groups[child].where
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
