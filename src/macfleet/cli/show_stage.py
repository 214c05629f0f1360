"""How a stage ended, on stdout: for people, or as one JSON document."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from macfleet.cli.fleet import FleetContext
    from macfleet.rollout.desired import Desired
    from macfleet.rollout.result import StageResult


def show_stage(fleet: FleetContext, result: StageResult, desired: Desired, *after: str) -> None:
    """Show a result without secrets; lines `after` it are for people alone."""
    from macfleet.views.terminal import show, show_json

    if fleet.output == "json":
        from macfleet.views.rollout_document import document

        show_json(document(result))
        return
    from macfleet.views import rollout as view
    from macfleet.views.flow import width_of

    show([*view.lines(result, desired, verbose=fleet.verbose, width=width_of(sys.stdout)), *after])
