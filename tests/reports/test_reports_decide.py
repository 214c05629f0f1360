"""The decision: what follows for every node, and what nobody measured."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from macfleet.analysis.attestations import Attested
from macfleet.cli.decide import attest
from macfleet.cli.decide import decide as decide_command
from macfleet.model.exit_codes import ExitCode
from macfleet.reports.compare import compare
from macfleet.reports.decide import PATHS, decide
from macfleet.testing.synthetic import SyntheticArm
from macfleet.views.decide import decision_lines, headline

CONTRACT = "9f2c" + "0" * 60
DAY = dt.date(2026, 11, 16)
WORDS = tuple(Attested(who, DAY, DAY + dt.timedelta(days=3), CONTRACT) for who in ("ada", "bob"))
SLOW = (SyntheticArm("bare", rate=50), SyntheticArm("container", rate=25, iowait=30, psi=1, memory=71))


def decided(*runs, attestations=()):
    return decide(compare(runs, attestations=attestations), runs)


def cell(decision, dimension, path):
    return next(each for each in decision.matrix if (each.dimension, each.path) == (dimension, path))


def test_two_attestations_and_no_tripped_threshold_keep_the_container_path(make_run):
    decision = decided(make_run(), attestations=WORDS)
    assert decision.keep
    assert headline(decision) == "✓ keep the container path on mac-01"


@pytest.mark.parametrize("words", [(), WORDS[:1], (WORDS[0], WORDS[0])])
def test_fewer_than_two_colleagues_leave_it_open(make_run, words):
    decision = decided(make_run(), attestations=words)
    assert not decision.keep
    assert decision.open == ("mac-01",)


def test_words_about_another_contract_do_not_count(make_run):
    other = tuple(Attested(each.who, each.started, each.reproduced, "f" * 64) for each in WORDS)
    assert decided(make_run(), attestations=other).open == ("mac-01",)


def test_a_node_whose_threshold_tripped_is_not_kept_whatever_colleagues_say(make_run):
    decision = decided(make_run(), make_run(*SLOW, node="mac-02"), attestations=WORDS)
    assert (decision.kept, decision.refused) == (("mac-01",), ("mac-02",))
    assert headline(decision) == "! the container path is kept on mac-01, not on mac-02"


def test_every_cell_of_the_matrix_has_its_words_and_its_evidence_or_none(make_run):
    decision = decided(make_run())
    assert len(decision.matrix) == 12
    assert {each.path for each in decision.matrix} == set(PATHS)
    assert cell(decision, "performance ceiling", "remote pool").evidence == ()
    assert cell(decision, "troubleshooting cost", "bare").evidence == ()
    ceiling = cell(decision, "performance ceiling", "container").evidence
    assert ceiling[0].startswith("mac-01 container short×4: ")
    assert any("% tokens/s against bare" in line for line in ceiling)
    assert cell(decision, "delivery consistency", "container").evidence == (
        "images pinned by digest and identical on 1 node",
    )


def test_rented_nodes_fill_the_remote_pool(make_run):
    rented = make_run(node="rent-01", facts={"ownership": "rented"})
    found = cell(decided(make_run(), rented), "performance ceiling", "remote pool").evidence
    assert [line.partition(":")[0] for line in found] == ["rent-01 container short×4"]


def test_packages_that_drift_on_hosts_are_counted(make_run):
    one = make_run(facts={"facts": {"formulae": {"colima": "0.10.3", "lima": "2.1.4"}}})
    two = make_run(node="mac-02", facts={"facts": {"formulae": {"colima": "0.10.2", "lima": "2.1.4"}}})
    assert cell(decided(one, two), "delivery consistency", "bare").evidence == (
        "1 of 2 packages differ over 2 nodes: colima",
    )


def test_what_nobody_measured_says_so_and_fits_80_columns(make_run):
    lines = list(decision_lines(decided(make_run()), 80))
    assert max(len(line) for line in lines) <= 80
    text = "\n".join(lines)
    assert text.count("not measured") == 8
    assert "image digest + Compose file: strong audit trail" in text


@pytest.fixture
def promised(fleet):
    shutil.copytree(Path(__file__).parents[2] / "contract", fleet / "contract")
    return fleet


def invoke(fleet, command, *arguments):
    return CliRunner().invoke(command, [*arguments, "--fleet", str(fleet)], standalone_mode=False)


DAYS = ("--started", "2026-11-16", "--reproduced", "2026-11-19")


def test_decide_is_fine_without_an_answer_and_held_where_one_is_required(fleet, record, make_run):
    record(make_run())
    assert invoke(fleet, decide_command).return_value == 0
    assert invoke(fleet, decide_command, "--require", "keep").return_value == ExitCode.HELD


def test_attested_colleagues_settle_the_decision(promised, record, make_run):
    first = json.loads(invoke(promised, attest, "--who", "ada", *DAYS, "--output", "json").stdout)
    assert (first["business_days"], first["colleagues"]) == (3, 1)
    assert "2 colleagues attested this contract" in invoke(promised, attest, "--who", "bob", *DAYS).stdout
    record(make_run(contract=first["contract"]))
    result = invoke(promised, decide_command, "--require", "keep", "--output", "json")
    assert result.return_value == 0
    assert json.loads(result.stdout)["keep"] is True


def test_something_installed_by_hand_does_not_settle_it(promised, record, make_run):
    first = json.loads(invoke(promised, attest, "--who", "ada", *DAYS, "--output", "json").stdout)
    invoke(promised, attest, "--who", "bob", *DAYS, "--by-hand", "cmake")
    record(make_run(contract=first["contract"]))
    assert invoke(promised, decide_command, "--require", "keep").return_value == ExitCode.HELD


@pytest.mark.parametrize("days", [("2026-11-16", "2026-11-13"), ("2026-11-16", "2999-01-01")])
def test_days_that_cannot_be_are_refused_and_nothing_is_written(promised, days):
    result = invoke(promised, attest, "--who", "ada", "--started", days[0], "--reproduced", days[1])
    assert result.exception.diagnostics[0].code == "E1041"
    assert not (promised / "attestations.yml").exists()
