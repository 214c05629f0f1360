"""A task made concrete for one node and one loop item."""

from __future__ import annotations

from dataclasses import dataclass

from macfleet.playbooks.play import Task
from macfleet.playbooks.scope import Scope
from macfleet.resources import Params


@dataclass(frozen=True, slots=True)
class Expanded:
    """Checked parameters with the task they come from.

    Attributes:
        scope: what the task's expressions saw; its template sees the same.
        needs: addresses the task names.
    """

    task: Task
    name: str
    params: Params
    scope: Scope
    needs: tuple[str, ...] = ()

    @property
    def address(self) -> str:
        """The resource's address."""
        return self.params.address(self.name)
