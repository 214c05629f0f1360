"""A cell measured on the side on a serving node: real traffic, a run that says what it is, nothing else touched."""

import json

import pytest

pytestmark = pytest.mark.lab
LATE = ("the client's own loop was", "of a core", "after they were due", "the client was given no CPU")


@pytest.mark.parametrize(
    ("load", "cell"),
    [(("--concurrency", "2"), "short×2"), (("--rate", "2", "--arrivals", "poisson"), "short@2/s")],
)
def test_one_cell_is_loaded_and_recorded_as_ad_hoc(serving, load, cell):
    options = ("-l", "mac-01", "--arm", "bare", *load, "--duration", "4s", "--why", "a look")
    done = serving("loadtest", "run", *options, "--output", "json", exits=None, timeout=300)
    document = json.loads(done.stdout)
    manifest = document["manifest"]
    assert (manifest["kind"], manifest["nodes"], manifest["why"]) == ("ad-hoc", ["mac-01"], "a look")
    assert manifest["simulated"]
    [found] = document["summary"]["cells"]
    assert (found["node"], found["arm"], found["cell"]) == ("mac-01", "bare", cell)
    assert found["ok"] == found["n"] > 0
    # On a busy machine the client may be late itself; nothing else may be wrong, and it must be said.
    assert all(any(late in why for late in LATE) for why in found["invalid"]), found["invalid"]
    assert done.exit == (7 if found["invalid"] else 0), done.stderr
    assert serving("run", "verify", manifest["id"]).exit == 0
