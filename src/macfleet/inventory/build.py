"""One node out of its merged variables: defaults, templates, types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from macfleet.documents import Border, nearest
from macfleet.inventory.fleet import Contender
from macfleet.inventory.merge import Merged, same, shown
from macfleet.inventory.names import IMPLICIT_KINDS
from macfleet.inventory.registries import NodeRegistryBorder, accesses
from macfleet.inventory.render import Renderer, explain_undefined
from macfleet.inventory.settings import FleetSettings
from macfleet.inventory.template import RenderProblem
from macfleet.inventory.tree import Assignment
from macfleet.inventory.variables import DEFAULTS, KNOWN, ColimaBorder, NodeVariables, RootsBorder
from macfleet.model.diagnostic import Diagnostic
from macfleet.model.json import Json
from macfleet.model.node import Endpoint, Node, Roots, VmSize

_NESTED: Mapping[str, type[Border]] = {
    "roots": RootsBorder,
    "colima": ColimaBorder,
    "registries": NodeRegistryBorder,
}
"""What the keys inside a variable are checked against."""


@dataclass(frozen=True, slots=True)
class Built:
    """A node, or None with the problems that prevented it; where each variable comes from either way."""

    node: Node | None
    contenders: Mapping[str, tuple[Contender, ...]]
    problems: tuple[Diagnostic, ...] = ()


@dataclass(slots=True)
class Builder:
    """Builds nodes of one inventory.

    Attributes:
        fallbacks: defaults of declared variables that templates may use though no node sets them.
    """

    settings: FleetSettings
    fallbacks: Mapping[str, Json]
    renderer: Renderer = field(default_factory=Renderer)

    def build(self, name: str, groups: Sequence[str], merged: Mapping[str, Merged]) -> Built:
        """Return the node with its typed settings; `groups` are the explicit ones."""
        contenders = self._contenders(merged)
        rendering = _Rendering(name, groups, contenders, merged, self)
        values = rendering.all()
        known = {key: value for key, value in values.items() if key in KNOWN}
        problems = list(rendering.problems)
        try:
            typed = NodeVariables.model_validate(known)
        except ValidationError as error:
            # What could not be rendered is missing here, and has been reported already.
            wrong = [each for each in error.errors() if each["loc"][0] in known]
            problems += [_wrong(name, each, values, merged) for each in wrong]
            return Built(None, contenders, tuple(problems))
        node = _node(name, groups, typed, values, self.settings.root)
        return Built(None if problems else node, contenders, tuple(problems))

    def _contenders(self, merged: Mapping[str, Merged]) -> dict[str, tuple[Contender, ...]]:
        found: dict[str, list[Contender]] = {}
        for name, value in DEFAULTS.items():
            found.setdefault(name, []).append(Contender(name, value, "built in"))
        for name, declared in self.settings.variables.items():
            if declared.has_default:
                found.setdefault(name, []).append(
                    Contender(name, declared.default, "macfleet.yml", declared.where)
                )
        for name, ladder in merged.items():
            for owner, each in ladder.ladder:
                won = each is ladder.winner
                found.setdefault(name, []).append(Contender(name, each.value, owner, each.where, won))
        return {name: _crown(found[name]) for name in sorted(found)}


def _crown(ladder: list[Contender]) -> tuple[Contender, ...]:
    """Without a winner from the groups or the node the strongest default wins."""
    if any(each.winner for each in ladder):
        return tuple(ladder)
    return (*ladder[:-1], replace(ladder[-1], winner=True))


class _Rendering:
    """Renders one node's variables, each once, in whatever order they ask for one another."""

    def __init__(
        self,
        name: str,
        groups: Sequence[str],
        contenders: Mapping[str, tuple[Contender, ...]],
        merged: Mapping[str, Merged],
        builder: Builder,
    ) -> None:
        self.problems: list[Diagnostic] = []
        self._name = name
        self._merged = merged
        self._renderer = builder.renderer
        self._raw: dict[str, Json] = {
            variable: next(each.value for each in ladder if each.winner)
            for variable, ladder in contenders.items()
        }
        self._fallbacks = builder.fallbacks
        self._done: dict[str, Json] = {
            "inventory_hostname": name,
            "inventory_hostname_short": name.partition(".")[0],
            "group_names": sorted(group for group in groups if group != "all"),
        }
        self._failed: set[str] = set()
        self._open: list[str] = []

    def all(self) -> dict[str, Json]:
        """Return every variable rendered, sorted by name; failures are in `problems`."""
        for variable in self._raw:
            try:
                self._value(variable)
            except RenderProblem:
                continue  # noted where it happened
        wanted = {*self._raw, "inventory_hostname", "inventory_hostname_short", "group_names"}
        return {name: self._done[name] for name in sorted(wanted) if name in self._done}

    def _value(self, variable: str) -> Json:
        if variable in self._done:
            return self._done[variable]
        if variable in self._failed:
            raise RenderProblem(f"{variable} cannot be rendered")
        raw = self._raw[variable] if variable in self._raw else self._fallbacks[variable]
        if variable in self._open:
            ring = " > ".join((*self._open[self._open.index(variable) :], variable))
            raise RenderProblem(f"variables ask for one another: {ring}")
        self._open.append(variable)
        try:
            self._done[variable] = self._renderer.render(raw, self._value)
        except RenderProblem as problem:
            self._note(variable, str(problem))
            raise
        finally:
            self._open.pop()
        return self._done[variable]

    def _note(self, variable: str, message: str) -> None:
        blamed_already = bool(self._failed)
        self._failed.add(variable)
        if blamed_already and message.endswith("cannot be rendered"):
            return
        if message.startswith("variables ask") and any(message == each.why for each in self.problems):
            return
        known = {*self._raw, *self._done, *self._fallbacks}
        mend = explain_undefined(message, known)
        summary = f'"{variable}" cannot be rendered: {message}'
        if message.startswith("variables ask"):
            summary = f'"{variable}" cannot be rendered, it needs itself'
        assigned = self._merged[variable].winner if variable in self._merged else None
        why = (
            message if summary.endswith("itself") else "Templates see the variables of their own node alone."
        )
        if assigned is None:
            self.problems.append(Diagnostic("E0212", summary, why=why, mend=mend, node=self._name))
        else:
            self.problems.append(
                replace(assigned.diagnose("E0212", summary, why=why, mend=mend), node=self._name)
            )


