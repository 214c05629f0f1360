"""Who besides the inventory gives a variable a value: roles and playbooks, each within itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from macfleet.documents import Document, parse_yaml
from macfleet.inventory import Contender
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.json import Json
from macfleet.model.ports import Files
from macfleet.playbooks.defaults import ROLES, defaults_file, mapping_in, role_names


def contenders_around(
    files: Files, variable: str
) -> tuple[tuple[Contender, ...], tuple[Contender, ...]]:
    """Return who gives way to the inventory, and who comes before it; the weakest first.

    The order is that of `macfleet.playbooks.compile`: defaults of a role < inventory < `vars:` of a playbook <
    variables of a role < those it is given where it is named. A playbook that does not parse says nothing
    here; `macfleet lint` says why.

    Raises:
        MacfleetError: E0305 or a syntax error in the defaults or variables of a role.
    """
    roles = role_names(files)
    weaker = tuple(
        each
        for role in roles
        for each in _in_file(mapping_in(files, defaults_file(role)), (variable,), f"default of role {role}", role)
    )
    own = tuple(
        each
        for role in roles
        for each in _in_file(
            mapping_in(files, f"{ROLES}/{role}/vars/main.yml"), (variable,), f"vars of role {role}", role
        )
    )
    stages: list[Contender] = []
    uses: list[Contender] = []
    for path in (each for each in files.list("playbooks") if each.endswith((".yml", ".yaml"))):
        with suppress(MacfleetError):
            document = parse_yaml(files.read(path), path)
            stages += _in_file(document, (0, "vars", variable), f"vars of {path}", path)
            uses += _uses(document, (0, "roles"), variable, path)
    for role in roles:
        meta = mapping_in(files, f"{ROLES}/{role}/meta/main.yml")
        uses += _uses(meta, ("dependencies",), variable, f"role {role}") if meta else ()
    return weaker, (*stages, *own, *uses)
