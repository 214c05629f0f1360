"""The shape of a playbook and of a role's task list, at the border."""

from __future__ import annotations

import re
from typing import Any

from pydantic import Field, field_validator

from macfleet.documents import Border

_COUNT_OR_SHARE = re.compile(r"^[1-9][0-9]*%?$")
CountOrShare = str | int


def count_or_share(value: CountOrShare) -> str:
    """Return ``2`` or ``25%`` as text (raises ValueError for anything else)."""
    text = str(value)
    if not _COUNT_OR_SHARE.match(text) or (text.endswith("%") and int(text[:-1]) > 100):
        raise ValueError(f"{text!r} is neither a number from 1 nor a share such as 25%")
    return text


class StrategyBorder(Border):
    """How the stage goes through the nodes."""

    canary: int = Field(0, ge=0, description="Nodes of the first wave.")
    batch: tuple[str, ...] = Field((), description="Size of later waves: 3, 25%, or a list of them.")
    drain: bool = Field(False, description="Take a node that changes out of service first.")

    @field_validator("batch", mode="before")
    @classmethod
    def _sizes(cls, value: CountOrShare | list[CountOrShare]) -> tuple[str, ...]:
        return tuple(map(count_or_share, value if isinstance(value, list) else [value]))


class PlayBorder(Border):
    """A stage's playbook: the one item of the file's list."""

    name: str = Field(description="What the stage is for, in a line.")
    stage: str = Field(description="provision, contract, images, layout, network or loadtest.")
    hosts: str = Field(description="Pattern of nodes.")
    strategy: StrategyBorder = Field(
        default=StrategyBorder.model_validate({}), description="Canary, batches, drain."
    )
    max_failures: str = Field("", description="Failures that stop the rollout: 2 or 10%; met means stop.")
    roles: tuple[Any, ...] = Field((), description="Roles, by name or as {role: NAME, vars: {…}}.")
    vars: dict[str, Any] = Field(default_factory=dict, description="Variables of this playbook.")
    tasks: tuple[Any, ...] = Field((), description="Tasks after those of the roles.")
    gates: tuple[Any, ...] = Field((), description="What must hold before the stage counts as done.")
    measure: Any = Field(None, description="network or loadtest, for a stage that measures.")

    @field_validator("max_failures", mode="before")
    @classmethod
    def _failures(cls, value: CountOrShare) -> str:
        return count_or_share(value)


class RoleUseBorder(Border):
    """A role with variables of its own."""

    role: str = Field(description="Name of the role.")
    vars: dict[str, Any] = Field(default_factory=dict, description="Variables for this role alone.")
    when: bool | str | tuple[str, ...] = Field(
        (),
        description="Expressions that must all be true, or neither it acts nor what it depends on.",
    )
    tags: str | tuple[str, ...] = Field(
        (), description="Tags that each of its tasks, and of the roles it depends on, has besides its own."
    )


class RoleMetaBorder(Border):
    """A role's meta/main.yml."""

    dependencies: tuple[Any, ...] = Field(
        (), description="Roles that act before this one, by name or as {role: NAME, vars: {…}}."
    )


class TaskBorder(Border):
    """What a task may say besides its resource kind."""

    name: str = Field("", description="What the task is for, in a line.")
    when: bool | str | tuple[str, ...] = Field((), description="Expressions that must all be true.")
    loop: Any = Field(None, description="A list; the task is repeated with each as item.")
    tags: str | tuple[str, ...] = Field((), description="Names for --tags and --skip-tags.")
    needs: str | tuple[str, ...] = Field((), description="Addresses that must be settled first.")
    delegate_to: str = Field(
        "", description="controller or edge: the machine it acts on instead of the node."
    )
