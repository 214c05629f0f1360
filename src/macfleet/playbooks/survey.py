"""What can be said of playbooks and roles without any node: what is wrong, and what nothing reads."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import jinja2

from macfleet.documents import Document, nearest
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError, Severity
from macfleet.model.ports import Files
from macfleet.playbooks.ansible_words import NAMES
from macfleet.playbooks.defaults import role_names
from macfleet.playbooks.names import Named, Reader, Text, message, texts_in, texts_of_task
from macfleet.playbooks.play import ParsedPlaybook, Role, Task, Variable
from macfleet.playbooks.roles import RoleReader, RoleUse

BUILT_IN = frozenset({"inventory_hostname", "node", "images", "contract", "network", "weights", "item"})
"""Names that expressions see besides variables."""
_NEED_ALL = frozenset({"E0330", "E0331", "E0334"})
"""What can be said only by who has read everything."""
_READ = frozenset({"tasks/main.yml", "defaults/main.yml", "vars/main.yml", "meta/main.yml", "README.md"})


@dataclass(slots=True)
class _Survey:
    """What was found so far: names read anywhere, and the findings."""

    files: Files
    known: frozenset[str]
    reader: Reader = field(default_factory=Reader)
    read: set[str] = field(default_factory=set)
    found: list[Diagnostic] = field(default_factory=list)


def survey(
    files: Files,
    playbooks: Sequence[ParsedPlaybook],
    variables: Collection[str],
    read: Iterable[str],
    *,
    complete: bool = True,
) -> tuple[Diagnostic, ...]:
    """Return every finding about the fleet folder's roles and the playbooks that could be loaded.

    Args:
        files: the fleet folder.
        playbooks: those that are well formed; what is wrong with the others is known already.
        variables: names that inventory and settings give to every expression.
        read: names that something besides roles and playbooks reads.
        complete: whether inventory and playbooks could all be read. Otherwise, and where a role cannot be
            read, nobody knows what has no value, no reader or no user, and nothing of it is said.
    """
    roles, templates, found = _roles(files)
    complete = complete and not found
    given = {name for role in roles for name in role.defaults}
    given |= {name for playbook in playbooks for name in playbook.variables}
    work = _Survey(files, frozenset({*variables, *given, *BUILT_IN}), read=set(read), found=found)
    for playbook in playbooks:
        _playbook(work, playbook)
    uses = {name: _given_at_uses(playbooks, name) for name in role_names(files)}
    for role in roles:
        _role(work, role, templates, uses[role.name])
        _left_over(work, role, templates)
    _unread(work, roles, playbooks)
    used = {role.name for playbook in playbooks for role in playbook.roles}
    work.found += [_unused_role(files, role.name) for role in roles if role.name not in used]
    return tuple(each for each in dict.fromkeys(work.found) if complete or each.code not in _NEED_ALL)


def _roles(files: Files) -> tuple[list[Role], Mapping[str, str], list[Diagnostic]]:
    """Return every role that can be read alone, all templates, and what is wrong with the others."""
    roles: list[Role] = []
    templates: dict[str, str] = {}
    problems: list[Diagnostic] = []
    for name in role_names(files):
        reader = RoleReader(files)
        try:
            reader.read(RoleUse(name), Document(name, f"roles/{name}"))
        except MacfleetError as error:
            problems += error.diagnostics
            continue
        roles.append(reader.roles[name])
        templates |= reader.templates
    return roles, templates, problems


def _given_at_uses(playbooks: Iterable[ParsedPlaybook], name: str) -> frozenset[str]:
    return frozenset(
        variable
        for playbook in playbooks
        for role in playbook.roles
        if role.name == name
        for variable in role.variables
    )


def _playbook(work: _Survey, playbook: ParsedPlaybook) -> None:
    own = frozenset(playbook.variables)
    _variables(work, playbook.variables, own)
    for role in playbook.roles:
        _variables(work, role.variables, own | frozenset(role.variables))
        # What a role above wants is noted with that role.
        for each in dict.fromkeys(each for way in role.ways for each in way if each.role == role.name):
            for at, text in enumerate(each.texts):
                condition = Text(text, each.used, ("when", at), bare=True)
                _note(work, condition, own | frozenset(role.variables))
    folder = posixpath.join(posixpath.dirname(playbook.file), "templates")
    _tasks(work, playbook.tasks, own)
    for path, text in playbook.templates.items():
        if posixpath.dirname(path) == folder:
            _template(work, path, text, own)


def _role(work: _Survey, role: Role, templates: Mapping[str, str], given: frozenset[str]) -> None:
    own = frozenset({*role.variables, *given})
    _variables(work, {**role.defaults, **role.variables}, own)
    _tasks(work, role.tasks, own)
    for path, text in templates.items():
        if path.startswith(f"roles/{role.name}/templates/"):
            _template(work, path, text, own)


def _variables(work: _Survey, variables: Mapping[str, Variable], own: frozenset[str]) -> None:
    for variable in variables.values():
        if variable.document is not None:
            for text in texts_in(variable.value, variable.document, variable.path):
                _note(work, text, own)


def _tasks(work: _Survey, tasks: Iterable[Task], own: frozenset[str]) -> None:
    for task in tasks:
        for text in texts_of_task(task):
            _note(work, text, own)


def _note(work: _Survey, text: Text, own: frozenset[str]) -> None:
    """Take in what a text names; say what it names that nothing gives."""
    try:
        named = work.reader.read(text.text, bare=text.bare)
    except jinja2.TemplateSyntaxError as error:
        work.found.append(text.document.diagnose("E0311", message(error), *text.path, on_value=True))
        return
    work.read |= named.names
    for name in _missing(work, named, own):
        summary, mend = _nowhere(work, name, own)
        found = text.document.diagnose("E0331", summary, *text.path, mend=mend, on_value=True)
        work.found.append(replace(found, severity=Severity.WARNING))


def _template(work: _Survey, path: str, text: str, own: frozenset[str]) -> None:
    lines = text.splitlines()
    try:
        named = work.reader.read(text)
    except jinja2.TemplateSyntaxError as error:
        where = Location(path, error.lineno)
        snippet = "".join(lines[error.lineno - 1 : error.lineno])
        work.found.append(Diagnostic("E0311", message(error), where=where, snippet=snippet))
        return
    work.read |= named.names
    for name in _missing(work, named, own):
        summary, mend = _nowhere(work, name, own)
        at, column = _first(lines, name)
        where = Location(path, at + 1, column + 1)
        warning = Diagnostic("E0331", summary, mend=mend, where=where, severity=Severity.WARNING)
        work.found.append(replace(warning, snippet=lines[at] if lines else "", span=len(name)))


def _missing(work: _Survey, named: Named, own: frozenset[str]) -> list[str]:
    return sorted(named.names - named.guarded - work.known - own)


def _nowhere(work: _Survey, name: str, own: frozenset[str]) -> tuple[str, str]:
    guess = nearest(name, work.known | own)
    mend = f'did you mean "{guess}"?' if guess else "Give it in the role's defaults/main.yml."
    mend = NAMES.get(name, mend)
    return f"nothing gives {name} a value", mend


def _first(lines: Sequence[str], name: str) -> tuple[int, int]:
    """Return line and column, from 0, where a name stands first inside an expression or tag."""
    word = re.compile(rf"(?<![\w.'\"]){re.escape(name)}(?!\w)")
    for at, line in enumerate(lines):
        found = word.search(line)
        if found and ("{{" in line or "{%" in line):
            return at, found.start()
    return 0, 0


def _left_over(work: _Survey, role: Role, templates: Mapping[str, str]) -> None:
    """Say which files of a role nothing reads: leftovers, and what Ansible would have read."""
    folder = f"roles/{role.name}/"
    for path in work.files.list(folder.rstrip("/")):
        below = path.removeprefix(folder)
        if below not in _READ and not below.startswith(("templates/", "files/")):
            work.found.append(_never_read(path, below))
    for key, place in (("template", "templates"), ("source", "files")):
        named = [_param(task, key) for task in role.tasks]
        if any("{{" in name for name in named):
            continue  # which file is meant is known only once it is rendered
        wanted = {f"{folder}{place}/{name}" for name in named if name}
        wanted |= {path for each in wanted for path in _included(work, each, templates)}
        there = work.files.list(f"{folder}{place}")
        work.found += [_unused_file(path, key) for path in there if path not in wanted]


def _param(task: Task, key: str) -> str:
    value = task.params.value
    return str(value.get(key) or "") if isinstance(value, Mapping) else ""


def _included(work: _Survey, path: str, templates: Mapping[str, str]) -> set[str]:
    """Return the templates that a template includes, however deep."""
    found: set[str] = set()
    ahead = [path]
    while ahead:
        each = ahead.pop()
        try:
            named = work.reader.read(templates.get(each, "")).templates
        except jinja2.TemplateSyntaxError:
            continue  # said where the template is read
        below = {posixpath.join(posixpath.dirname(each), name) for name in named} - found
        found |= below
        ahead += below
    return found


def _unread(work: _Survey, roles: Iterable[Role], playbooks: Iterable[ParsedPlaybook]) -> None:
    """Say which variables of roles and playbooks nothing reads."""
    held: list[tuple[str, Mapping[str, Variable]]] = [
        (f"role {role.name}", {**role.defaults, **role.variables}) for role in roles
    ]
    held += [(f"role {r.name}", r.variables) for playbook in playbooks for r in playbook.roles]
    held += [("the playbook", playbook.variables) for playbook in playbooks]
    for owner, variables in held:
        for name, variable in variables.items():
            if name not in work.read and variable.document is not None:
                why = "Setting it changes nothing."
                summary = f"nothing reads {name} of {owner}"
                found = variable.document.diagnose(
                    "E0330", summary, *variable.path, why=why, mend="Remove it."
                )
                work.found.append(replace(found, severity=Severity.WARNING))


def _never_read(path: str, below: str) -> Diagnostic:
    mend = "Remove it, or move what it says to tasks/main.yml."
    if below.startswith("handlers/"):
        mend = "There are no handlers: a resource compares what runs with what is wanted."
    summary = f"nothing reads {below} of a role"
    return Diagnostic("E0333", summary, mend=mend, where=Location(path), severity=Severity.WARNING)


def _unused_file(path: str, key: str) -> Diagnostic:
    summary = f"no task names {posixpath.basename(path)}"
    mend = f"Remove it, or name it in a file task with {key}:."
    return Diagnostic("E0332", summary, mend=mend, where=Location(path), severity=Severity.WARNING)


def _unused_role(files: Files, name: str) -> Diagnostic:
    first = files.list(f"roles/{name}")[0]
    mend = "Name it in roles: of a playbook, or remove it."
    return Diagnostic(
        "E0334", f"no playbook uses role {name}", mend=mend, where=Location(first), severity=Severity.WARNING
    )
