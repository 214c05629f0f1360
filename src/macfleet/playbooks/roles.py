"""Roles: Ansible's folders, their dependencies, and what they leave to the inventory to decide."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from macfleet.documents import Document, nearest, validate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import Json
from macfleet.model.ports import Files
from macfleet.playbooks.defaults import ROLES, defaults_file, mapping_in, optional, role_names
from macfleet.playbooks.grammar import RoleMetaBorder, RoleUseBorder
from macfleet.playbooks.play import Condition, Role, Variable
from macfleet.playbooks.section import section
from macfleet.playbooks.tasks import parse_tasks, texts_of

Found = TypeVar("Found")
_NAME = re.compile(r"^[a-z][a-z0-9_-]*$")


@dataclass(frozen=True, slots=True)
class RoleUse:
    """A role where it is named, by the playbook or by a role that depends on it; `when` is one or none."""

    name: str
    variables: Mapping[str, Variable] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    when: tuple[Condition, ...] = ()


def role_use(document: Document, *path: str | int) -> RoleUse:
    """Return the use of a role at `path`: a name, or a mapping (raises MacfleetError E0301)."""
    said = section(document, *path)
    if isinstance(said.value, str):
        return RoleUse(said.value)
    use = validate(said, RoleUseBorder, code="E0301", kind="role")
    tags = frozenset(texts_of(use.tags))
    when = texts_of(use.when)
    conditions = (Condition(use.role, when, said),) if when else ()
    return RoleUse(use.role, variables_of(said, "vars"), tags, conditions)


class RoleReader:
    """Reads roles with their dependencies, each once, dependencies first."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.roles: dict[str, Role] = {}
        self.templates: dict[str, str] = {}
        self._reading: list[str] = []
        self._below: dict[str, tuple[RoleUse, ...]] = {}

    @cached_property
    def _known(self) -> tuple[str, ...]:
        return role_names(self._files)

    def read(self, use: RoleUse, used: Document, *path: str | int, above: tuple[Condition, ...] = ()) -> None:
        """Add a role that `used` names at `path`; `above` are the conditions of the roles that led to it.

        Raises:
            MacfleetError: no such role, a cycle of dependencies, variables for a role that has its place
                already, or findings in its files.
        """
        name = use.name
        if name not in self._known or not _NAME.match(name):
            raise self._unknown(name, used, path)
        if name in self._reading:
            chain = " → ".join([*self._reading[self._reading.index(name) :], name])
            raise MacfleetError(used.diagnose("E0306", f"roles depend on each other: {chain}", *path))
        if name in self.roles:
            self._again(use, used, path, above)
            return
        problems: list[Diagnostic] = []
        way = (*above, *use.when)
        self._reading.append(name)
        self._below[name] = self._dependencies(use, way, problems)
        self.roles[name] = self._role(use, way, problems)
        self._reading.pop()
        if problems:
            raise MacfleetError(problems)

    def _dependencies(
        self, use: RoleUse, way: tuple[Condition, ...], problems: list[Diagnostic]
    ) -> tuple[RoleUse, ...]:
        """Read what a role depends on; return those that have their place now."""
        path = f"{ROLES}/{use.name}/meta/main.yml"
        meta = _found(lambda: optional(self._files, path), problems)
        if meta is None:
            return ()
        _found(lambda: validate(meta, RoleMetaBorder, code="E0305", kind="meta/main.yml"), problems)
        listed = section(meta, "dependencies").value
        uses = []
        for index in range(len(listed) if isinstance(listed, list) else 0):
            try:
                dependency = role_use(meta, "dependencies", index)
                inherited = replace(dependency, tags=dependency.tags | use.tags)
                self.read(inherited, meta, "dependencies", index, above=way)
                uses.append(dependency)
            except MacfleetError as error:
                problems += error.diagnostics
        return tuple(uses)

    def _again(
        self, use: RoleUse, used: Document, path: tuple[str | int, ...], above: tuple[Condition, ...]
    ) -> None:
        """Refuse variables that would come too late; tags and ways are joined to those it has."""
        if use.variables:
            why = "A role acts once in a stage, and it was named before: this would not be seen."
            mend = "Give variables where it is named first, or in the inventory."
            summary = f'role "{use.name}" acts already'
            raise MacfleetError(used.diagnose("E0326", summary, *path, why=why, mend=mend))
        self._join(use, use.tags, above)

    def _join(self, use: RoleUse, tags: frozenset[str], above: tuple[Condition, ...]) -> None:
        role, way = self.roles[use.name], (*above, *use.when)
        ways = tuple(dict.fromkeys((*role.ways, way)))
        self.roles[use.name] = replace(role, tags=role.tags | tags, ways=ways)
        for below in self._below.get(use.name, ()):
            self._join(below, tags | below.tags, way)

    def _role(self, use: RoleUse, way: tuple[Condition, ...], problems: list[Diagnostic]) -> Role:
        """Return a role with all of its files that can be read."""
        folder, files = f"{ROLES}/{use.name}", self._files
        listed = _found(lambda: optional(files, f"{folder}/tasks/main.yml"), problems)
        tasks = _found(lambda: parse_tasks(listed, use.name), problems) if listed is not None else ()
        self.templates |= _found(lambda: read_templates(files, f"{folder}/templates"), problems) or {}
        prefix = f"{folder}/files/"
        contents = {path.removeprefix(prefix): files.read(path) for path in files.list(prefix[:-1])}
        defaults = _found(lambda: _mapping(files, defaults_file(use.name)), problems)
        own = _found(lambda: _mapping(files, f"{folder}/vars/main.yml"), problems)
        given = {**(own or {}), **use.variables}
        return Role(use.name, defaults or {}, given, tasks or (), contents, use.tags, (way,))

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


def _found(work: Callable[[], Found], problems: list[Diagnostic]) -> Found | None:
    """Return what `work` returns; None, and its findings among the problems, where something is wrong."""
    try:
        return work()
    except MacfleetError as error:
        problems += error.diagnostics
        return None


def _mapping(files: Files, path: str) -> dict[str, Variable]:
    """Return a file's variables; none when it is missing or empty."""
    document = mapping_in(files, path)
    return {} if document is None else variables_of(document)
