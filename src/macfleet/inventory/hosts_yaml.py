"""Hosts files in Ansible's YAML layout."""

from __future__ import annotations

from collections.abc import Mapping

from macfleet.documents import nearest
from macfleet.inventory.placing import Placer
from macfleet.inventory.tree import GroupEntry, Path
from macfleet.model.json import Json

GROUP_KEYS = ("children", "hosts", "vars")


def place_yaml(placer: Placer) -> None:
    """Take in every group at the top of the file; each but `all` is a child of `all`."""
    value = placer.document.value
    if value is None:
        return
    if not isinstance(value, Mapping):
        mend = "Start the file with `all:`; see `macfleet docs inventory`."
        placer.problem("E0203", "an inventory file must be a mapping of groups", (), mend=mend)
        return
    if isinstance(value.get("plugin"), str):
        summary = f'the file configures the Ansible plugin "{value["plugin"]}", which is not run here'
        mend = "Save what it finds: ansible-inventory -i THIS_FILE --list --yaml > hosts.yml"
        placer.problem("E0203", summary, ("plugin",), mend=mend)
        return
    for name, body in value.items():
        _group(placer, str(name), body, (str(name),), "all")


def _group(placer: Placer, name: str, body: Json, path: Path, parent: str) -> None:
    if name == "all" and len(path) > 1:
        placer.problem("E0208", '"all" cannot be a child: every group is below it', path, mend="Remove it.")
    group = placer.group(name, path, parent if name != "all" else "all")
    if group is None:
        return
    for key, inside in placer.mapping(body, path, f'group "{name}"').items():
        below = (*path, key)
        if key == "vars":
            placer.assign(group, placer.mapping(inside, below, f'"vars" of group "{name}"'), below)
        elif key == "hosts":
            _nodes(placer, group, inside, below)
        elif key == "children":
            for child, its in placer.mapping(inside, below, f'"children" of group "{name}"').items():
                _group(placer, child, its, (*below, child), name)
        else:
            _unknown_key(placer, name, key, below)


def _nodes(placer: Placer, group: GroupEntry, inside: Json, path: Path) -> None:
    for node, variables in placer.mapping(inside, path, f'"hosts" of group "{group.name}"').items():
        place = (*path, node)
        placer.nodes(group, node, placer.mapping(variables, place, f'node "{node}"'), place)


def _unknown_key(placer: Placer, group: str, key: str, path: Path) -> None:
    guess = nearest(key, GROUP_KEYS)
    mend = f'did you mean "{guess}"?' if guess else "A variable belongs under `vars:`, a node under `hosts:`."
    why = f"A group holds {', '.join(GROUP_KEYS)}."
    placer.problem("E0204", f'unknown key "{key}" in group "{group}"', path, why=why, mend=mend)
