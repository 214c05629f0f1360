"""Every event a fake run of each stage really emits is of the documented schema."""

import pytest

from macfleet.model.stage import StageName
from macfleet.views.event_kinds import document, faults

AT = "2026-11-23T04:12:05.000+00:00"


def told(fleet):
    return [document(event, AT) for event in fleet.events.seen]


@pytest.mark.parametrize("stage", list(StageName)[1:])
def test_what_a_stage_tells_is_of_the_schema(fleet, stage):
    fleet.upto(stage)
    fleet.rollout(stage)
    rows = told(fleet)
    assert {row["node"] for row in rows} == {"mac-01", "mac-02"}
    assert [(row["kind"], fault) for row in rows for fault in faults(row)] == []


def test_failures_are_told_in_the_schema_too(fleet):
    fleet.use(
        StageName.CONTRACT,
        more='    - name: broken\n      command: {run: "exit 3", unless: "false"}\n',
    )
    fleet.macs.mac("mac-02").reachable = False
    fleet.rollout(StageName.CONTRACT)
    rows = told(fleet)
    assert {"change.failed", "node.settled"} <= {row["kind"] for row in rows}
    assert {row.get("outcome") for row in rows if row["kind"] == "node.settled"} == {"failed", "unreachable"}
    assert [(row["kind"], fault) for row in rows for fault in faults(row)] == []
