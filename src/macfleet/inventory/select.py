"""Which nodes a pattern means; a term that matches nothing is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from macfleet.documents import decoded
from macfleet.inventory.fleet import Inventory, unknown_term
from macfleet.inventory.names import ALWAYS_KNOWN, EVERYTHING, STATES
from macfleet.inventory.patterns import Sign, is_glob, parse_pattern, parse_subscript
from macfleet.inventory.ranges import RangeProblem, expand, has_range
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.node import Node
from macfleet.model.ports import Files

FAILED = "@failed"


def select(
    inventory: Inventory,
    pattern: str,
    *,
    failed: Collection[str] = (),
    states: Mapping[str, str] | None = None,
    at_files: Files | None = None,
) -> tuple[Node, ...]:
    """Return the nodes a pattern means, in inventory order.

    Unions first, then every ``&`` intersection, then every ``!`` exclusion, wherever they stand; a pattern
    of the latter two alone starts from all nodes.

    Args:
        inventory: what there is to select from.
        pattern: terms separated by commas or by colons; empty means all.
        failed: names that ``@failed`` stands for.
        states: state by node name, for the groups of states; a node without one is active.
        at_files: where ``@file`` is read: one term a line, ``#`` begins a comment.

    Raises:
        MacfleetError: E0220 for each term that matches nothing, E0221 a pattern that cannot be read, E0101 a
            file that is not UTF-8, all usage errors; E0222 (exit code 8) when every term is known and no
            node is left.
    """
    reader = _Reader(inventory, frozenset(failed), states or {}, at_files)
    terms = parse_pattern(pattern or EVERYTHING)
    chosen: dict[Sign, list[frozenset[str]]] = {sign: [] for sign in Sign}
    problems: list[Diagnostic] = []
    for term in terms:
        try:
            chosen[term.sign].append(reader.match(term.text))
        except MacfleetError as error:
            problems.extend(error.diagnostics)
    if problems:
        raise MacfleetError(problems)
    everything = frozenset(node.name for node in inventory.nodes)
    names = frozenset[str]().union(*chosen[Sign.UNION]) if chosen[Sign.UNION] else everything
    names = names.intersection(*chosen[Sign.INTERSECTION]).difference(*chosen[Sign.EXCLUSION])
    if not names:
        raise MacfleetError(_nothing(pattern))
    return tuple(node for node in inventory.nodes if node.name in names)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Matches single terms against one inventory."""

    inventory: Inventory
    failed: frozenset[str]
    states: Mapping[str, str]
    files: Files | None

    def match(self, term: str) -> frozenset[str]:
        """Return the names a term means (raises MacfleetError when it is not known)."""
        if term == FAILED:
            return self.failed & {node.name for node in self.inventory.nodes}
        if term.startswith("@"):
            return self._file(term[1:])
        known = self._subscript(term)
        if known is None:
            known = self._named(term)
        if known is None:
            known = self._range(term)
        if known is None:
            raise MacfleetError(unknown_term(term, self._known_words(), "node or group"))
        return frozenset(known)

    def _named(self, term: str) -> tuple[str, ...] | None:
        """Return what a name, a glob or a regular expression means; None when it is not known."""
        if term.startswith("~"):
            return self._matching(_regex(term))
        if is_glob(term):
            return self._matching(lambda name: fnmatchcase(name, term))
        if term in self.inventory.groups:
            return self.inventory.groups[term].nodes
        if term in STATES:
            names = (node.name for node in self.inventory.nodes)
            return tuple(name for name in names if self.states.get(name, "active") == term)
        if term in ALWAYS_KNOWN:
            return ()
        return (term,) if term in self.inventory.contenders else None

    def _matching(self, fits: Callable[[str], bool]) -> tuple[str, ...] | None:
        groups = [group for group in self.inventory.groups.values() if fits(group.name)]
        found = {name for group in groups for name in group.nodes}
        found |= {node.name for node in self.inventory.nodes if fits(node.name)}
        if not found and not groups:
            return None
        return tuple(node.name for node in self.inventory.nodes if node.name in found)

    def _subscript(self, term: str) -> tuple[str, ...] | None:
        subscript = parse_subscript(term)
        base = self._counted(subscript.base) if subscript else None
        if subscript is None or base is None:
            return None
        found = subscript.of(base)
        if not found:
            why = f'"{subscript.base}" has {len(base)} nodes, counted from 0; both ends are included.'
            raise MacfleetError(Diagnostic("E0220", f'"{term}" matches no node', why=why))
        return found

    def _counted(self, base: str) -> tuple[str, ...] | None:
        """Return what positions count: a group's own nodes as written, then its children's, by level."""
        group = self.inventory.groups.get(base)
        if group is None or base.startswith("~") or is_glob(base):
            return self._named(base)
        if group.kind or base == EVERYTHING:
            return group.nodes
        level, seen, found = [group], {base}, dict[str, None]()
        while level:
            found.update(dict.fromkeys(name for each in level for name in each.direct))
            below = dict.fromkeys(child for each in level for child in each.children if child not in seen)
            seen.update(below)
            level = [self.inventory.groups[child] for child in below]
        return tuple(found)

    def _range(self, term: str) -> tuple[str, ...] | None:
        if term.startswith("~") or not has_range(term):
            return None
        try:
            names = expand(term)
        except RangeProblem as problem:
            if parse_subscript(term) is not None and ":" not in term:
                return None  # positions of something that is not known
            raise MacfleetError(Diagnostic("E0221", f'range "{term}": {problem}')) from problem
        missing = [name for name in names if name not in self.inventory.contenders]
        if missing and len(missing) < len(names):
            listed = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
            why = "Every name of a range must be a node, so that a short pool is noticed."
            mend = "Name the nodes there are, or use a glob such as mac-*."
            summary = f'"{term}" names nodes the inventory lacks: {listed}'
            raise MacfleetError(Diagnostic("E0220", summary, why=why, mend=mend))
        return None if missing else names

    def _file(self, path: str) -> frozenset[str]:
        if self.files is None or not self.files.exists(path):
            mend = "`@file` reads one node, group or pattern a line."
            raise MacfleetError(Diagnostic("E0220", f'there is no file "{path}"', mend=mend))
        text = decoded(self.files.read(path), path)
        found: set[str] = set()
        problems: list[Diagnostic] = []
        for number, line in enumerate(text.splitlines(), start=1):
            term = line.partition("#")[0].strip()
            if not term:
                continue
            try:
                found |= self._line(term, Location(path, number), line)
            except MacfleetError as error:
                problems.extend(error.diagnostics)
        if problems:
            raise MacfleetError(problems)
        return frozenset(found)

    def _line(self, term: str, where: Location, line: str) -> frozenset[str]:
        if term[0] in "@&!":
            summary = f'"{term}" cannot stand in a file of nodes'
            mend = "A file is a union of names, groups, globs and ranges."
            raise MacfleetError(Diagnostic("E0221", summary, mend=mend, where=where, snippet=line))
        try:
            return self.match(term)
        except MacfleetError as error:
            raise MacfleetError(
                Diagnostic(
                    each.code, each.summary, each.why, each.mend, where=where, snippet=line, span=len(term)
                )
                for each in error.diagnostics
            ) from error

    def _known_words(self) -> list[str]:
        return [*(node.name for node in self.inventory.nodes), *self.inventory.groups, *ALWAYS_KNOWN]


def _regex(term: str) -> Callable[[str], bool]:
    """Return the test of ``~expression``; like Ansible it must match from the first character on."""
    try:
        expression = re.compile(term[1:])
    except re.error as error:
        raise MacfleetError(Diagnostic("E0221", f'"{term}" is no regular expression: {error}')) from error
    return lambda name: expression.match(name) is not None


def _nothing(pattern: str) -> Diagnostic:
    return Diagnostic(
        "E0222",
        f'no node is left of "{pattern}"',
        why="Every term is known; together they select nothing.",
        mend="`macfleet inventory graph` shows who is in which group.",
        exit_code=ExitCode.NOTHING_SELECTED,
    )
