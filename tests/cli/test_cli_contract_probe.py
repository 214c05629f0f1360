"""`contract probe`: what engines keep of the promised routes, as a table and as JSON."""

from __future__ import annotations

import json

import pytest

from macfleet.model.load import EndpointReport, RouteCheck

NOTE = "the first chunk names no role"


class Engines:
    """Every bare engine keeps its promise with a note; containers break the first one when told to."""

    broken = False

    def __init__(self, *_):
        pass

    def probe(self, _node, arm, base_url, contract):
        wrong = ("no usage came",) if self.broken and arm == "container" else ()
        routes = [RouteCheck(route.path, route.stream, 200) for route in contract.routes]
        routes[0] = RouteCheck(routes[0].route, True, 200, wrong, () if wrong else (NOTE,))
        return EndpointReport(arm, base_url, tuple(routes))


@pytest.fixture
def engines(monkeypatch):
    kind = type("OurEngines", (Engines,), {})
    monkeypatch.setattr("macfleet.executors.vantage.VantageLoadGenerator", kind)
    return kind


def test_promises_kept_are_a_table_with_notes(run, fleet, engines):
    code, out, err = run("contract", "probe", "-l", "mac-01", "--arm", "bare")
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        "mac-01 bare http://127.0.0.1:8081",
        "  ✓ /v1/chat/completions streamed  200",
        f"      · {NOTE}",
    ]


def test_a_broken_promise_is_exit_7_and_named(run, fleet, engines):
    engines.broken = True
    code, out, err = run("contract", "probe", "-l", "mac-01")
    assert code == 7
    assert "      ✗ no usage came" in out
    assert "E0725" in err
    code, out, _ = run("contract", "probe", "-l", "mac-01", "--output", "json")
    document = json.loads(out.splitlines()[0])
    assert code == 7
    assert [report["keeps_promise"] for report in document["nodes"]["mac-01"]] == [True, False]


@pytest.mark.slow
def test_a_node_that_does_not_answer_is_exit_5(run, fleet):
    code, _, err = run("contract", "probe", "-l", "mac-01", "--arm", "bare")
    assert code == 5
    assert "mac-01" in err


def test_a_contract_that_is_not_the_frozen_one_is_not_asked_for(run, fleet, engines):
    (fleet / "contract/contract.lock").unlink()
    assert run("contract", "probe")[0] == 2
