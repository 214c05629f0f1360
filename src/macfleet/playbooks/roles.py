"""Roles: Ansible's folders, their dependencies, and what they leave to the inventory to decide."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from macfleet.documents import Document, nearest, parse_yaml, validate
from macfleet.model.diagnostic import MacfleetError
from macfleet.model.json import Json
from macfleet.model.ports import Files
from macfleet.playbooks.grammar import RoleMetaBorder
from macfleet.playbooks.play import Role, Variable
from macfleet.playbooks.tasks import parse_tasks

_NAME = re.compile(r"^[a-z][a-z0-9_-]*$")
_FOLDER = "roles"


def role_names(files: Files) -> tuple[str, ...]:
    """Return the names of all roles of the fleet folder, sorted."""
    return tuple(sorted({path.split("/")[1] for path in files.list(_FOLDER) if path.count("/") > 1}))


def declared_variables(files: Files, roles: Iterable[str] | None = None) -> Mapping[str, Json]:
    """Return the defaults of the roles (of all unless some are named) by variable name.

    Raises:
        MacfleetError: a defaults file cannot be read as a mapping.
    """
    declared: dict[str, Json] = {}
    for name in roles if roles is not None else role_names(files):
        for variable, default in _defaults(files, name).items():
            declared.setdefault(variable, default.value)
    return declared


class RoleReader:
    """Reads roles with their dependencies, each once, dependencies first."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._known = role_names(files)
        self.roles: dict[str, Role] = {}
        self.templates: dict[str, str] = {}
        self._reading: list[str] = []

    def read(self, name: str, variables: Mapping[str, Variable], used: Document, *path: str | int) -> None:
        """Add a role that `used` names at `path`.

        Raises:
            MacfleetError: no such role, a cycle of dependencies, or findings in its files.
        """
        if name not in self._known or not _NAME.match(name):
            raise self._unknown(name, used, path)
        if name in self._reading:
            chain = " → ".join([*self._reading[self._reading.index(name) :], name])
            raise MacfleetError(used.diagnose("E0306", f"roles depend on each other: {chain}", *path))
        if name in self.roles:
            return
        self._reading.append(name)
        meta = _optional(self._files, f"{_FOLDER}/{name}/meta/main.yml")
        if meta is not None:
            wanted = validate(meta, RoleMetaBorder, code="E0305", kind="meta/main.yml").dependencies
            for index, dependency in enumerate(wanted):
                self.read(dependency, {}, meta, "dependencies", index)
        self.roles[name] = self._role(name, variables)
        self._reading.pop()

    def _role(self, name: str, variables: Mapping[str, Variable]) -> Role:
        folder = f"{_FOLDER}/{name}"
        tasks = _optional(self._files, f"{folder}/tasks/main.yml")
        self.templates |= read_templates(self._files, f"{folder}/templates")
        prefix = f"{folder}/files/"
        contents = {
            path.removeprefix(prefix): self._files.read(path) for path in self._files.list(prefix[:-1])
        }
        parsed = parse_tasks(tasks, name) if tasks is not None else ()
        return Role(name, _defaults(self._files, name), variables, parsed, contents)

    def _unknown(self, name: str, used: Document, path: tuple[str | int, ...]) -> MacfleetError:
        guess = nearest(name, self._known)
        mend = f'did you mean "{guess}"?' if guess else f"Roles: {', '.join(self._known) or 'none'}."
        return MacfleetError(
            used.diagnose("E0305", f'unknown role "{name}"', *path, mend=mend, on_value=True)
        )


def read_templates(files: Files, folder: str) -> dict[str, str]:
    """Return the texts of a templates folder by full path (raises MacfleetError unless they are UTF-8)."""
    texts = {}
    for path in files.list(folder):
        try:
            texts[path] = files.read(path).decode("utf-8")
        except UnicodeDecodeError as error:
            found = Document(None, path).diagnose("E0315", "a template must be UTF-8 text", why=f"{error}.")
            raise MacfleetError(found) from error
    return texts


def variables_of(document: Document, *path: str | int) -> dict[str, Variable]:
    """Return the mapping at `path` as variables that know their places."""
    value: Json = document.value
    for part in path:
        value = value.get(str(part)) if isinstance(value, Mapping) else None
    return {
        name: Variable(inner, document, (*path, name))
        for name, inner in (value.items() if isinstance(value, Mapping) else ())
    }


def _defaults(files: Files, name: str) -> dict[str, Variable]:
    document = _optional(files, f"{_FOLDER}/{name}/defaults/main.yml")
    if document is None or document.value is None:
        return {}
    if not isinstance(document.value, Mapping):
        raise MacfleetError(document.diagnose("E0305", "defaults must be a mapping", on_value=True))
    return variables_of(document)


def _optional(files: Files, path: str) -> Document | None:
    return parse_yaml(files.read(path), path) if files.exists(path) else None