def _wrong(
    node: str, problem: ErrorDetails, values: Mapping[str, Json], merged: Mapping[str, Merged]
) -> Diagnostic:
    variable, inside = str(problem["loc"][0]), problem["loc"][1:]
    assigned = merged[variable].winner if variable in merged else None
    inside = inside[:-1] if inside[-1:] == ("[key]",) else inside
    dotted = ".".join((variable, *map(str, inside)))
    mend = ""
    if problem["type"] == "extra_forbidden":
        fields = _NESTED[variable].model_fields
        guess = nearest(str(inside[-1]), fields)
        summary = f'unknown key "{inside[-1]}" in {variable}'
        mend = f'did you mean "{guess}"?' if guess else f"Known keys: {', '.join(fields)}."
    elif problem["type"] == "missing":
        summary = f'key "{inside[-1]}" is missing in {variable}'
        mend = f"Add {inside[-1]}: to {variable}."
    else:
        summary = f"{dotted}: {problem['msg'].removeprefix('Value error, ')}"
    if assigned is None:  # a built-in default that does not fit, such as a node name that is no host
        return Diagnostic("E0213", summary, mend=mend, node=node)
    found = _at(assigned, summary, inside, mend, node, values[variable])
    # What stands where a login belongs may be a password: it is not repeated.
    return replace(found, snippet="", span=0, why="") if variable == "registries" else found


def _at(
    assigned: Assignment,
    summary: str,
    inside: tuple[int | str, ...],
    mend: str,
    node: str,
    value: Json,
) -> Diagnostic:
    """Point at the place; only where a template made the value does it matter on which node."""
    if same(assigned.value, value):
        return assigned.diagnose("E0213", summary, *inside, mend=mend)
    why = f"On {node} the template gives {shown(value)}."
    return replace(assigned.diagnose("E0213", summary, *inside, why=why, mend=mend), node=node)


def _node(
    name: str, groups: Sequence[str], typed: NodeVariables, values: Mapping[str, Json], root: str
) -> Node:
    key = typed.ansible_ssh_private_key_file or typed.ansible_private_key_file or ""
    if key and not key.startswith(("/", "~")):
        key = f"{root}/{key}"
    endpoint = Endpoint(
        host=typed.ansible_host,
        port=typed.ansible_port,
        user=typed.ansible_user or "",
        identity_file=key,
        jump=typed.ansible_ssh_common_args or "",
        host_key=typed.host_key or "",
    )
    implicit = {str(getattr(typed, kind)) for kind in IMPLICIT_KINDS if getattr(typed, kind)}
    roots, colima = typed.roots, typed.colima
    return Node(
        name=name,
        endpoint=endpoint,
        groups=tuple(sorted({*groups, *implicit})),
        platform=typed.platform,
        chip=typed.chip or "",
        hardware_model=typed.hardware_model or "",
        memory=typed.memory,
        ownership=typed.ownership,
        offer=typed.offer or "",
        provider=typed.provider or "",
        site=typed.site or "",
        environment=typed.environment or "",
        pool=typed.pool or "",
        role=typed.role or "",
        arms=typed.arms,
        hardware=typed.hardware,
        min_ready=typed.min_ready,
        trust=typed.trust,
        delivery=typed.delivery,
        registries=tuple(accesses(typed.registries)),
        relay=typed.relay,
        site_address=typed.site_address or "",
        client_processes=typed.client_processes,
        roots=Roots(roots.weights, roots.cache, roots.logs) if roots else None,
        colima=VmSize(colima.cpus, colima.memory, colima.disk) if colima else None,
        variables=values,
    )
