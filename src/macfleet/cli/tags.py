"""`--tags` and `--skip-tags`: a part of a stage, asked for by the names its tasks carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import click

from macfleet.model.diagnostic import Diagnostic, Location, MacfleetError

if TYPE_CHECKING:
    from macfleet.playbooks import ParsedPlaybook, TagChoice
    from macfleet.rollout.result import StageResult

R = TypeVar("R")


def tag_options(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command ``--tags`` and ``--skip-tags``, each as often as wanted."""
    skip = click.option(
        "--skip-tags", "skip_tags", multiple=True, metavar="TAGS", help="Leave these tasks out."
    )
    only = click.option(
        "--tags", "only_tags", multiple=True, metavar="TAGS", help="Only these tasks; judges no gate."
    )
    return only(skip(command))


def chosen_tags(playbook: ParsedPlaybook, only: tuple[str, ...], skip: tuple[str, ...]) -> TagChoice:
    """Return what was asked for.

    Raises:
        MacfleetError: E0325 for a tag nothing has, E0329 for a part of a stage that measures.
    """
    from macfleet.playbooks import choose_tags

    choice = choose_tags(only, skip, playbook.tags)
    if choice.partial and playbook.measure is not None:
        why = "A measurement is about the whole node as the stage describes it."
        mend = "Leave --tags and --skip-tags out."
        where = Location(playbook.file)
        raise MacfleetError(Diagnostic("E0329", "a stage that measures has no parts", why, mend, where))
    return choice


def in_part(result: StageResult, playbook: ParsedPlaybook, choice: TagChoice) -> StageResult:
    """Return the result with what was left out by tag, in the order the tasks would have acted."""
    if not choice.partial:
        return result
    left_out = tuple(task.title for task, tags in playbook.tagged if not choice.wants(tags))
    return replace(result, part=str(choice), left_out=left_out, tasks=len(playbook.tagged))
