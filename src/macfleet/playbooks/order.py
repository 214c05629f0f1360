"""What must be settled before what: duplicates, needs named and inferred, cycles."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from macfleet.documents import nearest
from macfleet.model.diagnostic import Diagnostic
from macfleet.playbooks.expanded import Expanded
from macfleet.playbooks.kinds import is_compose_project

if TYPE_CHECKING:
    from macfleet.resources import ComposeService


def refuse_duplicates(expanded: Iterable[Expanded], problems: list[Diagnostic]) -> None:
    """Refuse a second resource with an address, or for a path, that is taken; both places are named."""
    first: dict[str, Expanded] = {}
    decided: dict[str, Expanded] = {}
    for each in expanded:
        path = each.params.decides()
        other = decided.setdefault(path, each) if path else each
        if other.address != each.address:
            why = f"{other.address} at {other.task.params.at()} does too; each would undo the other."
            summary = f"{each.address} decides what stands at its path"
            problems.append(each.task.params.diagnose("E0520", summary, why=why))
        taken = first.setdefault(each.address, each)
        if taken is not each:
            why = f"The first stands at {taken.task.params.at()}."
            looped = each.task.loop is not None
            mend = "Put {{ item }} into it." if looped else "Keep one of the two; give a command an id."
            found = each.task.params.diagnose("E0320", f"{each.address} is there twice", why=why, mend=mend)
            problems.append(found)


def infer_needs(
    expanded: Sequence[Expanded],
    files: Mapping[str, bytes],
    *,
    known_elsewhere: bool,
    before: frozenset[str] = frozenset(),
    problems: list[Diagnostic],
) -> dict[str, tuple[str, ...]]:
    """Return the needs of every address, sorted: those named, and those that follow from paths and tokens.

    With `known_elsewhere` a named address may be missing: tags have left its task out. What is `before`
    was settled on another machine, so that a name of it orders nothing here.
    """
    providers = {token: each.address for each in expanded for token in each.params.provides()}
    addresses = {each.address for each in expanded}
    needs = {}
    for each in expanded:
        found = {provider for token in _uses(each, files) for provider in _providers(token, providers)}
        for named in each.needs:
            if named in addresses:
                found.add(named)
            elif named not in before and not known_elsewhere:
                guess = nearest(named, addresses | before)
                mend = (
                    f'did you mean "{guess}"?'
                    if guess
                    else "Addresses look like directory./Users/ops/models."
                )
                document = each.task.document
                problems.append(
                    document.diagnose("E0321", f'nothing has the address "{named}"', "needs", mend=mend)
                )
        needs[each.address] = tuple(sorted(found - {each.address}))
    return needs


def refuse_cycles(
    expanded: Iterable[Expanded], needs: Mapping[str, tuple[str, ...]], problems: list[Diagnostic]
) -> None:
    """Refuse resources that wait for each other; the circle is named once."""
    tasks = {each.address: each for each in expanded}
    settled: set[str] = set()
    for start in sorted(needs):
        circle = _circle(start, needs, settled, [])
        if circle:
            place = tasks[circle[0]].task.document
            problems.append(place.diagnose("E0322", f"resources wait for each other: {' → '.join(circle)}"))
            return


def _uses(each: Expanded, files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return what a resource uses; a Compose project also uses the folders its services bind."""
    params = each.params
    uses = params.uses()
    if is_compose_project(params) and params.file in files:
        services = _services(files[params.file])
        return (*uses, *(path for service in services for path in service.binds))
    return uses


def _services(content: bytes) -> tuple[ComposeService, ...]:
    from macfleet.resources import parse_compose  # noqa: PLC0415  (where there is a Compose file)

    try:
        return parse_compose(content)
    except ValueError:
        return ()  # said by the check of the Compose file


def _providers(token: str, providers: Mapping[str, str]) -> tuple[str, ...]:
    """Return who provides a token; for a path also who provides the nearest folder above it."""
    exact = (providers[token],) if token in providers else ()
    folder = posixpath.dirname(token) if token.startswith("/") else ""
    while folder not in ("", "/"):
        if folder in providers:
            return (*exact, providers[folder])
        folder = posixpath.dirname(folder)
    return exact


def _circle(
    address: str, needs: Mapping[str, tuple[str, ...]], settled: set[str], path: list[str]
) -> list[str]:
    if address in path:
        return [*path[path.index(address) :], address]
    if address in settled:
        return []
    for need in needs[address]:
        found = _circle(need, needs, settled, [*path, address])
        if found:
            return found
    settled.add(address)
    return []
