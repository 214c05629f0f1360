import pytest

from macfleet.model.stage import EvidenceKey, Outcome, StageName, StageRecord
from macfleet.testing.golden import golden
from macfleet.views.status import document, lines

NOW = 1_700_000_000.0
DAY = 86400.0


def record(node, stage, outcome, age):
    return StageRecord(node, stage, EvidenceKey({}), outcome, f"run-{stage}", NOW - age)


RECORDS = {
    (each.node, each.stage): each
    for each in (
        record("mac-01", StageName.CONTRACT, Outcome.PASS, 30),
        record("mac-01", StageName.IMAGES, Outcome.PASS, 300),
        record("mac-01", StageName.LAYOUT, Outcome.HOLD, 7300),
        record("mac-01", StageName.NETWORK, Outcome.FAIL, 2 * DAY),
        record("rented-mac-12", StageName.CONTRACT, Outcome.PASS, 8 * DAY),
        record("rented-mac-12", StageName.IMAGES, Outcome.INCONCLUSIVE, 0),
    )
}
NAMES = ["mac-01", "rented-mac-12"]


def test_the_matrix_looks_as_it_was_looked_at(looked_at):
    golden(looked_at / "status.txt", "\n".join(lines(NAMES, RECORDS, NOW)))


def test_the_matrix_fits_80_columns_with_five_stale_stages():
    stale = {
        ("mac-01", stage): record("mac-01", stage, Outcome.PASS, 99 * DAY) for stage in list(StageName)[1:]
    }
    found = list(lines(["mac-01"], stale, NOW))
    assert max(map(len, found)) <= 80
    assert found[1].count("stale") == 5


@pytest.mark.parametrize(("age", "stale"), [(7 * DAY, False), (7 * DAY + 1, True)])
def test_evidence_is_stale_after_seven_days(age, stale):
    found = document(
        ["n"], {("n", StageName.CONTRACT): record("n", StageName.CONTRACT, Outcome.PASS, age)}, NOW
    )
    assert found["rows"][0]["stale"] is stale


def test_as_json_every_node_and_stage_is_a_row_with_absolute_times():
    found = document(NAMES, RECORDS, NOW)
    assert (found["schema"], found["kind"], len(found["rows"])) == (1, "rollout-status", 10)
    assert found["rows"][0] == {
        "node": "mac-01",
        "stage": "contract",
        "outcome": "pass",
        "finished": "2023-11-14T22:12:50.000+00:00",
        "stale": False,
        "run": "run-contract",
    }
    assert found["rows"][4] == {
        "node": "mac-01",
        "stage": "loadtest",
        "outcome": None,
        "finished": None,
        "stale": False,
        "run": None,
    }
