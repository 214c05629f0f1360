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


def contenders_around(files: Files, variable: str) -> tuple[tuple[Contender, ...], tuple[Contender, ...]]:
    """Return who gives way to the inventory, and who comes before it; the weakest first.

    The order is that of `macfleet.playbooks.compile`: defaults of a role, inventory, `vars:` of a playbook,
    variables of a role, those it is given where it is named. A playbook that does not parse says nothing
    here; `macfleet lint` says why.

    Raises:
        MacfleetError: E0305 or a syntax error in the defaults or variables of a role.
    """
    roles = role_names(files)
    weaker: list[Contender] = []
    stages: list[Contender] = []
    own: list[Contender] = []
    uses: list[Contender] = []
    for path in (each for each in files.list("playbooks") if each.endswith((".yml", ".yaml"))):
        with suppress(MacfleetError):
            document = parse_yaml(files.read(path), path)
            stages += _in_file(document, (0, "vars", variable), f"vars of {path}", path)
            uses += _uses(document, (0, "roles"), variable, path)
    for role in roles:
        defaults = mapping_in(files, defaults_file(role))
        weaker += _in_file(defaults, (variable,), f"default of role {role}", role)
        variables = mapping_in(files, f"{ROLES}/{role}/vars/main.yml")
        own += _in_file(variables, (variable,), f"vars of role {role}", role)
        meta = mapping_in(files, f"{ROLES}/{role}/meta/main.yml")
        uses += _uses(meta, ("dependencies",), variable, f"role {role}") if meta else ()
    return tuple(weaker), (*stages, *own, *uses)


def _uses(document: Document, path: tuple[str | int, ...], variable: str, by: str) -> Iterator[Contender]:
    """Yield what is given to roles where they are named."""
    listed = _at(document.value, path)
    for index, use in enumerate(listed if isinstance(listed, list) else ()):
        role = use.get("role") if isinstance(use, Mapping) else None
        if isinstance(role, str):
            yield from _in_file(
                document, (*path, index, "vars", variable), f"given to role {role} by {by}", role
            )


def _in_file(
    document: Document | None, path: tuple[str | int, ...], origin: str, scope: str
) -> Iterable[Contender]:
    above = _at(document.value, path[:-1]) if document else None
    if document and isinstance(above, Mapping) and path[-1] in above:
        variable = str(path[-1])
        scope = scope if scope.startswith("playbooks/") else f"role {scope}"
        yield Contender(variable, above[variable], origin, document.at(*path), winner=True, scope=scope)


def _at(value: Json, path: tuple[str | int, ...]) -> Json:
    """Return what stands at a path; None where nothing does."""
    for step in path:
        if isinstance(value, Mapping) and isinstance(step, str):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value
