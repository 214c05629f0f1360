"""A parsed playbook: what is known before any node is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from macfleet.documents import Document
from macfleet.model.diagnostic import Location
from macfleet.model.json import Json
from macfleet.model.resource import Resource
from macfleet.model.stage import GateSpec, StageName, Strategy
from macfleet.resources import Params


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable's raw value and where it stands; without a document it is final and never rendered."""

    value: Json
    document: Document | None = None
    path: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes:
        kind: parameters' type of the one resource kind the task names.
        params: the parameters as a document of their own, so that findings keep their lines.
        document: the whole task.
        when: expressions that all must be true; loop: None when the task does not loop.
        needs: addresses, perhaps with expressions.
        role: empty for a task of the playbook itself.
        delegate_to: ``controller`` or ``edge``; empty for the node itself.
    """

    name: str
    kind: type[Params]
    params: Document
    document: Document
    when: tuple[str, ...] = ()
    loop: Json = None
    tags: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    role: str = ""
    delegate_to: str = ""

    @property
    def title(self) -> str:
        """The task as people are shown it: its role before its name."""
        return f"{self.role} · {self.name}" if self.role else self.name


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """The `when` of a role where it is used.

    Attributes:
        role: whose variables the expressions see.
        texts: expressions that all must be true; they stand below ``when`` of `used`.
    """

    role: str
    texts: tuple[str, ...]
    used: Document


@dataclass(frozen=True, slots=True)
class Role:
    """A role as one playbook uses it.

    Attributes:
        variables: vars/main.yml, and what the playbook says where it uses the role.
        files: bytes by path below the role's files/ folder.
        tags: what its tasks are tagged with besides their own tags.
        ways: for each use of the role, its conditions and those of the roles that led to it. Its tasks act
            where all conditions of one way hold.
    """

    name: str
    defaults: Mapping[str, Variable] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    ways: tuple[tuple[Condition, ...], ...] = ((),)


@dataclass(frozen=True, slots=True)
class Measure:
    """What a stage measures: ``network`` or ``loadtest``, with parameters."""

    what: str
    params: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ParsedPlaybook:
    """A stage's playbook with its roles.

    Attributes:
        hosts: selection pattern, which stands at `hosts_at`.
        max_failures: a number such as ``2`` or a share such as ``10%``, met means stop; empty means none.
        roles: in the order they act, dependencies first.
        templates: template text by full path, for rendering and for naming lines.
    """

    file: str
    name: str
    stage: StageName
    hosts: str
    strategy: Strategy = field(default_factory=Strategy)
    max_failures: str = ""
    variables: Mapping[str, Variable] = field(default_factory=dict)
    roles: tuple[Role, ...] = ()
    tasks: tuple[Task, ...] = ()
    gates: tuple[GateSpec, ...] = ()
    measure: Measure | None = None
    templates: Mapping[str, str] = field(default_factory=dict)
    hosts_at: Location | None = None

    @property
    def tagged(self) -> tuple[tuple[Task, frozenset[str]], ...]:
        """Every task with all its tags, those of its role included, in the order the tasks act."""
        of_roles = ((task, role.tags.union(task.tags)) for role in self.roles for task in role.tasks)
        return (*of_roles, *((task, frozenset(task.tags)) for task in self.tasks))

    @property
    def tags(self) -> frozenset[str]:
        """Every tag of the stage."""
        return frozenset().union(*(tags for _, tags in self.tagged))


@dataclass(frozen=True, slots=True)
class CompiledStage:
    """A stage for one node.

    Attributes:
        resources: what is wanted on the node, in task order.
        digest: of everything the stage says about the node.
        delegated: what is wanted elsewhere for this node's sake, by machine.
    """

    resources: tuple[Resource, ...]
    digest: str
    delegated: Mapping[str, tuple[Resource, ...]] = field(default_factory=dict)
