"""A parsed playbook and one node become resources: pure, the same every time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from macfleet.documents import validate
from macfleet.model.diagnostic import Diagnostic, MacfleetError
from macfleet.model.image import ResolvedImage
from macfleet.model.json import Json
from macfleet.model.node import Node
from macfleet.model.ports import Secrets
from macfleet.model.resource import Resource
from macfleet.playbooks import contents, order
from macfleet.playbooks.expanded import Expanded
from macfleet.playbooks.node_view import node_view
from macfleet.playbooks.play import CompiledStage, Condition, ParsedPlaybook, Task, Variable
from macfleet.playbooks.render import Renderer
from macfleet.playbooks.scope import Scope
from macfleet.playbooks.tags import WHOLE, TagChoice
from macfleet.playbooks.tasks import CONTROLLER, EDGE
from macfleet.resources import Surroundings

if TYPE_CHECKING:
    from macfleet.gates.trust import Trust

_ORDER = (CONTROLLER, EDGE, "")
"""Machines by the order in which they are settled; the node itself has an empty name."""


@dataclass(frozen=True, slots=True)
class CompileContext:
    """What the fleet folder knows besides the inventory.

    Attributes:
        images: images.lock for the node's platform, by name.
        values: further names for expressions: ``contract``, ``network``, ``weights``, ``fleet``.
        secrets: who reads secret references; asked when a resource is probed, never while compiling.
        trust: how far an image is trusted, by its name; the others are trusted.
    """

    images: Mapping[str, ResolvedImage] = field(default_factory=dict)
    values: Mapping[str, Json] = field(default_factory=dict)
    secrets: Secrets | None = None
    trust: Mapping[str, Trust] = field(default_factory=dict)


class Compiler:
    """Compiles one playbook for many nodes; keeps compiled expressions between them."""

    def __init__(self, playbook: ParsedPlaybook) -> None:
        self._playbook = playbook
        self._renderer = Renderer(playbook.templates)

    def compile(self, node: Node, context: CompileContext, choice: TagChoice = WHOLE) -> CompiledStage:
        """Return the stage's resources for a node, in task order; only those of tasks that `choice` wants.

        Raises:
            MacfleetError: every finding: undefined variables, wrong values, duplicate addresses, unknown
                or circular needs, images that are not pinned.
        """
        problems: list[Diagnostic] = []
        expanded = tuple(self._expand(node, context, choice, problems))
        _stop(problems, node)
        targets = dict.fromkeys(["", *(each.task.delegate_to for each in expanded)])
        built = {}
        for target in targets:
            here = tuple(each for each in expanded if each.task.delegate_to == target)
            # What is settled earlier on another machine may be needed.
            earlier = _ORDER[: _ORDER.index(target)]
            before = frozenset(each.address for each in expanded if each.task.delegate_to in earlier)
            built[target] = self._build(here, before, node, context, choice, problems)
        _stop(problems, node)
        rows = tuple((each, found) for target in targets for each, found in built[target])
        delegated = {target: tuple(found for _, found in built[target]) for target in targets if target}
        resources = tuple(found for _, found in built[""])
        return CompiledStage(resources, _digest(self._playbook, rows), delegated)

    def _build(
        self,
        expanded: tuple[Expanded, ...],
        before: frozenset[str],
        node: Node,
        context: CompileContext,
        choice: TagChoice,
        problems: list[Diagnostic],
    ) -> tuple[tuple[Expanded, Resource], ...]:
        """Return the resources of one machine; `before` holds addresses that are settled elsewhere."""
        order.refuse_duplicates(expanded, problems)
        files = contents.file_contents(expanded, self._playbook, self._renderer, problems)
        _stop(problems, node)
        contents.refuse_images(expanded, files, context.images, context.trust, node, problems)
        needs = order.infer_needs(
            expanded, files, known_elsewhere=choice.partial, before=before, problems=problems
        )
        order.refuse_cycles(expanded, needs, problems)
        _stop(problems, node)
        around = Surroundings(node, images=context.images, files=files)
        if context.secrets is not None:
            around = replace(around, secret=context.secrets.resolve)
        return tuple(_resources(expanded, needs, around, problems))

    def _expand(
        self, node: Node, context: CompileContext, choice: TagChoice, problems: list[Diagnostic]
    ) -> Iterator[Expanded]:
        """Yield each task's parameters, rendered and checked, once per loop item."""
        scopes = self._scopes(node, _final(node, context))
        for task, tags in self._playbook.tagged:
            if not choice.wants(tags):
                continue
            try:
                if self._role_wanted(task.role, scopes):
                    yield from self._instances(task, scopes[task.role])
            except MacfleetError as error:
                problems += error.diagnostics

    def _scopes(self, node: Node, final: Mapping[str, Variable]) -> Mapping[str, Scope]:
        """Return what a role's tasks see: defaults < inventory < playbook < role < lock files.

        What the playbook's own tasks see has an empty name.
        """
        playbook = self._playbook
        inventory = {name: Variable(value) for name, value in node.variables.items()}
        defaults: dict[str, Variable] = {}
        for role in playbook.roles:
            defaults = {**role.defaults, **defaults}
        scopes = {"": Scope(self._renderer, (defaults, inventory, playbook.variables, final))}
        for role in playbook.roles:
            own = (defaults, role.defaults, inventory, playbook.variables, role.variables, final)
            scopes[role.name] = Scope(self._renderer, own)
        return scopes

    def _role_wanted(self, name: str, scopes: Mapping[str, Scope]) -> bool:
        """Whether one of the ways that led to a role holds; the playbook's own tasks are wanted."""
        role = next((role for role in self._playbook.roles if role.name == name), None)
        return role is None or any(all(self._holds(each, scopes) for each in way) for way in role.ways)

    def _holds(self, condition: Condition, scopes: Mapping[str, Scope]) -> bool:
        return all(
            self._renderer.condition(text, scopes[condition.role], condition.used, "when", at)
            for at, text in enumerate(condition.texts)
        )

    def _instances(self, task: Task, scope: Scope) -> Iterator[Expanded]:
        for item in self._items(task, scope):
            seen = scope if item is None else scope.extended({"item": item[0]})
            if self._wanted(task, seen):
                yield self._instance(task, seen)

    def _items(self, task: Task, scope: Scope) -> list[tuple[Json] | None]:
        if task.loop is None:
            return [None]
        items = self._renderer.value(task.loop, scope, task.document, "loop")
        if isinstance(items, list):
            return [(item,) for item in items]
        why = f"It gives {items!r}"[:80]
        mend = "Write a list, or an expression that gives one; of a mapping: {{ things | dictsort }}."
        found = task.document.diagnose(
            "E0313", "loop: must be a list", "loop", why=f"{why}.", mend=mend, on_value=True
        )
        raise MacfleetError(found)

    def _wanted(self, task: Task, scope: Scope) -> bool:
        conditions = enumerate(task.when)
        return all(
            self._renderer.condition(text, scope, task.document, "when", at) for at, text in conditions
        )

    def _instance(self, task: Task, scope: Scope) -> Expanded:
        name = self._renderer.value(task.name, scope, task.document, "name")
        params = _params(self._renderer, task, scope)
        checked = validate(replace(task.params, value=params), task.kind, code="E0303", kind=task.kind.kind)
        needs = self._renderer.value(list(task.needs), scope, task.document, "needs")
        wanted = tuple(str(need) for need in needs) if isinstance(needs, list) else ()
        return Expanded(task, str(name), checked, scope, wanted)


