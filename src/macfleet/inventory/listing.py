"""What an executable source prints for ``--list``: groups as JSON, node variables under ``_meta``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol, cast

from macfleet.documents import Document, decoded, nearest, parse_yaml
from macfleet.inventory.names import NODE_RULE, is_node_name
from macfleet.inventory.placing import Placer
from macfleet.inventory.tree import GroupEntry, Path, Tree
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json

META = "_meta"
GROUP_KEYS = ("children", "hosts", "vars")


class Scripts(Protocol):
    """Runs executable inventory sources; the adapter is `macfleet.sources.inventory_script`."""

    def runs(self, path: str) -> bool:
        """Whether the file is a program."""

    def list(self, path: str) -> bytes:
        """Return what the program prints for ``--list`` (raises MacfleetError E0231, E0232)."""


def place_listing(tree: Tree, text: bytes, path: str, rank: tuple[int, int]) -> None:
    """Read one program's output into the tree; places are those of the output.

    Names are literal: the contract has no ranges. Node variables must be in ``_meta.hostvars``, since a
    call of ``--host`` for every node would cost a process each.

    Raises:
        MacfleetError: E0233 the output is no JSON, E0101 it is not UTF-8 or has more than 200 levels, E0102 a
            key stands twice.
    """
    document = _parse(text, f"{path} --list")
    placer = Placer(tree, document, rank)
    value = document.value
    if not isinstance(value, Mapping):
        placer.problem("E0233", "an inventory program must print an object of groups", ())
        return
    for name, body in value.items():
        if name != META:
            _group(placer, name, body)
    _host_variables(placer, value.get(META), value)


def _parse(text: bytes, file: str) -> Document:
    try:
        value = json.loads(decoded(text, file), parse_constant=_refuse_constant)
    except RecursionError as error:
        where, mend = Location(file), f"See what it prints: {file}"
        raise MacfleetError(
            Diagnostic("E0233", "not JSON: no end of levels", mend=mend, where=where)
        ) from error
    except ValueError as error:
        place = Location(file, getattr(error, "lineno", 1), getattr(error, "colno", 1))
        lines = text.decode("utf-8", "replace").splitlines()
        snippet = lines[place.line - 1][:200] if place.line <= len(lines) else ""
        mend = f"See what it prints: {file}"
        raise MacfleetError(
            Diagnostic("E0233", f"not JSON: {error}", mend=mend, where=place, snippet=snippet, span=1)
        ) from error
    # YAML gives every key its place; a tab may stand between JSON's tokens, never inside its strings.
    document = parse_yaml(text.replace(b"\t", b" "), file)
    return replace(document, value=cast("Json", value))


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON number")


def _group(placer: Placer, name: str, body: Json) -> None:
    path: Path = (name,)
    group = placer.group(name, path)
    if group is None:
        return
    if isinstance(body, list):  # the contract's short form
        body, path = {"hosts": body}, ()
    for key, inside in placer.mapping(body, path, f'group "{name}"').items():
        below = (*path, key) if path else (name,)
        if key == "vars":
            placer.assign(group, placer.mapping(inside, below, f'"vars" of group "{name}"'), below)
        elif key == "hosts":
            for place, node in _names(placer, inside, below, "hosts", name):
                _node(placer, group, node, place)
        elif key == "children":
            for place, child in _names(placer, inside, below, "children", name):
                placer.group(child, place, name)
        else:
            _unknown_key(placer, name, key, below)


def _names(
    placer: Placer, value: Json, path: Path, key: str, group: str
) -> list[tuple[tuple[str | int, ...], str]]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        placer.problem("E0233", f'"{key}" of group "{group}" must be a list of names', path, on_value=True)
        return []
    return [((*path, index), str(each)) for index, each in enumerate(value)]


def _node(placer: Placer, group: GroupEntry, name: str, path: Path) -> None:
    if is_node_name(name):
        placer.node(group, name, path)
    else:
        why = f"{NODE_RULE} Ranges and ports are for hosts files."
        placer.problem("E0205", f'"{name}" cannot be a node', path, why=why)


def _host_variables(placer: Placer, meta: Json, listed: Mapping[str, Json]) -> None:
    variables = meta.get("hostvars") if isinstance(meta, Mapping) else None
    if not isinstance(variables, Mapping):
        if placer.tree.nodes and listed:
            why = "Without it every node would need a call of its own with --host."
            mend = 'Print "_meta": {"hostvars": {NODE: {…}}} with --list; it may be empty.'
            placer.problem("E0234", '"_meta.hostvars" is missing', (META,), why=why, mend=mend)
        return
    for name, its in variables.items():
        path = (META, "hostvars", name)
        node = placer.tree.nodes.get(name)
        if node is None:
            guess = nearest(name, placer.tree.nodes)
            mend = f'did you mean "{guess}"?' if guess else "List the node in a group, or leave it out."
            placer.problem("E0207", f'"{name}" is not a node of the inventory', path, mend=mend)
        else:
            placer.assign(node, placer.mapping(its, path, f'"hostvars" of node "{name}"'), path)


def _unknown_key(placer: Placer, group: str, key: str, path: Path) -> None:
    guess = nearest(key, GROUP_KEYS)
    mend = f'did you mean "{guess}"?' if guess else 'A variable belongs into "vars", a node into "hosts".'
    why = f"A group holds {', '.join(GROUP_KEYS)}."
    placer.problem("E0204", f'unknown key "{key}" in group "{group}"', path, why=why, mend=mend)
