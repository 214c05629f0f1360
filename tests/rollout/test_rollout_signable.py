"""A load test of half an hour an arm and cell can be signed from end to end; one that was shorter cannot."""

import json
from dataclasses import replace

import pytest
from straight_line import Fleet, outcomes
from test_rollout_vm import COLIMA

from macfleet.model.stage import StageName
from macfleet.reports.loaded import load_run
from macfleet.reports.signable import unsignable
from macfleet.rollout.load_plan import load_plan
from macfleet.rollout.load_profile import full_profile, short_profile
from macfleet.store import FolderRuns
from macfleet.testing import mac

pytestmark = pytest.mark.slow  # seconds of waiting for engines that are scripts here

LOADTEST = StageName.LOADTEST
# What the sampler prints over all seconds that the fake client's windows may fall into.
SAMPLED = "".join(
    f"H {second} memsize=100;page=1;anonymous=30;purgeable=0;wired=10;compressor=5\n"
    f"V {second} stat= {90 * second} 0 0 {9 * second} {second} 0 0 0 0 0;total=100;available=40\n"
    for second in range(1_700_000_900, 1_700_003_200, 5)
)


@pytest.fixture
def carry_out(tmp_path, monkeypatch):
    """Carry out stage 5 on one node by a profile; return what was planned, and what keeps it from a signature."""
    monkeypatch.setattr(mac, "PROGRAMS", {**mac.PROGRAMS, "colima": COLIMA})

    def run(profile, **desired):
        fleet = Fleet.make(tmp_path, "mac-01").upto(LOADTEST)
        fleet.desired = replace(fleet.desired, commit="c0ffee", **{"dirty": False, **desired})
        fleet.macs.mac("mac-01").canned = {"watch_host": SAMPLED.encode()}
        fleet.runs = FolderRuns(tmp_path / "runs")
        commit = (fleet.desired.commit, fleet.desired.dirty)
        plan = load_plan(fleet.nodes, fleet.desired, profile, {}, commit=commit)
        result = fleet.rollout(LOADTEST, load=profile)
        assert outcomes(result) == {"mac-01": "changed"}
        recorded = load_run(fleet.runs, result.run)
        states = json.loads((tmp_path / "runs" / result.run / "nodes/mac-01/vm.json").read_text())
        found = unsignable(recorded, {"mac-01": states["vm_during_bare"]})
        return plan, {each.code: each.summary for each in found}

    return run


def test_half_an_hour_an_arm_and_cell_can_be_signed(carry_out):
    plan, found = carry_out(full_profile(1800.0))
    assert found == {}
    assert plan.unsignable == ()


def test_what_the_plan_says_of_a_short_one_is_what_keeps_it_from_a_signature(carry_out):
    plan, found = carry_out(short_profile(full_profile(1800.0), 600.0))
    assert [why.partition(",")[0] for why in plan.unsignable] == ["short"]
    # The VM stays up where a change would take longer than a segment, which the plan's word covers as well.
    assert set(found) == {"E0974", "E0977"}
    assert "bare short×1 is short: 10.0 minutes" in found["E0974"]


def test_uncommitted_changes_are_said_before_and_after(carry_out):
    plan, found = carry_out(full_profile(1800.0), dirty=True)
    assert plan.unsignable == ("the fleet folder has uncommitted changes",)
    assert set(found) == {"E0971"}
