from pathlib import Path

import pytest

from macfleet.model.contract import ClientDiscipline, Contract
from macfleet.model.diagnostic import Diagnostic
from macfleet.model.gateway import Out
from macfleet.model.resource import Action, Change, FieldChange, Plan
from macfleet.model.stage import Outcome, StageName, Verdict
from macfleet.rollout.desired import Desired
from macfleet.rollout.result import NodeOutcome, NodeResult, StageResult

COMPOSE = Change(
    "file./Users/ops/macfleet/compose.yaml", Action.UPDATE, (FieldChange("mode", "0600", "0644"),)
)
RESTART = Change("compose_project.chat", Action.REPLACE, reason="container killed outside macfleet → start")
FOLDER = Change("directory./Users/ops/logs/engine", Action.CREATE)
EXFAT = Verdict(
    "mounts_local",
    "mac-11",
    Outcome.HOLD,
    ("weights on /Volumes/Backup (exfat, removable)",),
    "macfleet model place small-chat -l mac-11",
)
SILENT = Diagnostic(
    "E0401",
    "10.0.0.12:22 did not answer within 10 s",
    why="The name resolves; the connection was not accepted.",
    mend="Is it awake? macfleet ping mac-12",
    node="mac-12",
)


@pytest.fixture(scope="session")
def desired():
    """What the fleet folder wants, as far as a view names it."""
    contract = Contract(
        name="chat-small",
        version=3,
        hash="9f2c" + "0" * 60,
        sent_hash="5a" * 32,
        routes=(),
        model="small",
        engine_slots=4,
        concurrency=(1, 4),
        buckets=(),
        primary="short",
        client=ClientDiscipline(),
        duration=1800.0,
        fixture_hashes={},
    )
    return Desired(contract, {})


def node(name, outcome, *changes, **more):
    return NodeResult(name, outcome, Plan(name, changes), **more)


def current(*numbers):
    return [node(f"mac-{n:02}", NodeOutcome.CURRENT) for n in numbers]


@pytest.fixture
def checked():
    """Twelve nodes: one to change, one held, ten current."""
    results = (
        *current(1, 2, 3, 4, 5, 6),
        node("mac-07", NodeOutcome.PENDING, COMPOSE, RESTART),
        *current(8, 9, 10),
        node("mac-11", NodeOutcome.HELD, verdicts=(EXFAT,)),
        *current(12),
    )
    return StageResult(StageName.LAYOUT, results, seconds=0.8, check=True)


@pytest.fixture
def carried_out():
    """Six nodes: two changed alike, one changed otherwise, one failed, one unreachable, one not reached."""
    quick = Out("drained in 1.0 s, nothing in flight", 18080, 1.0)
    slow = Out("drained in 21 s, 7 in flight finished", 18080, 21.0, 7)
    came_back = ("drained in 1.0 s, nothing in flight", "back in service after 2.1 s")
    stays_out = ("drained in 21 s, 7 in flight finished", "stays out of service")
    changed = (FOLDER.address, COMPOSE.address)
    failed = Diagnostic(
        "E0512",
        "docker compose up ended with 1",
        why="no space left on device",
        mend="macfleet exec -l mac-03 -- df -h",
        node="mac-03",
        address="compose_project.chat",
    )
    return StageResult(
        StageName.LAYOUT,
        (
            node(
                "mac-01", NodeOutcome.CHANGED, FOLDER, COMPOSE, changed=changed, notes=came_back, left=quick
            ),
            node(
                "mac-02", NodeOutcome.CHANGED, FOLDER, COMPOSE, changed=changed, notes=came_back, left=quick
            ),
            node(
                "mac-03",
                NodeOutcome.FAILED,
                RESTART,
                diagnostics=(failed,),
                notes=stays_out,
                left=slow,
                out=True,
            ),
            node(
                "mac-04",
                NodeOutcome.CHANGED,
                RESTART,
                changed=(RESTART.address,),
                notes=came_back,
                left=quick,
            ),
            NodeResult("mac-12", NodeOutcome.UNREACHABLE, diagnostics=(SILENT,)),
            NodeResult("mac-13", NodeOutcome.NOT_REACHED),
        ),
        run="20261123T041205Z-stage3-1a2b",
        folder=".macfleet/runs/20261123T041205Z-stage3-1a2b",
        seconds=94.2,
    )


@pytest.fixture
def held_loadtest():
    """Stage 5 on two nodes, one with INVALID cells."""
    late = tuple(
        f"{arm} short×{many}: segment 0: the client's own loop was {ms} ms late (p99), more than 5.0 ms"
        for arm, many, ms in (("bare", 1, 8.6), ("container", 4, 17.8))
    )
    verdict = Verdict(
        "cells_valid", "mac-01", Outcome.HOLD, late, "macfleet rollout stage5 --again -l mac-01"
    )
    return StageResult(
        StageName.LOADTEST,
        (
            node("mac-01", NodeOutcome.HELD, verdicts=(verdict,)),
            node("mac-02", NodeOutcome.UNCHANGED),
        ),
        run="20261123T050937Z-stage5-6436",
        folder=".macfleet/runs/20261123T050937Z-stage5-6436",
        seconds=75.0,
    )


@pytest.fixture
def silent():
    """A check that reached nobody."""
    result = NodeResult("mac-12", NodeOutcome.UNREACHABLE, diagnostics=(SILENT,))
    return StageResult(StageName.PROVISION, (result,), seconds=10.1, check=True)


@pytest.fixture
def looked_at():
    """The folder of views that were looked at."""
    return Path(__file__).parent / "golden"
