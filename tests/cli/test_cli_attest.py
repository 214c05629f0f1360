import json

import pytest
import yaml


@pytest.fixture
def fleet(run, tmp_path):
    folder = tmp_path / "fleet"
    assert run("init", folder)[0] == 0
    return folder


def attest(run, fleet, *options):
    days = ("--started", "2026-05-28", "--reproduced", "2026-06-05")
    return run("attest", "--who", "ada", *days, *options, "--fleet", fleet)


def test_a_calendars_holidays_are_left_out_shown_and_written_down(run, fleet):
    code, out, _ = attest(run, fleet, "--calendar", "de-by")
    assert code == 0
    assert "ada reproduced it in 5 business days, nothing by hand" in out
    assert "left out: 2026-06-04, Corpus Christi (DE-BY)" in out
    [word] = yaml.safe_load((fleet / "attestations.yml").read_text())["attestations"]
    assert (word["calendar"], word["holidays"]) == ("DE-BY", ["2026-06-04"])


def test_without_a_calendar_it_is_said_that_none_was_looked_up(run, fleet):
    code, out, _ = attest(run, fleet, "--holiday", "2026-06-01")
    assert (code, "in 5 business days" in out) == (0, True)
    assert "no public holiday was looked up" in out


def test_as_a_document_every_day_left_out_is_there(run, fleet):
    code, out, _ = attest(run, fleet, "--calendar", "DE-BY", "--holiday", "2026-06-01", "--output", "json")
    document = json.loads(out)
    assert (code, document["business_days"], document["calendar"]) == (0, 4, "DE-BY")
    assert document["holidays"] == ["2026-06-01", "2026-06-04"]


def test_a_calendar_nobody_knows_writes_nothing(run, fleet):
    code, _, err = attest(run, fleet, "--calendar", "DE-ZZ")
    assert (code, "E1073" in err) == (2, True)
    assert not (fleet / "attestations.yml").exists()
