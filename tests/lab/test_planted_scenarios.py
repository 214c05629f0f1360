"""The longer planted scenarios: each through the whole of stage 5, its verdict and what the verdict names.

They take about ten minutes on a quiet machine, so they run only when asked for: `make scenarios`.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re

import pytest
from planted import judged, measured, planted, slow_disk

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(
        os.environ.get("MACFLEET_SCENARIOS") != "all",
        reason="ten minutes more; run them with: make scenarios",
    ),
]

# A window needs eight seconds of the sampler before the mean of a series has bounds.
WINDOWS = ("--duration", "24s", "--segments", "2")


@pytest.fixture(scope="module")
def apart(serving, tmp_path_factory):
    """A twin of the serving fleet: what is recorded here is not that one's newest evidence."""
    return serving.twin(tmp_path_factory.mktemp("scenarios") / "fleet")


def promising(serving, folder, slots):
    """A twin that promises so short answers that the prompts are most of the work, from an engine of `slots`."""
    fleet = serving.twin(folder)
    for path in (folder / "contract" / "fixtures" / "short").glob("*.json"):
        fixture = json.loads(path.read_text(encoding="utf-8"))
        fixture["body"]["max_tokens"] = 8
        fixture["expected_tokens"] = {"min": 8, "max": 8}
        path.write_text(json.dumps(fixture, indent=2), encoding="utf-8")
    fleet.edit("contract/contract.yml", "version: 1", "version: 2")
    fleet.edit("contract/contract.yml", "engine_slots: 4", f"engine_slots: {slots}")
    fleet.edit("contract/contract.yml", "output: 128", "output: 8")
    fleet("contract", "freeze")
    fleet.commit("Short answers")
    return fleet


@pytest.fixture
def rolled(serving, tmp_path):
    """Roll such a twin out to the first node; afterwards that one serves what the others do."""

    def roll(slots):
        fleet = promising(serving, tmp_path / "fleet", slots)
        fleet("apply", "playbooks/site.yml", "-l", "mac-01")
        # Stage 4 may have locked another network mode, which stage 3 then applies.
        for stage in ("stage1", "stage2", "stage3", "stage4", "stage3"):
            fleet("rollout", stage, "--yes", "-l", "mac-01")
        return fleet

    try:
        yield roll
    finally:
        serving("apply", "playbooks/site.yml", "-l", "mac-01")
        serving("rollout", "stage3", "--yes", "-l", "mac-01")


def attest(fleet):
    """Two colleagues brought the service up from nothing within five business days."""
    today = dt.datetime.now(tz=dt.UTC).date()
    began, ended = (str(today - dt.timedelta(days=days)) for days in (7, 4))
    for who in ("ada", "lin"):
        fleet("attest", "--who", who, "--started", began, "--reproduced", ended)


def grown(reasons):
    """The lower bound of how much p95 grew from concurrency 1 to 4 in the container."""
    (text,) = [reason for reason in reasons if reason.startswith("container: p95 from short×1 to short×4")]
    return float(re.search(r"× \[([0-9.]+), ", text).group(1))


def test_where_iowait_is_silent_on_virtiofs_the_storage_proof_speaks_and_the_verdict_names_it(apart, nodes):
    with slow_disk(nodes, "mac-01"), planted(nodes, "mac-01", "vm-iowait"):
        column = measured(apart, "--duration", "8s", "--segments", "4")
    found = judged(column, "mounts-first")
    told = " · ".join(found["reasons"])
    assert found["outcome"] == "fail", told
    assert re.search(r"tokens/s of container against bare: −\d+ %", told), told
    assert "in-VM iowait (planted, simulated) 0.0 %" in told
    assert "on virtiofs, the storage proof spoke for slow storage" in told
    assert any(name.endswith("nodes/mac-01/storage.json") for name in found["evidence"])


def test_queueing_at_four_under_planted_memory_pressure_sends_live_traffic_elsewhere(rolled, nodes):
    fleet = rolled(slots=1)
    with planted(nodes, "mac-01", "host-memory", "85"):
        column = measured(fleet, *WINDOWS)
    found = judged(column, "offload-live")
    told = " · ".join(found["reasons"])
    assert found["outcome"] == "fail", told
    assert found["verdict"].startswith("shared live traffic goes to a dedicated remote node")
    assert grown(found["reasons"]) > 2.2
    assert re.search(r"container short×4: host memory used \(planted, simulated\) 8[45]\.\d %", told), told
    assert "(planted, simulated)" in fleet("decide", column["run"], exits=None).text


def test_with_nothing_planted_and_two_attestations_the_container_path_is_kept(apart):
    attest(apart)
    kept(measured(apart, *WINDOWS))


def test_four_slots_whose_p95_grows_by_itself_are_held_back_by_memory_that_is_free(rolled):
    fleet = rolled(slots=4)
    attest(fleet)
    column = measured(fleet, *WINDOWS)
    kept(column)
    live = judged(column, "offload-live")
    assert grown(live["reasons"]) > 2.2, live
    assert any("host memory used" in reason for reason in live["reasons"])


def kept(column):
    outcomes = {each["threshold"]: (each["outcome"], each["reasons"]) for each in column["judgements"]}
    assert [outcomes[name][0] for name in ("mounts-first", "offload-live", "reproducible")] == ["pass"] * 3, (
        outcomes
    )
    assert judged(column, "reproducible")["verdict"] == "keep the container path"
    assert not any("simulated" in reason for _, reasons in outcomes.values() for reason in reasons)
