"""Desired state as values: probe, state, change, plan, step.

A state is a flat record of named fields. That lets comparing, showing, saving and refusing a plan be
written once for every resource type (docs/design/0003-flat-states.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, runtime_checkable

from macfleet.model.diagnostic import Diagnostic

Value = None | bool | int | str | tuple[str, ...]
State = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class ProbeOutput:
    """What one probe printed on a node; untrusted data.

    Attributes:
        exit: exit status of the probe's script; 137 when its limit cut it.
        cut: whether the probe was stopped at its limit.
    """

    exit: int
    stdout: str
    stderr: str = ""
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Probe:
    """Read-only shell text and the parser of what it prints.

    Attributes:
        script: POSIX sh; runs in a subshell with stdin closed and Homebrew on PATH.
        parse: output to the actual state, or None when the thing is absent. Raises ValueError when
            the output is not understood: an unreadable answer is an error, never "absent".
        limit: seconds after which the probe alone is stopped.
        file: path of a small file about which the script asks ``mf_file PATH`` where there is such a
            function: it prints mode and owner as ``stat -f '%Mp%Lp %Su:%Sg'`` does, then the line of
            ``shasum -a 256``; one program of each reads the files of all probes. Such a script runs in one
            shell with others of its kind: it does not end that shell. Empty for none.
        plain: whether the script runs in one shell with other plain ones: it leaves that shell as it was but
            for variables, starts nothing that outlives it, and nothing that may hang for other reasons than
            the node's own disk.
        given: a test of the shell's own, such as ``[ -e PATH ]``, without which the script does not run and
            its answer is empty; empty for none.
    """

    script: str
    parse: Callable[[ProbeOutput], State | None]
    limit: float = 20.0
    file: str = ""
    plain: bool = False
    given: str = ""


class Action(StrEnum):
    """What a change does to a resource."""

    NOOP = "noop"
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field before and after."""

    field: str
    before: Value
    after: Value


@dataclass(frozen=True, slots=True)
class Change:
    """What one resource needs on one node; NOOP when nothing.

    Attributes:
        fields: the fields that differ, sorted by name.
        reason: in words, where the fields alone do not say it.
        blocked: why macfleet refuses to make the change; empty when it can be made.
    """

    address: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    reason: str = ""
    blocked: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A step: run a script on the node.

    Attributes:
        script: POSIX sh; it travels on stdin, so it may hold secrets, but never pass one as an argument.
        become: run as root through ``sudo -n``.
        limit: seconds the step may take; one that may take more than 30 outlives the connection.
    """

    script: str
    become: bool = False
    limit: float = 30.0


@dataclass(frozen=True, slots=True)
class Put:
    """A step: write a file atomically, with its final mode and owner from the first byte."""

    path: str
    content: bytes = field(repr=False)  # it may be a secret
    mode: str = "0644"
    become: bool = False
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """A step: feed bytes that a named source yields to a script's stdin.

    Attributes:
        source: opaque name that the apply port's `Sources.open` understands, such as ``oci:REF``.
        script: reads the bytes from its stdin.
        limit: seconds the step may take.
    """

    source: str
    script: str
    limit: float = 900.0


@dataclass(frozen=True, slots=True)
class Assemble:
    """A step: bring the parts that a node lacks, each proven and gone on with after a break, and join them.

    Attributes:
        source: opaque name that the apply port's `Sources.parts` understands, such as ``oci:REF``.
        ask: prints ``folder PATH``, where parts are kept under their names, ``free KIB`` there, and
            ``have NAME`` for each part that is needed no more; the names of all parts are its arguments.
            ``room KIB TIMES WHERE`` says of another disk what is free, and how often it must hold what is
            missing.
        script: joins what lies in the folder; the names of all parts are its arguments. Exit 75 says that
            something it was thought to have is not there: then every part is brought.
        limit: seconds the joining may take.
    """

    source: str
    ask: str
    script: str
    limit: float = 900.0


Step = Run | Put | Stream | Assemble


class Resource(Protocol):
    """One desired thing with a unique address; holds no connection."""

    @property
    def address(self) -> str:
        """Unique name such as ``file./Users/ops/macfleet/compose.yaml``."""

    @property
    def kind(self) -> str:
        """Resource type, such as ``file``."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Addresses that must be settled first."""

    def probe(self) -> Probe:
        """Return how to read the actual state."""

    def desired(self) -> State:
        """Return the state that is wanted."""

    def change(self, actual: State | None) -> Change:
        """Compare the actual state with the desired one."""

    def steps(self, change: Change) -> tuple[Step, ...]:
        """Return what makes the change, in order; empty for NOOP."""


@runtime_checkable
class Telling(Protocol):
    """A resource that reads more out of what its steps printed than whether they succeeded."""

    def notes(self, output: ProbeOutput) -> tuple[str, ...]:
        """Return what steps that succeeded have to say all the same."""

    def refusal(self, output: ProbeOutput) -> Diagnostic | None:
        """Return what became of a step that failed, where it can be said better than by its last words."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Every change of one node in dependency order.

    Attributes:
        levels: addresses by dependency level; a level needs only levels before it.
        compiled: digest of the resources the plan was made from.
    """

    node: str
    changes: tuple[Change, ...]
    levels: tuple[tuple[str, ...], ...] = ()
    compiled: str = ""

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes that do something."""
        return tuple(change for change in self.changes if change.action is not Action.NOOP)

    @property
    def digest(self) -> str:
        """SHA-256 over the pending changes; equal digests mean the same plan."""
        rows = [
            [change.address, change.action, [[f.field, f.before, f.after] for f in change.fields]]
            for change in self.pending
        ]
        document = json.dumps([self.node, self.compiled, rows], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(document.encode()).hexdigest()


def compare(address: str, desired: State, actual: State | None) -> Change:
    """Return the change from `actual` to `desired`; fields that are not desired are not looked at.

    This is the default of every resource: absent means CREATE, differing fields mean UPDATE.
    """
    if actual is None:
        fields = tuple(FieldChange(name, None, desired[name]) for name in sorted(desired))
        return Change(address, Action.CREATE, fields)
    differing = tuple(
        FieldChange(name, actual.get(name), desired[name])
        for name in sorted(desired)
        if actual.get(name) != desired[name]
    )
    return Change(address, Action.UPDATE if differing else Action.NOOP, differing)


def removal(address: str, actual: State | None) -> Change:
    """Return the change that takes away what is there; NOOP when it is absent already."""
    if actual is None:
        return Change(address, Action.NOOP)
    fields = tuple(FieldChange(name, actual[name], None) for name in sorted(actual))
    return Change(address, Action.DELETE, fields)
