"""From inventory files to nodes: read, merge, render, check, and report every problem at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from macfleet.documents import nearest
from macfleet.inventory.build import Builder, Built
from macfleet.inventory.consistency import check_fleet, find_warnings
from macfleet.inventory.fleet import Group, Inventory
from macfleet.inventory.listing import Scripts
from macfleet.inventory.merge import Merger
from macfleet.inventory.names import EVERYTHING, IMPLICIT_KINDS, UNGROUPED
from macfleet.inventory.settings import FleetSettings
from macfleet.inventory.sources import read_tree
from macfleet.inventory.tree import Assignment, GroupEntry, NodeEntry, Tree
from macfleet.inventory.variables import IGNORED, KNOWN, MAGIC, PASSWORDS
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.ports import Files


def load_inventory(
    files: Files,
    paths: Sequence[str],
    settings: FleetSettings,
    declared: Mapping[str, Json],
    scripts: Scripts | None = None,
) -> Inventory:
    """Read inventory sources in Ansible's layouts; later sources win over earlier ones.

    Args:
        files: where sources and the `group_vars/` and `host_vars/` beside them are read.
        paths: hosts files in YAML or INI, programs that answer to ``--list``, or folders of these.
        settings: gives the root for relative key files, and extra variables.
        declared: defaults of the variables that roles declare; they may be set, and templates may use them.
        scripts: runs programs; without it a program among the sources is a problem.

    Raises:
        MacfleetError: every problem of every source, E0201 to E0219 and E0230 to E0234.
    """
    tree = read_tree(files, paths, scripts)
    names = {*KNOWN, *IGNORED, *MAGIC, *settings.variables, *declared}
    problems = [*tree.problems, *_refuse_unknown(tree, names)]
    merger = Merger(tree)
    builder = Builder(settings, declared)
    built: list[Built] = []
    for entry in tree.nodes.values():
        groups = merger.groups_of(entry)
        alone = (UNGROUPED,) if groups == (EVERYTHING,) else ()
        built.append(builder.build(entry.name, (*groups, *alone), merger.merge(entry)))
    problems += [*merger.problems, *(problem for each in built for problem in each.problems)]
    nodes = tuple(each.node for each in built if each.node is not None)
    problems += check_fleet(tree, nodes)
    if problems:
        raise MacfleetError(_in_order(problems))
    contenders = {name: each.contenders for name, each in zip(tree.nodes, built, strict=True)}
    groups_by_name = _groups(tree, nodes)
    return Inventory(
        nodes, groups_by_name, settings, contenders, (*find_warnings(groups_by_name), *merger.warnings)
    )


def _refuse_unknown(tree: Tree, names: set[str]) -> list[Diagnostic]:
    """Report each name once a place: one line of a range is one mistake."""
    found: dict[Location, Diagnostic] = {}
    owners: list[tuple[str, GroupEntry | NodeEntry]] = [
        *(("group", group) for group in tree.groups.values()),
        *(("node", node) for node in tree.nodes.values()),
    ]
    for kind, owner in owners:
        for each in owner.assignments:
            if each.where not in found and (each.name not in names or each.name in MAGIC):
                found[each.where] = _unknown(each, f"{kind} {owner.name}", names)
    return list(found.values())


def _unknown(assigned: Assignment, owner: str, names: set[str]) -> Diagnostic:
    name = assigned.name
    if name in MAGIC:
        summary, why = f'"{name}" for {owner} cannot be set', "Macfleet gives it to every node."
        return assigned.document.diagnose("E0214", summary, *assigned.path, why=why, mend="Remove it.")
    if name in PASSWORDS:
        why = "The inventory is printed, hashed and recorded with every run; nodes are entered by key."
        mend = "Remove it; use ansible_ssh_private_key_file, and sudo rules that need no password."
        summary = f'"{name}" for {owner} is refused'
        found = assigned.document.diagnose("E0214", summary, *assigned.path, why=why, mend=mend)
        return replace(found, snippet="", span=0)  # the line holds the password
    guess = nearest(name, names - MAGIC)
    declare = "declare it under `variables:` in macfleet.yml or in a role's defaults."
    mend = f'did you mean "{guess}"? Else {declare}' if guess else f"Remove it, or {declare}"
    why = "Nothing reads it, so setting it would change nothing."
    return assigned.document.diagnose(
        "E0214", f'unknown key "{name}" for {owner}', *assigned.path, why=why, mend=mend
    )


def _groups(tree: Tree, nodes: Sequence[Node]) -> dict[str, Group]:
    below: dict[str, list[str]] = {}
    for node in nodes:
        for name in node.groups:
            below.setdefault(name, []).append(node.name)
    found: dict[str, Group] = {}
    for entry in tree.groups.values():
        members = tuple(below.get(entry.name, ()))
        children = tuple(entry.children)
        found[entry.name] = Group(entry.name, children, tuple(entry.nodes), members, where=entry.where)
    if loose := tuple(below.get(UNGROUPED, ())):
        found[UNGROUPED] = Group(UNGROUPED, (), loose, loose, kind="implicit")
    for kind in IMPLICIT_KINDS:
        for value in dict.fromkeys(str(getattr(node, kind)) for node in nodes):
            if value and value not in found:
                members = tuple(below[value])
                found[value] = Group(value, (), members, members, kind=kind)
    return dict(sorted(found.items()))


def _in_order(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Sort by place and drop repetitions: one line of a range is one problem, not ten."""
    unique: dict[tuple[object, ...], Diagnostic] = {}
    for each in problems:
        unique.setdefault((each.code, each.where or each.node, each.summary), each)
    nowhere = Location("")
    return sorted(unique.values(), key=lambda each: (each.where or nowhere, each.node, each.summary))
