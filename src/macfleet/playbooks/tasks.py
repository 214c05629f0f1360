"""Task lists: one resource kind a task, everything unknown refused with a suggestion."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from macfleet.documents import Document, nearest, validate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.json import Json
from macfleet.playbooks.ansible_words import TASK, answered, said_here
from macfleet.playbooks.grammar import TaskBorder
from macfleet.playbooks.play import Task
from macfleet.playbooks.section import section
from macfleet.resources import PLACES, Params, params_of

CONTROLLER, EDGE = "controller", "edge"
"""What `delegate_to` may name."""


def parse_tasks(listed: Document, role: str) -> tuple[Task, ...]:
    """Return the tasks of a document that is a list, or empty; `role` is empty for a playbook's own.

    Raises:
        MacfleetError: every finding of every task.
    """
    if listed.value is None:
        return ()
    if not isinstance(listed.value, list):
        raise MacfleetError(listed.diagnose("E0304", "tasks must be a list", on_value=True))
    tasks: list[Task] = []
    problems: list[Diagnostic] = []
    for index in range(len(listed.value)):
        try:
            tasks.append(_parse_task(section(listed, index), role))
        except MacfleetError as error:
            problems += error.diagnostics
    if problems:
        raise MacfleetError(problems)
    return tuple(tasks)


def _parse_task(document: Document, role: str) -> Task:
    if not isinstance(document.value, Mapping):
        raise MacfleetError(document.diagnose("E0304", "a task must be a mapping", on_value=True))
    kind = _kind(document, document.value)
    params = section(document, kind.kind)
    problems = [*_unknown(params, kind)]
    said = {key: value for key, value in document.value.items() if key != kind.kind}
    header = _header(document, said, problems)
    problems += _elsewhere(document, str(said.get("delegate_to") or ""))
    if problems:
        raise MacfleetError(problems)
    return Task(
        name=header.name or kind.kind,
        kind=kind,
        params=params,
        document=document,
        when=texts_of(header.when),
        loop=header.loop,
        tags=texts_of(header.tags),
        needs=texts_of(header.needs),
        role=role,
        delegate_to=header.delegate_to,
    )


def _kind(document: Document, task: Mapping[str, object]) -> type[Params]:
    """Return the one resource kind of a task; say what is wrong when it is not exactly one."""
    kinds = [key for key in task if key in PLACES]
    if len(kinds) == 1:
        return params_of(kinds[0])
    if kinds:
        summary = f"a task has one resource kind, this one has {' and '.join(kinds)}"
        raise MacfleetError(document.diagnose("E0304", summary, kinds[1], mend="Make two tasks of it."))
    known = {*PLACES, *TaskBorder.model_fields}
    strange = [key for key in task if key not in known]
    if not strange:
        mend = f"Kinds: {', '.join(sorted(PLACES))}."
        raise MacfleetError(document.diagnose("E0304", "the task has no resource kind", mend=mend))
    raise MacfleetError(
        document.diagnose("E0304", f'unknown resource kind "{key}"', key, mend=_meant(key, known))
        for key in strange
    )


def _meant(key: str, known: Collection[str]) -> str:
    """Return what to write instead of a word that stands in a task."""
    if said := said_here(key, TASK):
        return said
    guess = nearest(key, known)
    return f'did you mean "{guess}"?' if guess else f"Kinds: {', '.join(sorted(PLACES))}."


def _header(document: Document, said: Mapping[str, Json], problems: list[Diagnostic]) -> TaskBorder:
    """Return what a task says besides its kind, nothing where that is wrong; Ansible's words are answered."""
    try:
        return validate(replace(document, value=said), TaskBorder, code="E0304", kind="task")
    except MacfleetError as error:
        problems += answered(error.diagnostics, document, TASK)
        return TaskBorder.model_validate({})


def _unknown(params: Document, kind: type[Params]) -> Iterator[Diagnostic]:
    """Yield unknown parameters before any node is known; their values are checked once rendered."""
    if not isinstance(params.value, Mapping):
        summary = f"{kind.kind} must be a mapping of parameters"
        mend = f"Parameters: {', '.join(kind.model_fields)}."
        yield params.diagnose("E0303", summary, mend=mend, on_value=True)
        return
    known = set(kind.model_fields)
    for key in params.value:
        if key not in known:
            guess = nearest(key, known)
            mend = f'did you mean "{guess}"?' if guess else f"Known keys: {', '.join(sorted(known))}."
            yield params.diagnose("E0303", f'unknown key "{key}" for {kind.kind}', key, mend=mend)


def _elsewhere(document: Document, target: str) -> Iterator[Diagnostic]:
    """Yield why a task cannot be delegated to a machine: only the controller and the edge can be named."""
    if target in ("", CONTROLLER, EDGE):
        return
    guess = nearest(target, (CONTROLLER, EDGE))
    mend = f'did you mean "{guess}"?' if guess else "Write delegate_to: controller, or edge."
    why = "A task acts on its node, the controller or the edge; other nodes have stages of their own."
    summary = f'a task cannot be delegated to "{target}"'
    yield document.diagnose("E0328", summary, "delegate_to", why=why, mend=mend, on_value=True)


def texts_of(value: bool | str | tuple[str, ...]) -> tuple[str, ...]:  # noqa: FBT001  (a border value)
    """Return one value or several as texts."""
    if isinstance(value, tuple):
        return value
    return (str(value).lower() if isinstance(value, bool) else value,)
