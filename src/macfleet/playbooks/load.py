"""A stage's file and its roles, parsed: everything that can be known before a node is looked at."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping

from macfleet.documents import Document, nearest, parse_yaml, validate
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.json import Json
from macfleet.model.ports import Files
from macfleet.model.stage import GateSpec, StageName, Strategy
from macfleet.playbooks.ansible_words import PLAY, answered
from macfleet.playbooks.grammar import PlayBorder
from macfleet.playbooks.play import Measure, ParsedPlaybook, Role, Task
from macfleet.playbooks.roles import RoleReader, read_templates, role_use, variables_of
from macfleet.playbooks.section import section
from macfleet.playbooks.tasks import parse_tasks

_MEASURES = ("network", "loadtest")


def load_stage(files: Files, path: str) -> ParsedPlaybook:
    """Return a stage's playbook with its roles.

    Raises:
        MacfleetError: every finding in the playbook, its roles and its tasks.
    """
    play = _only_play(files, path)
    problems: list[Diagnostic] = []
    header = _header(play, problems)
    roles, templates = _roles(files, play, problems)
    tasks = _tasks(section(play, "tasks"), problems)
    stage = _stage(play, problems)
    gates = _gates(play, problems)
    measure = _measure(play, problems)
    if problems or header is None or stage is None:
        raise MacfleetError(dict.fromkeys([*problems, *_wrong_gates(gates)]))
    own = read_templates(files, posixpath.join(posixpath.dirname(path), "templates"))
    chosen = header.strategy
    return ParsedPlaybook(
        file=path,
        name=header.name,
        stage=stage,
        hosts=header.hosts,
        strategy=Strategy(chosen.canary, chosen.batch, chosen.drain),
        max_failures=header.max_failures,
        variables=variables_of(play, "vars"),
        roles=roles,
        tasks=tasks,
        gates=gates,
        measure=measure,
        templates={**templates, **own},
        hosts_at=play.value_at("hosts"),
    )


def _header(play: Document, problems: list[Diagnostic]) -> PlayBorder | None:
    """Return what the play says of itself; Ansible's words are refused with what says the same here."""
    try:
        return validate(play, PlayBorder, code="E0301", kind="playbook")
    except MacfleetError as error:
        problems += answered(error.diagnostics, play, PLAY)
        return None


def _only_play(files: Files, path: str) -> Document:
    try:
        document = parse_yaml(files.read(path), path)
    except FileNotFoundError as error:
        found = Diagnostic("E0301", "the playbook is missing", where=Location(path))
        raise MacfleetError(found) from error
    if not isinstance(document.value, list) or len(document.value) != 1:
        why = "One playbook is one stage, so that its gates are about one thing."
        raise MacfleetError(document.diagnose("E0301", "a playbook is a list of exactly one stage", why=why))
    return section(document, 0)


def _roles(
    files: Files, play: Document, problems: list[Diagnostic]
) -> tuple[tuple[Role, ...], Mapping[str, str]]:
    reader = RoleReader(files)
    listed = section(play, "roles").value
    for index in range(len(listed) if isinstance(listed, list) else 0):
        try:
            reader.read(role_use(play, "roles", index), play, "roles", index)
        except MacfleetError as error:
            problems += error.diagnostics
    return tuple(reader.roles.values()), reader.templates


def _tasks(listed: Document, problems: list[Diagnostic]) -> tuple[Task, ...]:
    try:
        return parse_tasks(listed, "")
    except MacfleetError as error:
        problems += error.diagnostics
        return ()


def _stage(play: Document, problems: list[Diagnostic]) -> StageName | None:
    text = section(play, "stage").value
    if not isinstance(text, str):
        return None  # said with the other keys
    known = [stage.value for stage in StageName]
    if text in known:
        return StageName(text)
    guess = nearest(text, known)
    mend = f'did you mean "{guess}"?' if guess else f"Stages: {', '.join(known)}."
    problems.append(play.diagnose("E0302", f'unknown stage "{text}"', "stage", mend=mend, on_value=True))
    return None


def _gates(play: Document, problems: list[Diagnostic]) -> tuple[GateSpec, ...]:
    gates = []
    listed = section(play, "gates").value
    for index, gate in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(gate, str):
            gates.append(GateSpec(gate, {}, play.value_at("gates", index)))
            continue
        kind, params = _named_params(gate)
        if kind:
            gates.append(GateSpec(kind, params, play.at("gates", index, kind)))
            continue
        mend = "Write - converged: {} or - routes_answer: {arm: container}."
        problems.append(
            play.diagnose("E0307", "a gate is one kind with parameters", "gates", index, mend=mend)
        )
    return tuple(gates)


def _wrong_gates(gates: tuple[GateSpec, ...]) -> Iterator[Diagnostic]:
    """Yield what is wrong with gates: whoever loads a playbook that is well formed builds them himself."""
    from macfleet.gates import build_gate  # noqa: PLC0415  (only where something else is wrong)

    for gate in gates:
        try:
            build_gate(gate)
        except MacfleetError as error:
            yield from error.diagnostics


def _measure(play: Document, problems: list[Diagnostic]) -> Measure | None:
    said = section(play, "measure").value
    if said is None:
        return None
    kind, params = (said, {}) if isinstance(said, str) else _named_params(said)
    if kind in _MEASURES:
        return Measure(kind, params)
    mend = "Write measure: network, or measure: {loadtest: {…}}."
    problems.append(play.diagnose("E0308", "a stage measures network or loadtest", "measure", mend=mend))
    return None


def _named_params(value: Json) -> tuple[str, Mapping[str, Json]]:
    """Return the one key of a mapping and its parameters; an empty kind when it is anything else."""
    if not isinstance(value, Mapping) or len(value) != 1:
        return "", {}
    kind, params = next(iter(value.items()))
    if params is None:
        return kind, {}
    return (kind, params) if isinstance(params, Mapping) else ("", {})
