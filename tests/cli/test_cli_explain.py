"""`explain`: every id that macfleet may show is explained."""

import json

import pytest

from macfleet.analysis.thresholds import DEFAULTS
from macfleet.cli.catalogue import WRITTEN, codes, entry
from macfleet.gates import KINDS
from macfleet.model.exit_codes import ExitCode


@pytest.mark.slow
def test_every_code_of_the_source_says_what_it_means():
    silent = [code for code in codes() if not (found := entry(code)) or not found.summaries]
    assert silent == []
    assert len(codes()) > 200


def test_what_is_written_by_hand_is_about_codes_that_exist():
    assert set(WRITTEN) <= set(codes())


@pytest.mark.slow
def test_exit_codes_of_the_catalogue_are_in_the_table():
    assert {code for each in codes() for code in entry(each).exit_codes} <= set(map(int, ExitCode))


@pytest.mark.parametrize(
    ("code", "says", "exits"),
    [
        ("E0510", "locked", (6,)),
        ("E0310", "undefined", (2,)),
        ("E0401", "", (5,)),
        ("E0651", "mutable", (2,)),
        ("E0652", "the node runs", (7,)),
        ("E0330", "nothing reads", ()),
    ],
)
def test_a_code_is_explained_as_it_is_said(run, code, says, exits):
    status, out, _ = run("explain", code.lower(), "--output", "json")
    document = json.loads(out)
    assert (status, document["id"]) == (0, code)
    assert any(says in each for each in document["says"])
    assert tuple(document["exit_codes"]) == exits


@pytest.mark.parametrize("name", [*sorted(KINDS), *(each.id for each in DEFAULTS)])
def test_a_gate_or_threshold_is_explained(run, name):
    status, out, _ = run("explain", name)
    assert status == 0
    assert out.startswith(f"{name} (")
    assert "What to do:" in out


def test_an_unknown_id_is_refused_with_the_nearest(run):
    status, out, err = run("explain", "mounts_locl")
    assert (status, out) == (2, "")
    assert 'did you mean "mounts_local"?' in err
