"""Stage 4: both modes measured, the serving project untouched afterwards, the lock's text."""

import pytest
import yaml
from straight_line import Fleet, held_reasons, outcomes

from macfleet.model.load import Vantage
from macfleet.model.stage import StageName
from macfleet.rollout.desired import NetworkChoice
from macfleet.rollout.network import locked_choice, render_lock
from macfleet.testing.load import FakePings

NETWORK = StageName.NETWORK


@pytest.fixture
def one(tmp_path):
    fleet = Fleet.make(tmp_path, "mac-01").upto(NETWORK)
    proof = fleet.home("mac-01").parent / "mac-01/proof/compose.yaml"
    fleet.load.mode_of = lambda _node: proof.read_text().split()[-1]
    return fleet


def every_path(mode, milliseconds):
    pings = FakePings((milliseconds,) * 20)
    return {(mode, vantage, kept): pings for vantage in Vantage for kept in (True, False)}


def test_each_mode_is_measured_from_every_vantage_with_kept_and_new_connections(one):
    one.rollout(NETWORK)
    proof = one.evidences.latest("mac-01", NETWORK).evidence["network"]
    assert set(proof["paths"]) == {
        f"{mode}/{vantage}/{connection}"
        for mode in ("bridge", "host")
        for vantage in ("in-container", "node-loopback", "client")
        for connection in ("keep-alive", "fresh")
    }
    run = one.evidences.latest("mac-01", NETWORK).run
    assert one.runs.document(run, "nodes/mac-01/network.json") == proof
    assert one.runs.manifest(run).kind == "network"


def test_bridge_stays_where_both_are_equal(one):
    one.rollout(NETWORK)
    assert one.evidences.latest("mac-01", NETWORK).evidence["network"]["mode"] == "bridge"


def test_host_mode_that_is_clearly_better_is_chosen_and_goes_into_the_lock(one):
    one.load.pings = {**every_path("bridge", 2.0), **every_path("host", 1.0)}
    result = one.rollout(NETWORK)
    proof = one.evidences.latest("mac-01", NETWORK).evidence["network"]
    assert locked_choice(proof) == NetworkChoice("host", "ssh", result.run)
    lock = yaml.safe_load(render_lock({"mac-01": locked_choice(proof)}))
    assert lock == {"nodes": {"mac-01": {"mode": "host", "forwarder": "ssh", "run": result.run}}}


@pytest.mark.parametrize("served", [True, False])
def test_the_serving_project_is_as_it_was_and_the_proof_is_removed(one, served):
    up = one.home("mac-01") / "up.8080"
    if served:
        up.write_text("")
    one.rollout(NETWORK)
    assert up.exists() == served
    removals = [s for s in one.macs.mac("mac-01").scripts if "-p macfleet-proof down" in s]
    assert removals


def test_the_serving_project_comes_back_where_a_proof_cannot_be_made(one):
    (one.home("mac-01") / "up.8080").write_text("")
    docker = one.macs.mac("mac-01").programs["docker"]
    one.macs.mac("mac-01").programs["docker"] = docker.replace(
        "case", 'case " $* " in *" up "*) return 1;; esac\ncase', 1
    )
    result = one.rollout(NETWORK)
    assert (outcomes(result), result.exit_code) == ({"mac-01": "failed"}, 4)
    assert result.results[0].diagnostics[0].code == "E0830"
    assert (one.home("mac-01") / "up.8080").exists()


def test_a_path_that_fails_requests_holds_the_stage(one):
    one.load.pings = {("host", Vantage.CLIENT, True): FakePings((1.0,) * 9, errors=1)}
    result = one.rollout(NETWORK)
    assert result.exit_code == 7
    ((gate, reason, mend),) = held_reasons(result, "mac-01")
    assert (gate, reason) == ("network_proven", "host from client: 1 of 9 requests failed")
    assert mend.endswith("macfleet rollout stage4 -l mac-01 --again")


def test_a_proof_that_is_current_is_not_made_again(one):
    one.rollout(NETWORK)
    scripts = one.macs.mac("mac-01").scripts
    scripts.clear()
    assert outcomes(one.rollout(NETWORK)) == {"mac-01": "current"}
    assert len(scripts) == 1
