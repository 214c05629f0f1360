"""A run that was begun and not recorded: what its journal says."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from macfleet.model.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from macfleet.cli.fleet import FleetContext
    from macfleet.rollout.journalled import NodeStory
    from macfleet.store.sql_state import JournalHead


def is_begun(fleet: FleetContext, run_id: str) -> bool:
    """Whether no recorded run has this id, or begins with it, but the journal knows one."""
    from macfleet.model.diagnostic import MacfleetError

    if any(known.startswith(run_id) for known in fleet.runs.ids()):
        return False
    if not (fleet.root / ".macfleet").is_dir():
        return False
    try:
        fleet.state.head(run_id)
    except MacfleetError as error:
        if error.diagnostics[0].code == "E0956":
            return False
        raise
    return True


def show_begun(fleet: FleetContext, run_id: str) -> int:
    """Show what a run did that goes on, was interrupted or was killed (raises MacfleetError E0956)."""
    from macfleet.rollout.journalled import stories
    from macfleet.views.terminal import show, show_json

    head = fleet.state.head(run_id)
    entries = ((entry.node, entry.kind, entry.detail) for entry in fleet.state.entries(head.id))
    told = stories(head.nodes, entries)
    if fleet.output == "json":
        show_json(
            {
                "schema": 1,
                "kind": "begun-run",
                "run": head.id,
                "command": head.command,
                "started": _time(head.started),
                "finished": None if head.finished is None else _time(head.finished),
                "outcome": head.outcome or None,
                "resumes": head.detail.get("resumes"),
                "nodes": [story.document() for story in told],
            }
        )
    else:
        show(_lines(head, told))
    return int(ExitCode.DONE)


def _lines(head: JournalHead, told: Sequence[NodeStory]) -> Iterator[str]:
    from macfleet.model.stage import StageName
    from macfleet.views.diagnostics import clean

    ended = "never ended: it goes on right now, or was killed"
    if head.finished is not None:
        ended = f"ended {_time(head.finished)} with {head.outcome}"
    yield clean(f"run       {head.id} · {head.command}")
    yield clean(f"by        {head.detail.get('who') or 'nobody said'}, {_time(head.started)}; {ended}")
    if resumes := head.detail.get("resumes"):
        yield clean(f"resumes   {resumes}")
    yield ""
    width = max((len(story.node) for story in told), default=0)
    for story in told:
        for number, line in enumerate(_of(story)):
            yield clean(f"{story.node if not number else '':<{width}}   {line}")
    left = [story for story in told if story.outcome != "ok"]
    name = head.command.removeprefix("rollout ")
    if left and name in set(StageName):
        from macfleet.cli.resume import how_to_resume

        yield ""
        yield f"Go on: {how_to_resume(StageName(name), head.id)}"


def _of(story: NodeStory) -> Iterator[str]:
    from macfleet.views.rollout import spoken

    symbol = {"ok": "✓", "": "⌛"}.get(story.outcome, "✗")
    yield f"{symbol} {story.outcome or 'not ended'}{'' if story.done or story.flying else ', nothing sent'}"
    for address in story.done:
        yield f"✓ {spoken(address)} done"
    for address in story.failed:
        yield f"✗ {spoken(address)} failed"
    for address, job in story.flying.items():
        yield f"⌛ {spoken(address)} in the air{f', detached as job {job}' if job else ''}"


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
