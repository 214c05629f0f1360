"""A plan as a file: what was looked at is what is carried out, or nothing is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from macfleet.cli.whole_file import write_whole
from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError
from macfleet.model.stage import StageName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from macfleet.rollout.result import StageResult


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """What a saved plan is about: digest by node, and the tags it was made with."""

    stage: StageName
    playbook: str
    digests: Mapping[str, str]
    only_tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()


def save_plan(
    path: Path, playbook: str, result: StageResult, only_tags: tuple[str, ...], skip_tags: tuple[str, ...]
) -> None:
    """Write every node's plan with its digest; nodes that could not be planned are left out."""
    from macfleet.rollout.record import plan_document

    everybody = (*((result.elsewhere,) if result.elsewhere else ()), *result.results)
    document = {
        "schema": 1,
        "kind": "saved-plan",
        "stage": str(result.stage),
        "playbook": playbook,
        "tags": list(only_tags),
        "skip_tags": list(skip_tags),
        "plans": [plan_document(node.plan) for node in everybody if node.plan],
    }
    write_whole(path, json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def is_saved_plan(path: Path) -> bool:
    """Whether the file says that it is a saved plan."""
    if not path.is_file() or path.suffix in (".yml", ".yaml"):
        return False
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("kind") == "saved-plan"


def read_plan(path: Path) -> SavedPlan:
    """Return what a file says that `save_plan` wrote (raises MacfleetError E0117)."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        digests = {str(row["node"]): str(row["digest"]) for row in document["plans"]}
        tags = tuple(map(str, document.get("tags", ()))), tuple(map(str, document.get("skip_tags", ())))
        return SavedPlan(StageName(document["stage"]), str(document["playbook"]), digests, *tags)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MacfleetError(
            Diagnostic(
                "E0117",
                f"{path} is not a plan this version can read",
                why=f"{type(error).__name__}: {error}",
                mend="Make it anew: macfleet plan PLAYBOOK --save FILE",
                where=Location(str(path)),
            )
        ) from error