def compile_stage(
    playbook: ParsedPlaybook, node: Node, context: CompileContext, choice: TagChoice = WHOLE
) -> CompiledStage:
    """Return the stage's resources for one node; `Compiler` is quicker for many (same errors)."""
    return Compiler(playbook).compile(node, context, choice)


def _params(renderer: Renderer, task: Task, scope: Scope) -> Json:
    raw = task.params.value
    rendered: dict[str, Json] = {}
    for key, value in raw.items() if isinstance(raw, Mapping) else ():
        if key in task.kind.shell and isinstance(value, str):
            rendered[key] = renderer.shell(value, scope, task.params, key)
        else:
            rendered[key] = renderer.value(value, scope, task.params, key)
    return rendered


def _resources(
    expanded: tuple[Expanded, ...],
    needs: Mapping[str, tuple[str, ...]],
    around: Surroundings,
    problems: list[Diagnostic],
) -> Iterator[tuple[Expanded, Resource]]:
    for each in expanded:
        try:
            yield each, each.params.build(replace(around, needs=needs[each.address], task=each.name))
        except MacfleetError as error:
            problems += error.diagnostics
        except ValueError as error:
            problems.append(each.task.params.diagnose("E0323", f"{each.address}: {error}"))


def _final(node: Node, context: CompileContext) -> dict[str, Variable]:
    """Return the names no variable may shadow."""
    values: dict[str, Json] = {
        "network": {"mode": "bridge"},
        **context.values,
        **node_view(node, context.images),
    }
    return {name: Variable(value) for name, value in values.items()}


def _digest(playbook: ParsedPlaybook, built: tuple[tuple[Expanded, Resource], ...]) -> str:
    """Return the SHA-256 of everything the stage says about the node, and elsewhere for its sake."""
    rows = [
        [
            resource.address,
            resource.needs,
            each.params.model_dump(mode="json"),
            dict(resource.desired()),
            *([each.task.delegate_to] if each.task.delegate_to else []),
        ]
        for each, resource in built
    ]
    document = json.dumps([playbook.stage, rows], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(document.encode()).hexdigest()


def _stop(problems: list[Diagnostic], node: Node) -> None:
    if problems:
        raise MacfleetError(
            replace(problem, node=problem.node or node.name) for problem in dict.fromkeys(problems)
        )
