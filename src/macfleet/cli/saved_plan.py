"""A plan as a file: what was looked at is what is carried out, or nothing is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from macfleet.cli.whole_file import write_whole
from macfleet.engine.looked_at import LookedAt
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.exit_codes import ExitCode
from macfleet.model.resource import Action, Change, FieldChange, Plan
from macfleet.model.stage import StageName

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from macfleet.model.json import Json
    from macfleet.rollout.result import StageResult

_SCHEMA = 2
_KIND = "saved-plan"
_SUM = "sha256"
_ANEW = "Make it anew: macfleet plan PLAYBOOK --save FILE"


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What a saved plan is about: its fleet, what was looked at of each node, the tags it was made with."""

    fleet: str
    stage: StageName
    playbook: str
    seen: Mapping[str, LookedAt]
    only_tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of its nodes, in the order they were planned."""
        from macfleet.rollout.elsewhere import is_node

        return tuple(name for name in self.seen if is_node(name))


def save_plan(path: Path, plan: SavedPlan, result: StageResult) -> None:
    """Write what `plan` says and every node's changes; a sum tells later whether somebody edited it.

    Raises:
        MacfleetError: E1006 (exit 1) the file cannot be written.
    """
    from macfleet.rollout.record import plan_document

    document: dict[str, Json] = {
        "schema": _SCHEMA,
        "kind": _KIND,
        "fleet": plan.fleet,
        "stage": str(plan.stage),
        "playbook": plan.playbook,
        "tags": list(plan.only_tags),
        "skip_tags": list(plan.skip_tags),
        "plans": [
            {**plan_document(found), "node": name, "digest": plan.seen[name].digest}
            for name, found in _plans(result)
        ],
    }
    document[_SUM] = _sum(document)
    write_whole(path, json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def seen_of(result: StageResult, whole: StageResult) -> dict[str, LookedAt]:
    """Return what `result` shows of each plan, with its digest of `whole`, which holds secrets still."""
    digests = {name: plan.digest for name, plan in _plans(whole)}
    return {name: LookedAt(digests[name], plan) for name, plan in _plans(result)}


def is_saved_plan(path: Path) -> bool:
    """Whether the file begins as a saved plan does, or nobody may look; a folder and YAML are none."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            begin = file.read(4096)
    except OSError:
        return path.suffix not in (".yml", ".yaml")
    return begin.lstrip().startswith(b"{") and f'"kind": "{_KIND}"'.encode() in begin


def read_plan(path: Path) -> SavedPlan:
    """Return what a file says that `save_plan` wrote.

    Raises:
        MacfleetError: E0117 it cannot be read, was cut off or edited, or is another version's.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MacfleetError(_unreadable(path, f"{error.strerror}.", ExitCode.INTERNAL)) from error
    except ValueError as error:
        raise MacfleetError(_unreadable(path, f"It was cut off or damaged: {error}.")) from error
    if not isinstance(document, dict) or document.get("schema") != _SCHEMA:
        said = document.get("schema") if isinstance(document, dict) else None
        why = f"It was saved by another version (schema {said}; this one writes {_SCHEMA})."
        raise MacfleetError(_unreadable(path, why))
    if document.pop(_SUM, "") != _sum(document):
        why = "It was edited after it was saved, so it is not what somebody looked at."
        raise MacfleetError(_unreadable(path, why))
    try:
        return _understood(document)
    except (ValueError, KeyError, TypeError) as error:
        raise MacfleetError(_unreadable(path, f"{type(error).__name__}: {error}.")) from error


def refuse_other_fleet(plan: SavedPlan, path: Path, fleet: str) -> None:
    """Raise MacfleetError E0120 where a plan was made in a fleet folder of another name."""
    if plan.fleet != fleet:
        raise MacfleetError(
            Diagnostic(
                "E0120",
                f"{path} is a plan of the fleet {plan.fleet}, and this is {fleet}",
                why="Nodes of the same name may be other machines there.",
                mend="Name its folder with --fleet, or look again: macfleet plan PLAYBOOK --save FILE",
                where=Location(str(path)),
            )
        )


def refuse_other_nodes(plan: SavedPlan, path: Path, nodes: Sequence[str], *, limited: bool) -> None:
    """Raise MacfleetError E0121 for nodes nobody looked at and, unless `limited`, for those that are gone."""
    strange = [name for name in nodes if name not in plan.seen]
    gone = [] if limited else [name for name in plan.nodes if name not in nodes]
    problems = []
    if strange:
        mend = f"Limit it to nodes of the plan: {', '.join(plan.nodes)}."
        why = "Nobody looked at what is needed there."
        problems.append(Diagnostic("E0121", f"{path} does not hold {', '.join(strange)}", why=why, mend=mend))
    if gone:
        summary = f"{path} holds {', '.join(gone)}, which the stage is not for any more"
        why = "The inventory, or hosts: of the playbook, was edited since."
        mend = f"macfleet apply {path} --limit {','.join(nodes)}" if nodes else _ANEW
        problems.append(Diagnostic("E0121", summary, why=why, mend=mend))
    if problems:
        raise MacfleetError(problems)


def _understood(document: Mapping[str, Any]) -> SavedPlan:
    plan = SavedPlan(
        str(document["fleet"]),
        StageName(document["stage"]),
        str(document["playbook"]),
        {str(row["node"]): _looked_at(row) for row in document["plans"]},
        tuple(map(str, document["tags"])),
        tuple(map(str, document["skip_tags"])),
    )
    if not plan.nodes:
        raise ValueError("it holds no node")
    return plan


def _plans(result: StageResult) -> Iterator[tuple[str, Plan]]:
    """Yield every plan with the name it is saved by, those of machines besides the nodes first."""
    from macfleet.rollout.elsewhere import saved_name

    for machine in result.beside:
        if machine.plan:
            yield saved_name(machine.node), machine.plan
    for node in result.results:
        if node.plan:
            yield node.node, node.plan


def _looked_at(row: Mapping[str, Any]) -> LookedAt:
    """Return one node's plan as it stands in the file (raises KeyError, TypeError or ValueError)."""
    changes = tuple(
        Change(
            str(change["address"]),
            Action(change["action"]),
            tuple(
                FieldChange(str(each["field"]), _value(each["before"]), _value(each["after"]))
                for each in change["fields"]
            ),
            str(change["reason"]),
        )
        for change in row["pending"]
    )
    return LookedAt(str(row["digest"]), Plan(str(row["node"]), changes, compiled=str(row["compiled"])))


def _value(said: Any) -> Any:
    return tuple(map(str, said)) if isinstance(said, list) else said


def _sum(document: Mapping[str, Json]) -> str:
    """Return the SHA-256 of all that a plan says besides its sum."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _unreadable(path: Path, why: str, exit_code: ExitCode = ExitCode.USAGE) -> Diagnostic:
    return Diagnostic(
        "E0117",
        f"{path} is not a plan this version can read",
        why=why,
        mend=_ANEW,
        where=Location(str(path)),
        exit_code=exit_code,
    )
